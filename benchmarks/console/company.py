"""A company with many agents, as a benchmark needs it: thought up by chance, and the same each time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from authsec_server.apis.model import Action, Api, ApiKind
from authsec_server.clients.model import Client, ClientKind, Platform, Proof, ProofKind, Selector
from authsec_server.delegations.model import Delegation, TargetType
from authsec_server.principal import Principal, PrincipalKind, Role
from authsec_server.roles.model import RoleDefinition

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
PLATFORMS = (Platform.KUBERNETES, Platform.KUBERNETES, Platform.KEY, Platform.DOCKER, Platform.UNATTESTED)
BUSIEST_HAS = 40  # trust delegations; so many are looked at one by one when it is asked what would end with them


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
        id_ = self.new_id()
        return Delegation(
            id=id_,
            slug=f"{client.slug[:40]}-{id_[:13]}",
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


def _changed(proof: Proof, **its: Any) -> Proof:
    return Proof(id=proof.id, client_id=proof.client_id, created_at=proof.created_at, **its)
