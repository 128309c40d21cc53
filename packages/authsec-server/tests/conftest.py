"""Both databases, fresh for every test that asks for one: `database` runs a test on each."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from authsec.jose import PrivateKey, assemble, signing_input
from authsec_server.app import Authority, Surroundings, open_authority
from authsec_server.audit.model import Recorded
from authsec_server.audit.store import newest
from authsec_server.cli import register
from authsec_server.clients import service as clients
from authsec_server.clients.model import Onboarding
from authsec_server.db import Database, Tx, open_database
from authsec_server.delegations import service as delegations
from authsec_server.delegations.model import Proposal, Terms
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.roles import service as roles
from authsec_server.settings import Settings, load_settings
from click.testing import CliRunner, Result
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


@pytest.fixture
def authsec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command `authsec` with the server's commands, on data of its own: `authsec("roles", "list")`."""
    monkeypatch.delenv("AUTHSEC_ADMIN_KEY", raising=False)
    with open_authority(Settings(data=tmp_path)):
        pass  # only `authsec serve` begins an authority; the commands want one that is there
    group = click.Group()
    register(group)
    return lambda *arguments: CliRunner().invoke(group, [*arguments, "--data", str(tmp_path)])


def later(**amount: float) -> datetime:
    """Noon and so much more."""
    return NOW + timedelta(**amount)


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    at: datetime = NOW

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


@dataclass
class Proving:
    """An agent with a key pair, and the assertions by which it proves itself."""

    client_id: str
    key: PrivateKey

    def assertion(self, now: datetime = NOW, **changes: Any) -> str:
        """A fresh assertion; `changes` spoil its claims."""
        seconds = int(now.timestamp())
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": "http://127.0.0.1:7468",
            "iat": seconds,
            "exp": seconds + 60,
            "jti": secrets.token_hex(16),
        }
        unsigned = signing_input({"alg": self.key.algorithm}, claims | changes)
        return assemble(unsigned, self.key.sign(unsigned))


@dataclass
class House:
    """An authority in this process: its app, its clock, and the doors to it."""

    authority: Authority
    clock: Clock
    stack: ExitStack

    def delegated_agent(self, name: str = "Customer Support", **delegation: Any) -> Proving:
        """A new agent with a key pair, and a delegation of customers:read in a role that also deletes."""
        key = PrivateKey.generate_ed25519()
        onboarding = Onboarding(name=name, platform="key", public_key=key.public.to_pem().decode())
        return Proving(self._delegate(onboarding, delegation), key)

    def delegated_name(self, name: str = "Open", **delegation: Any) -> str:
        """A new unattested agent with that delegation: its client_id."""
        return self._delegate(Onboarding(name=name, platform="unattested"), delegation)

    def _delegate(self, onboarding: Onboarding, delegation: dict[str, Any]) -> str:
        act = Act(
            principal=LOCAL_OPERATOR,
            now=self.clock.now(),
            request_id="req_set_up",
            address="",
            token_bytes=secrets.token_bytes,
        )

        def set_up(tx: Tx) -> str:
            role = roles.create(
                tx, act, name=f"Role of {onboarding.name}", actions=["customers:delete", "customers:read"]
            )
            agent = clients.create(tx, act, onboarding)
            asked = {
                "target_type": "AutoGen AI agent",
                "max_duration": 3600,
                "actions": ("customers:read",),
            } | delegation
            terms = Terms(max_token_lifetime=86_400, default_audience="authsec-api")
            delegations.create(tx, act, Proposal(role=role.id, client=agent.id, **asked), terms)
            return agent.id

        return self.authority.database.change(set_up)

    def events(self) -> list[Recorded]:
        """The journal, oldest first."""
        read = self.authority.database.read
        return read(lambda tx: newest(tx.connection, before=None, limit=100_000, request_id=None))[::-1]

    def door(self, address: str = "127.0.0.1", **headers: str) -> TestClient:
        """An HTTP client at that address."""
        client = TestClient(
            self.authority.app,
            base_url="http://127.0.0.1:7468",
            client=(address, 1),
            headers=headers,
            raise_server_exceptions=False,
        )
        return self.stack.enter_context(contextlib.closing(client))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Callable[..., House]]:
    """Opens authorities over this test's SQLite file: `house(local_operator=True, setting=…)`."""
    with ExitStack() as stack:

        def build(*, local_operator: bool = False, **settings: Any) -> House:
            clock = Clock()
            around = Surroundings(now=clock.now, monotonic=clock.monotonic, token_bytes=secrets.token_bytes)
            its = load_settings(data=tmp_path, **settings)
            opened = open_authority(its, local_operator=local_operator, surroundings=around)
            return House(stack.enter_context(opened), clock, stack)

        yield build
