"""Both databases, fresh for every test that asks for one: `database` runs a test on each."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from authsec_server.app import open_authority
from authsec_server.db import Database, open_database
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.settings import Settings
from starlette.testclient import TestClient

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database, once per kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'authsec.sqlite3'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open, migrated database, once per kind."""
    opened = open_database(database_url)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def act() -> Act:
    """The local operator, at noon."""
    return Act(
        principal=LOCAL_OPERATOR, now=NOW, request_id="req_test", address="127.0.0.1", token_bytes=secrets.token_bytes
    )


@pytest.fixture
def admin(tmp_path: Path) -> Iterator[TestClient]:
    """The local operator's HTTP client to a whole authority of its own."""
    with open_authority(Settings(data=tmp_path), local_operator=True) as authority:
        yield TestClient(authority.app, base_url="http://127.0.0.1")


def later(**amount: float) -> datetime:
    """Noon and so much more."""
    return NOW + timedelta(**amount)
