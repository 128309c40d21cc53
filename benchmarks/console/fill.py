"""Fills a database like that of a company with many agents, for measuring how fast the console's pages are.

    uv run --no-sync python benchmarks/console/fill.py sqlite:////tmp/authsec.sqlite3
    uv run --no-sync python benchmarks/console/fill.py postgresql+psycopg://user@host/empty_database

10,000 agents of 200 owners, as many trust delegations, 50 roles, 30 APIs, 7 administrators and 1,000,000 events of 60
days, unless asked otherwise; the same each time. A few agents are very busy, most are quiet, some were never used; the
busiest has 40 trust delegations.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import accumulate, islice
from random import Random
from typing import Any
from uuid import UUID

from authsec_server.accounts.model import Administrator
from authsec_server.accounts.store.administrators import add as add_administrator
from authsec_server.apis.model import Action, Api, ApiKind
from authsec_server.apis.store import add as add_api
from authsec_server.audit import rollup
from authsec_server.audit.model import Decision, Event, EventKind, Named
from authsec_server.audit.months import prepare_months
from authsec_server.audit.store import events, row_of
from authsec_server.clients.model import Client, ClientKind, Platform, Proof, ProofKind, Selector
from authsec_server.clients.store import add as add_client
from authsec_server.db import Database, Tx, open_database
from authsec_server.delegations.model import Delegation, TargetType
from authsec_server.delegations.store import add as add_delegation
from authsec_server.principal import Principal, PrincipalKind, Role
from authsec_server.roles.model import RoleDefinition
from authsec_server.roles.store import add as add_role
from sqlalchemy import insert, text

DEPARTMENTS = (
    "Support",
    "Billing",
    "Fraud",
    "Logistics",
    "Research",
    "Sales",
    "Security",
    "Legal",
    "Finance",
    "People",
)
THINGS = (
    "customers",
    "orders",
    "invoices",
    "tickets",
    "shipments",
    "contracts",
    "payments",
    "reports",
    "devices",
    "keys",
)
VERBS = ("read", "list", "create", "update", "delete")
OWNERS = tuple(f"{department.lower()}-{team}@example.com" for department in DEPARTMENTS for team in range(1, 21))
PEOPLE = tuple(
    Principal(
        kind=PrincipalKind.ADMINISTRATOR, id=str(UUID(int=number, version=4)), name=f"Admin {number}", role=Role.ADMIN
    )
    for number in range(1, 8)
)
REFUSED_ALONE = ("action_not_allowed", "invalid_target", "client_disabled", "no_delegation", "delegation_ended")
REFUSED_COUNTED = ("attestation_required", "attestation_invalid", "rate_limited", "client_not_found")
ACTS = (
    EventKind.DELEGATION_CREATED,
    EventKind.CLIENT_DISABLED,
    EventKind.CLIENT_ENABLED,
    EventKind.DELEGATION_DISABLED,
)
PLATFORMS = (Platform.KUBERNETES, Platform.KUBERNETES, Platform.KEY, Platform.DOCKER, Platform.UNATTESTED)
BUSIEST_HAS = 40  # trust delegations; so many are looked at one by one when it is asked what would end with them
BATCH = 5000
COUNTED_AT_ONCE = 20_000  # events; a server takes smaller steps, for tokens wait while it does


@dataclass(kw_only=True)
class Company:
    """What is there, and chance: the same each time."""

    agents: int
    days: int
    now: datetime
    chance: Random = field(default_factory=lambda: Random(20261125))  # noqa: S311 - not for secrets
    roles: list[RoleDefinition] = field(default_factory=list)
    apis: list[Api] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)
    delegations: dict[str, list[Delegation]] = field(default_factory=dict)  # by client

    @property
    def start(self) -> datetime:
        return self.now - timedelta(days=self.days)

    def new_id(self) -> str:
        return str(UUID(int=self.chance.getrandbits(128), version=4))

    def set_up(self) -> None:
        """Think up everything but the events."""
        self.apis = [self._api(number) for number in range(30)]
        self.roles = [self._role(number) for number in range(50)]
        self.clients = [self._client(number) for number in range(self.agents)]
        for client in self.clients:
            several = self.chance.choices((0, 1, 2), (10, 80, 10))[0]
            held = BUSIEST_HAS if client is self.clients[0] else several
            self.delegations[client.id] = [self._delegation(client) for _ in range(held)]

    def _api(self, number: int) -> Api:
        thing = THINGS[number % len(THINGS)]
        actions = tuple(Action(action=f"{thing}:{verb}", description=f"{verb} {thing}") for verb in sorted(VERBS))
        return Api(
            id=self.new_id(),
            slug=f"{thing}-{number}",
            name=f"{thing.title()} API {number}",
            kind=ApiKind.MCP_SERVER if number % 5 == 0 else ApiKind.API,
            identifier=f"https://{thing}-{number}.example.com",
            description="",
            actions=actions,
            created_at=self.start,
        )

    def _role(self, number: int) -> RoleDefinition:
        offered = [f"{thing}:{verb}" for thing in self.chance.sample(THINGS, 2) for verb in VERBS]
        department = DEPARTMENTS[number % len(DEPARTMENTS)]
        return RoleDefinition(
            id=self.new_id(),
            slug=f"{department.lower()}-{number}",
            name=f"{department} {number}",
            description="",
            actions=tuple(sorted(offered)),
            created_at=self.start,
        )

    def _client(self, number: int) -> Client:
        department, platform = self.chance.choice(DEPARTMENTS), self.chance.choice(PLATFORMS)
        id_ = self.new_id()
        created = self.start + timedelta(seconds=number)
        return Client(
            id=id_,
            slug=f"{department.lower()}-agent-{number}",
            name=f"{department} agent {number}",
            kind=ClientKind.MCP_SERVER if number % 25 == 0 else ClientKind.AI_AGENT,
            platform=platform,
            owner=self.chance.choice(OWNERS),
            description="",
            labels={"team": department.lower()},
            enabled=number % 50 != 7,
            created_at=created,
            proofs=(self._proof(id_, platform, created),),
        )

    def _proof(self, client_id: str, platform: Platform, created: datetime) -> Proof:
        proof = Proof(id=self.new_id(), client_id=client_id, kind=ProofKind.UNATTESTED, created_at=created)
        if platform is Platform.UNATTESTED:
            return proof
        if platform is Platform.KEY:
            mark = self.chance.randbytes(32).hex()
            key = {"kty": "OKP", "crv": "Ed25519", "x": mark[:43]}
            return _changed(proof, kind=ProofKind.KEY_PAIR, public_key=key, thumbprint=mark[:43])
        selectors = (Selector(key="k8s:ns", value="production"), Selector(key="k8s:sa", value=client_id[:8]))
        return _changed(proof, kind=ProofKind.SELECTORS, selectors=selectors)

    def _delegation(self, client: Client) -> Delegation:
        role = self.chance.choice(self.roles)
        chosen = self.chance.sample(role.actions, 4)
        fate = self.chance.random()
        return Delegation(
            id=self.new_id(),
            role_id=role.id,
            client_id=client.id,
            target_type=self.chance.choice(list(TargetType)),
            actions=tuple(sorted(chosen)),
            max_duration=self.chance.choice((900, 3600, 3600, 3600, 28_800)),
            audiences=() if self.chance.random() < 0.2 else (self.chance.choice(self.apis).identifier,),
            ends_at=self.now + timedelta(days=self.chance.randint(1, 90)) if fate < 0.2 else None,
            enabled=fate < 0.95,
            revoked_at=self.now - timedelta(days=self.chance.randint(1, 20)) if fate > 0.98 else None,
            owner=client.owner,
            description="",
            created_at=client.created_at,
        )

    def rows(self, number: int) -> Iterator[dict[str, Any]]:
        """So many rows of the journal, in the order of their times."""
        chance, kinds, span = self.chance, ("issued", "alone", "counted", "act"), self.days * 86_400
        names = {role.id: role.name for role in self.roles}
        busy = list(accumulate(1 / rank for rank in range(1, len(self.clients) + 1)))
        patterns = {client.id: self._issued(client, names) for client in self.clients}
        for offset in sorted(chance.random() * span for _ in range(number)):
            at = self.start + timedelta(seconds=offset)
            client = chance.choices(self.clients, cum_weights=busy)[0]
            kind = chance.choices(kinds, (90, 5, 4, 1))[0]
            pattern = patterns[client.id]
            if kind == "act":
                yield self._act(client, at)
            elif kind == "issued" and pattern:
                yield self._token(chance.choice(pattern), at)
            else:
                yield self._refusal(client, at, counted=kind == "counted")

    def _issued(self, client: Client, names: dict[str, str]) -> list[tuple[dict[str, Any], int]]:
        """What stays the same in the rows of this client's tokens, by delegation, and how long its tokens live."""
        return [
            (
                row_of(
                    Event(
                        at=self.now,
                        kind=EventKind.TOKEN_ISSUED,
                        request_id="",
                        client=Named(id=client.id, name=client.name),
                        delegations=(Named(id=each.id, name=f"{names[each.role_id]} → {client.name}"),),
                        roles=(Named(id=each.role_id, name=names[each.role_id]),),
                        decision=Decision.GRANTED,
                        address=f"10.0.{int(client.id[:2], 16)}.{int(client.id[2:4], 16)}",
                        authority_version=20_000,
                        kid="benchmark",
                        detail={
                            "actions": list(each.actions),
                            "audience": list(each.audiences),
                            "attestation": client.proofs[0].kind,
                            "proof_id": client.proofs[0].id,
                        },
                    )
                )
                | {"occurrences": 1, "count_key": None},
                each.max_duration,
            )
            for each in self.delegations[client.id]
        ]

    def _token(self, pattern: tuple[dict[str, Any], int], at: datetime) -> dict[str, Any]:
        row, life = pattern
        jti = f"{self.chance.getrandbits(128):032x}"
        return row | {
            "at": at,
            "request_id": f"req_{jti[:24]}",
            "jti": jti,
            "token_sha256": jti * 2,
            "expires_at": at + timedelta(seconds=life),
        }

    def _refusal(self, client: Client, at: datetime, *, counted: bool) -> dict[str, Any]:
        reason = self.chance.choice(REFUSED_COUNTED if counted else REFUSED_ALONE)
        address = f"192.0.2.{self.chance.randint(1, 254)}"
        known = reason != "client_not_found"
        event = Event(
            at=at.replace(second=0, microsecond=0) if counted else at,
            kind=EventKind.TOKEN_REFUSED,
            request_id=f"req_{self.chance.getrandbits(96):024x}",
            client=Named(id=client.id, name=client.name) if known else None,
            decision=Decision.DENIED,
            reason=reason,
            address=address,
            authority_version=None if counted else 20_000,
            detail={}
            if counted
            else {"actions": ["keys:delete"], "attestation": "key_pair", "details": "Not delegated."},
        )
        key = f"{reason}|{client.id}|{self.chance.getrandbits(64):x}" if counted else None
        return row_of(event) | {"occurrences": self.chance.randint(1, 60) if counted else 1, "count_key": key}

    def _act(self, client: Client, at: datetime) -> dict[str, Any]:
        event = Event(
            at=at,
            kind=self.chance.choice(ACTS),
            request_id=f"req_{self.chance.getrandbits(96):024x}",
            principal=self.chance.choice(PEOPLE),
            client=Named(id=client.id, name=client.name),
            address="198.51.100.7",
            authority_version=20_000,
        )
        return row_of(event) | {"occurrences": 1, "count_key": None}


def _changed(proof: Proof, **its: Any) -> Proof:
    return Proof(id=proof.id, client_id=proof.client_id, created_at=proof.created_at, **its)


def fill(database: Database, company: Company, number: int) -> None:
    """Write the company and its journal, and count what the journal holds."""
    company.set_up()
    database.append(lambda tx: _write_all(tx, company))
    database.append(lambda tx: prepare_months(tx.connection, company.start, ahead=company.days // 28 + 2))
    journal = company.rows(number)
    while rows := list(islice(journal, BATCH)):
        database.append(partial(_write_rows, rows=rows))
    rollup.BATCH = COUNTED_AT_ONCE
    while not rollup.roll_up(database, company.now):
        pass
    if database.dialect == "postgresql":  # as autovacuum would, a minute later
        database.append(lambda tx: tx.connection.execute(text("ANALYZE")))


def _write_all(tx: Tx, company: Company) -> None:
    for number, each in enumerate(PEOPLE, start=1):
        email = f"admin-{number}@example.com"
        person = Administrator(id=each.id, email=email, name=each.name, role=each.role, created_at=company.start)
        add_administrator(tx.connection, person)
    for api in company.apis:
        add_api(tx.connection, api)
    for role in company.roles:
        add_role(tx.connection, role)
    for client in company.clients:
        add_client(tx.connection, client)
        for delegation in company.delegations[client.id]:
            add_delegation(tx.connection, delegation)


def _write_rows(tx: Tx, rows: list[dict[str, Any]]) -> None:
    tx.connection.execute(insert(events), rows)


def main() -> None:
    """Fill the database that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", help="SQLAlchemy URL of an empty database")
    parser.add_argument("--agents", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=60)
    asked = parser.parse_args()
    began = time.monotonic()
    database = open_database(asked.database)
    try:
        database.migrate()
        fill(database, Company(agents=asked.agents, days=asked.days, now=datetime.now(UTC)), asked.events)
    finally:
        database.close()
    print(f"{asked.agents} agents and {asked.events} events in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
