"""Both databases, fresh for every test that asks for one: `database` runs a test on each."""

from __future__ import annotations

import contextlib
import importlib.util
import secrets
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any, TypeVar
from zlib import crc32

import anyio
import click
import pyotp
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from argon2 import PasswordHasher
from authsec.jose import PrivateKey, assemble, signing_input
from authsec_server.accounts import administrators, second_factor
from authsec_server.accounts.authentication import Sessions
from authsec_server.accounts.model.sessions import BrowserCaller, NewSession, SessionTerms
from authsec_server.accounts.passwords import Hashing
from authsec_server.accounts.second_factor import SecondStep
from authsec_server.accounts.second_step import SecondSteps
from authsec_server.accounts.sign_in import SignIn
from authsec_server.app import Authority, Runtime, lifecycle, open_authority
from authsec_server.app.people import sealing_of
from authsec_server.audit.model import Event, Recorded
from authsec_server.audit.pages import above
from authsec_server.audit.sealing import reader_check
from authsec_server.audit.sealing.reader_check import ReaderCheck
from authsec_server.cli import local, register
from authsec_server.clients import service as clients
from authsec_server.clients.model import Client, Onboarding
from authsec_server.db import Database, Tx, integrity, open_database, sqlite, system_catalogs
from authsec_server.db.index_walk import Walked
from authsec_server.delegations import service as delegations
from authsec_server.delegations.model import Proposal, ResolvedDelegation, Terms
from authsec_server.keys.master_key import MasterKey
from authsec_server.principal import LOCAL_OPERATOR, Act, Principal, Role
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind
from authsec_server.roles import service as roles
from authsec_server.roles.model import RoleDefinition
from authsec_server.sdk_wheels import Wheel
from authsec_server.settings import Settings, load_settings
from click.testing import CliRunner, Result
from hypothesis import settings
from migrated_once import MigratedOnce
from sqlalchemy import create_engine, text
from starlette.requests import Request
from starlette.testclient import TestClient

T = TypeVar("T")
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
TERMS = Terms(max_token_lifetime=86_400, default_audience="authsec-api")

MIGRATED = MigratedOnce()
setattr(sqlite, "upgrade", MIGRATED.upgrade)  # noqa: B010 - fixtures of every scope open authorities on empty folders


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the schema and nothing else, to be copied: cheaper than migrating for each test."""
    path = tmp_path_factory.mktemp("migrated") / "authsec.sqlite3"
    with genuine_migrations(), contextlib.closing(open_database(f"sqlite:///{path}")) as opened:
        opened.migrate()
    return path


@contextlib.contextmanager
def genuine_migrations() -> Iterator[None]:
    """For a database whose migration a test is about: alembic runs."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sqlite, "upgrade", MIGRATED.genuine)
        yield


@pytest.fixture(scope="session")
def rsa_keys() -> dict[int, list[PrivateKey]]:
    """The keys that this run has made for its tests, by their size."""
    return defaultdict(list)


@pytest.fixture(autouse=True)
def readers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """`verify` asks some questions of readers in each twentieth test, always the same tests, and all in a full run.

    They take longer than all else in `verify` of a short log. Tests that are about them have the marker `asks_readers`.
    """
    if request.node.get_closest_marker("asks_readers") or settings.get_current_profile_name() == "full":
        return
    if crc32(request.node.nodeid.encode()) % 20:
        monkeypatch.setattr(ReaderCheck, "findings", lambda *_, **__: [])
    for name, number in {"_LEAST": 100, "_SINGLE": 10}.items():  # a twentieth and a tenth
        monkeypatch.setattr(reader_check, name, number)


@pytest.fixture(autouse=True)
def catalog_indexes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """`verify` reads the indexes of PostgreSQL's own catalogs in a tenth of the tests, and in a full run.

    They take a third of its time. Tests that are about them have the marker `reads_catalog_indexes`. In tests with the
    marker `changes_rows_only`, `verify` also does without the comparison of PostgreSQL's catalogs, the search for
    foreign code, and the walk through our indexes. These take two fifths of its time.
    """
    if request.node.get_closest_marker("reads_catalog_indexes") or settings.get_current_profile_name() == "full":
        return
    if crc32(request.node.nodeid.encode()) % 10 == 0:
        return
    monkeypatch.setattr(system_catalogs, "catalog_index_findings", lambda _: iter(()))
    if request.node.get_closest_marker("changes_rows_only"):
        monkeypatch.setattr(system_catalogs, "_differences", lambda *_: iter(()))
        monkeypatch.setattr(system_catalogs, "foreign_findings", lambda _: ())
        monkeypatch.setattr(integrity, "walk_indexes", lambda *_: Walked())


@pytest.fixture(autouse=True)
def ready_rsa_keys(rsa_keys: dict[int, list[PrivateKey]]) -> Iterator[None]:
    """Each test takes the same RSA keys, one after the other. A new authority makes two: a tenth of all time, once.

    A key of a fixture with a wider scope is its own: such fixtures are set up before this one.
    """
    genuine, taken, lock = PrivateKey.generate_rsa, Counter[int](), Lock()

    def ready(bits: int = 2048) -> PrivateKey:
        with lock:
            if taken[bits] == len(rsa_keys[bits]):
                rsa_keys[bits].append(genuine(bits))
            taken[bits] += 1
            return rsa_keys[bits][taken[bits] - 1]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(PrivateKey, "generate_rsa", staticmethod(ready))
        yield


@pytest.fixture(scope="session")
def begun_today(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of an authority that was started once, to be copied: its keys take a quarter of a second."""
    return _begun(tmp_path_factory.mktemp("begun"), Runtime())


@pytest.fixture(scope="session")
def begun_at_noon(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, of one that was started at `NOW`."""
    return _begun(tmp_path_factory.mktemp("begun"), Clock().around())


def _begun(data: Path, around: Runtime) -> Path:
    with open_authority(Settings(data=data), runtime=around):
        return data


@contextlib.contextmanager
def without_maintenance() -> Iterator[None]:
    """For the start of an authority on data that has just been maintained, at the same time: a quarter of a start.

    The keys are read in any case. An authority that stays open maintains its data later.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lifecycle, "log_errors", lambda *_: None)
        yield


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path, migrated_file: Path) -> str:
    """The URL of a database, once per kind."""
    if request.param == "sqlite":
        path = shutil.copy(migrated_file, tmp_path)
        return f"sqlite:///{path}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def empty_database_url(database_url: str) -> Iterator[str]:
    """The URL of a database, once per kind, that has no tables yet. Alembic makes them."""
    if database_url.startswith("sqlite:"):
        Path(database_url.removeprefix("sqlite:///")).unlink()
        with genuine_migrations():
            yield database_url
        return
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public AUTHORIZATION pg_database_owner"))
        connection.execute(text("GRANT USAGE ON SCHEMA public TO public"))  # as of a new database
    engine.dispose()
    yield database_url


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
        principal=LOCAL_OPERATOR,
        now=NOW,
        request_id="req_00000000000000000000test",
        address="127.0.0.1",
        token_bytes=secrets.token_bytes,
    )


@pytest.fixture(scope="session")
def portal() -> Iterator[BlockingPortal]:
    """An event loop in a thread of its own: a client without one starts another for each request."""
    with start_blocking_portal() as started:
        yield started


@pytest.fixture
def admin(tmp_path: Path, begun_today: Path, portal: BlockingPortal) -> Iterator[TestClient]:
    """The local operator's HTTP client to a whole authority of its own."""
    shutil.copytree(begun_today, tmp_path, dirs_exist_ok=True)
    with open_authority(Settings(data=tmp_path), local_operator=True) as authority:
        client = TestClient(authority.app, base_url="http://127.0.0.1")
        client.portal = portal
        yield client


@pytest.fixture
def authsec(
    request: pytest.FixtureRequest, tmp_path: Path, begun_today: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Result]]:
    """The command `authsec` with the server's commands, on data of its own: `authsec("roles", "list")`.

    The commands of a test share an open authority: to open one takes longer than most commands. With the marker
    `opens_anew`, each command opens its own.
    """
    monkeypatch.delenv("AUTHSEC_ADMIN_KEY", raising=False)
    # Only `authsec serve` begins an authority; the commands want one that is there.
    shutil.copytree(begun_today, tmp_path, dirs_exist_ok=True)
    group = click.Group()
    register(group)
    with ExitStack() as stack:
        if not request.node.get_closest_marker("opens_anew"):
            monkeypatch.setattr(local, "open_authority", _opened_once(stack))
        yield lambda *arguments: CliRunner().invoke(group, [*arguments, "--data", str(tmp_path)])


def _opened_once(stack: ExitStack) -> Callable[..., contextlib.AbstractContextManager[Authority]]:
    """`open_authority`, but the authority of the same settings is open until the stack is closed."""
    opened: list[tuple[Settings, Authority]] = []

    @contextlib.contextmanager
    def shared(settings: Settings, **how: Any) -> Iterator[Authority]:
        authority = next((each for its, each in opened if its == settings), None)
        if authority is None:
            authority = stack.enter_context(open_authority(settings, **how))
            opened.append((settings, authority))
        yield authority

    return shared


@dataclass
class Estate:
    """Roles, agents and what is delegated to them, in a database of each kind; a line for each."""

    database: Database
    act: Act
    terms: Terms = TERMS

    def role(self, name: str = "Support", *actions: str) -> RoleDefinition:
        held = actions or ("customers:delete", "customers:read")
        return self.do(lambda tx, act: roles.create(tx, act, name=name, actions=held))

    def agent(self, name: str = "Helper", platform: str = "unattested", **what: Any) -> Client:
        return self.do(lambda tx, act: clients.create(tx, act, Onboarding(name=name, platform=platform, **what)))

    def delegate(self, role: str = "support", client: str = "helper", **what: Any) -> ResolvedDelegation:
        asked = {"target_type": "AutoGen AI agent", "max_duration": 3600, "actions": ("customers:read",)} | what
        proposal = Proposal(role=role, client=client, **asked)
        return self.do(lambda tx, act: delegations.create(tx, act, proposal, self.terms))

    def do(self, work: Callable[[Tx, Act], T]) -> T:
        return self.database.change(lambda tx: work(tx, self.act))

    def see(self, work: Callable[[Tx, Act], T]) -> T:
        return self.database.read(lambda tx: work(tx, self.act))

    def events(self, kind: str = "") -> list[Event]:
        """The audit log, oldest first, of the kinds that begin so."""
        read = self.database.read
        found = read(lambda tx: above(tx.connection, 0, 100_000))
        return [each.event for each in found if each.event.kind.startswith(kind)]

    def endings(self) -> list[tuple[SubjectKind, str, int]]:
        """The revocation feed: what ended, and below which version its tokens."""
        feed = self.database.read(lambda tx: revocations.since(tx, 0))
        return [(each.subject_kind, each.subject_id, each.version) for each in feed]


@pytest.fixture
def estate(database: Database, act: Act) -> Estate:
    """An estate with nothing in it, once per kind of database."""
    return Estate(database, act)


def cheap_hashing() -> Hashing:
    """Hashing of passwords that nobody tries to guess."""
    return Hashing(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


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

    def around(self) -> Runtime:
        """An authority's runtime, with this clock and cheap passwords."""
        return Runtime(now=self.now, monotonic=self.monotonic, token_bytes=secrets.token_bytes, hashing=cheap_hashing)


@pytest.fixture
def clock() -> Clock:
    """A clock that stands at noon until it is moved."""
    return Clock()


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
    portal: BlockingPortal

    def delegated_agent(
        self, name: str = "Customer Support", key: PrivateKey | None = None, **delegation: Any
    ) -> Proving:
        """A new agent with a key pair, and a delegation of customers:read in a role that also deletes."""
        key = key or PrivateKey.generate_ed25519()
        onboarding = Onboarding(name=name, platform="key", public_key=key.public.to_pem().decode())
        return Proving(self._delegate(onboarding, delegation), key)

    def delegated_name(self, name: str = "Open", **delegation: Any) -> str:
        """A new unattested agent with that delegation: its client_id."""
        return self._delegate(Onboarding(name=name, platform="unattested"), delegation)

    def _delegate(self, onboarding: Onboarding, delegation: dict[str, Any]) -> str:
        act = Act(
            principal=LOCAL_OPERATOR,
            now=self.clock.now(),
            request_id="req_0000000000000000000setup",
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
        """The audit log, oldest first."""
        read = self.authority.database.read
        return read(lambda tx: above(tx.connection, 0, 100_000))

    def door(self, address: str = "127.0.0.1", **headers: str) -> TestClient:
        """An HTTP client at that address."""
        client = TestClient(
            self.authority.app,
            base_url="http://127.0.0.1:7468",
            client=(address, 1),
            headers=headers,
            raise_server_exceptions=False,
        )
        client.portal = self.portal
        return self.stack.enter_context(contextlib.closing(client))


@pytest.fixture
def house(tmp_path: Path, begun_at_noon: Path, portal: BlockingPortal) -> Iterator[Callable[..., House]]:
    """Opens authorities over this test's SQLite file: `house(local_operator=True, wheels=…, setting=…)`."""
    with ExitStack() as stack:

        def build(*, local_operator: bool = False, wheels: Sequence[Wheel] = (), **settings: Any) -> House:
            clock = Clock()
            runtime = replace(clock.around(), sdk_wheels=lambda: wheels)
            is_new = "database" not in settings and not (tmp_path / "authsec.sqlite3").exists()
            if is_new:
                shutil.copytree(begun_at_noon, tmp_path, dirs_exist_ok=True)
            its = load_settings(data=tmp_path, **settings)
            with without_maintenance() if is_new else contextlib.nullcontext():
                opened = stack.enter_context(open_authority(its, local_operator=local_operator, runtime=runtime))
            return House(opened, clock, stack, portal)

        yield build


@pytest.fixture
def opened(house: Callable[..., House]) -> House:
    """An authority at whose machine we sit."""
    return house(local_operator=True)


@pytest.fixture
def door(opened: House) -> TestClient:
    """The browser of its operator."""
    return opened.door()


@pytest.fixture(params=["sqlite", "postgresql"])
def house_on_each(request: pytest.FixtureRequest, house: Callable[..., House], tmp_path: Path) -> Callable[..., House]:
    """The same as `house`, once per kind of database."""
    if request.param == "sqlite":
        return house
    key = tmp_path / "master.key"
    key.touch(0o600)
    key.write_text("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
    return partial(house, database=request.getfixturevalue("postgres_url"), master_key_file=key)


@dataclass
class Entrance:
    """The ways in for people, on one database; passwords are hashed cheaply, so that tests are fast."""

    database: Database
    clock: Clock
    sign_in: SignIn
    sessions: Sessions
    second_steps: SecondSteps
    password: str = "violet tram kiosk 7"

    def caller(self, address: str = "192.0.2.1", cookie: str = "") -> BrowserCaller:
        return BrowserCaller(
            request_id="req_00000000000000000000test", address=address, user_agent="Browser/1", cookie=cookie
        )

    def first(self, email: str = "ann@example.com", name: str = "Ann") -> NewSession:
        """The first administrator, signed in."""
        link = self.sign_in.first_link()
        assert link is not None
        return self.sign_in.set_up_first(
            link.code, email=email, name=name, password=self.password, caller=self.caller()
        )

    def another(self, email: str, role: Role = Role.ADMIN, name: str = "Another") -> NewSession:
        """An administrator whom the local operator invited, signed in."""
        act = self.act(LOCAL_OPERATOR)
        _, link = self.database.change(lambda tx: administrators.invite(tx, act, email=email, name=name, role=role))
        new = self.sign_in.set_password(link.code, password=self.password, caller=self.caller())
        assert isinstance(new, NewSession)
        return new

    def turn_on(self, who: NewSession) -> tuple[pyotp.TOTP, Sequence[str]]:
        """Turn on an administrator's second factor: the app of the phone, and the recovery codes."""
        principal, caller = self.act(who).principal, self.caller()
        setup = self.second_steps.begin_setup(principal, password=self.password, caller=caller)
        phone = pyotp.TOTP(setup.secret)
        code = phone.at(self.clock.now())
        prepared = self.second_steps.confirm_setup(principal, sealed=setup.sealed, code=code, caller=caller)
        self.database.change(lambda tx: second_factor.turn_on(tx, self.act(who), prepared.factor))
        self.clock.at += timedelta(seconds=30)
        return phone, prepared.recovery_codes

    def step(self, email: str = "ann@example.com", address: str = "192.0.2.1") -> str:
        """Sign in by password. Return the cookie of the second step."""
        step = self.sign_in.by_password(email, self.password, self.caller(address))
        assert isinstance(step, SecondStep)
        return step.cookie

    def act(self, who: NewSession | Principal) -> Act:
        """An act of theirs, now."""
        principal = who if isinstance(who, Principal) else who.administrator.principal(who.session.id)
        return Act(
            principal=principal,
            now=self.clock.now(),
            request_id="req_00000000000000000000test",
            address="192.0.2.1",
            token_bytes=secrets.token_bytes,
        )

    def principal(self, cookie: str) -> Principal:
        """Whom this cookie lets in; raises `Unauthenticated`."""
        header = f"{self.sessions.name}={cookie}".encode()
        return anyio.run(self.sessions, Request({"type": "http", "headers": [(b"cookie", header)]}))

    def events(self) -> list[Recorded]:
        """The audit log, oldest first."""
        return self.database.read(lambda tx: above(tx.connection, 0, 1000))


@pytest.fixture
def entrance(database: Database) -> Entrance:
    """The entrance of an authority that nobody administers yet."""
    clock = Clock()
    terms = SessionTerms(idle=timedelta(hours=1), lifetime=timedelta(hours=12))
    sign_in = SignIn(
        database, now=clock.now, monotonic=clock.monotonic, token_bytes=secrets.token_bytes, hashing=cheap_hashing()
    )
    steps = SecondSteps(
        database,
        sign_in,
        sealing_of(MasterKey(bytes(range(32))), secrets.token_bytes),
        now=clock.now,
        token_bytes=secrets.token_bytes,
    )
    sessions = Sessions(database, name="authsec-session", terms=terms, now=clock.now)
    return Entrance(database, clock, sign_in, sessions, steps)


def _load(name: str) -> ModuleType:
    """Test folders are no packages, so a module that several tests share is loaded by its path."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def peers() -> ModuleType:
    """What peers.py has for speaking to servers on loopback."""
    return _load("peers")


@pytest.fixture
def peer(peers: Any) -> Iterator[Callable[..., Any]]:
    """Starts servers that say what they are told: `peer(b"HTTP/1.1 200 OK…")`."""
    with ExitStack() as stack:
        yield lambda say, **options: stack.enter_context(peers.Peer(say, **options))


@pytest.fixture(scope="session")
def counted_audit_logs() -> ModuleType:
    """What counted_audit_log.py has: the first log of each kind of database is filled, the others are copies."""
    return _load("counted_audit_log")


@pytest.fixture
def counted_audit_log(database: Database, counted_audit_logs: Any) -> Any:
    """An audit log of three months, sealed and counted, once per kind of database."""
    return counted_audit_logs.Counted(database)


@pytest.fixture
def provider(peer: Any, peers: Any) -> Any:
    """An OpenID provider that can be told to lie: the `FakeProvider` of fake_provider.py."""
    return _load("fake_provider").FakeProvider(peers, peer)
