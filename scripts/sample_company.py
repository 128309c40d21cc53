"""A company that has worked with its authority for two weeks: what pictures and tests of pages look at.

Everything is made through the public doors, by an authority in this process whose clock is set back and goes forward.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from authsec.jose import PrivateKey, assemble, signing_input
from authsec_server.app import Surroundings, open_authority
from authsec_server.settings import Settings
from starlette.testclient import TestClient
from structlog.testing import capture_logs

DAYS = 14
DAY = timedelta(days=1)
TOKENS = "/authsec/uflow/sdk/delegation-token"
HOUR = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Staff:
    """An agent of the company; its trust delegation, unless it has no role (a slug); how many tokens it wants a day.

    One that is `retired` was disabled, and its trust delegation as well.
    """

    name: str
    platform: str
    owner: str
    daily: int
    role: str = ""
    actions: tuple[str, ...] = ()
    api: str = ""
    target_type: str = "AutoGen AI agent"
    selectors: tuple[tuple[str, str], ...] = ()
    retired: bool = False


APIS = {
    "Customers API": (
        "https://customers.example.com",
        {"customers:read": "Look up customers by name or number.", "customers:update": "Change address and consent."},
    ),
    "Claims API": (
        "https://claims.example.com",
        {"claims:read": "Read claims and their papers.", "claims:decide": "Settle or refuse a claim."},
    ),
    "Ledger": (
        "https://ledger.example.com",
        {"ledger:read": "Read entries and balances.", "ledger:post": "Post entries to open periods."},
    ),
}
CLUSTERS = {
    "Production cluster": "https://kubernetes.example.com",
    "Old cluster": "https://old-kubernetes.example.com",
}
RETIRED_CLUSTER = "old-cluster"
ROLES = {
    "Customer support": ["customers:read", "customers:update", "claims:read"],
    "Claims handling": ["claims:read", "claims:decide", "customers:read"],
    "Bookkeeping": ["ledger:read", "ledger:post"],
    "Reporting": ["claims:read", "customers:read", "ledger:read"],
}
STAFF = (
    Staff(
        name="Claims Triage",
        platform="key",
        owner="Claims",
        daily=9,
        role="claims-handling",
        actions=("claims:read", "claims:decide"),
        api="Claims API",
    ),
    Staff(
        name="Invoice Matcher",
        platform="key",
        owner="Finance",
        daily=6,
        role="bookkeeping",
        actions=("ledger:read", "ledger:post"),
        api="Ledger",
        target_type="LangChain AI agent",
    ),
    Staff(
        name="Policy Search",
        platform="key",
        owner="Platform",
        daily=4,
        role="reporting",
        actions=("customers:read",),
        api="Customers API",
        target_type="MCP server",
    ),
    Staff(
        name="Night Reports",
        platform="unattested",
        owner="Finance",
        daily=2,
        role="reporting",
        actions=("ledger:read",),
        target_type="CrewAI AI agent",
    ),
    Staff(
        name="Customer Support",
        platform="kubernetes",
        owner="Service",
        daily=3,
        role="customer-support",
        actions=("customers:read",),
        api="Customers API",
        selectors=(("k8s:ns", "production"), ("k8s:sa", "customer-support-sa"), ("k8s:pod-label:app", "support")),
    ),
    Staff(
        name="Fraud Watch",
        platform="docker",
        owner="Claims",
        daily=0,
        role="claims-handling",
        actions=("claims:read",),
        api="Claims API",
        target_type="LlamaIndex AI agent",
        selectors=(("docker:label:app", "fraud-watch"),),
    ),
    Staff(name="Renewal Reminder", platform="unix", owner="Service", daily=1, selectors=(("unix:uid", "1001"),)),
    Staff(
        name="Letter Drafts",
        platform="docker",
        owner="Service",
        daily=0,
        role="customer-support",
        actions=("customers:read",),
        api="Customers API",
        selectors=(("docker:label:app", "letter-drafts"),),
        retired=True,
    ),
)


@dataclass
class Clock:
    """The authority's, as far as it has come."""

    now: datetime

    def monotonic(self) -> float:
        """Goes with it, so that rate limits see the days pass, too."""
        return self.now.timestamp()


@dataclass
class Past:
    """The authority, its clock, and the private keys of the agents that have one."""

    http: TestClient
    clock: Clock
    issuer: str
    keys: dict[str, PrivateKey] = field(default_factory=dict)

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """One call of the admin API."""
        answer = self.http.post(f"/authsec/api/v1/{path}", json=body)
        if not answer.is_success:
            raise RuntimeError(answer.text)
        made: dict[str, Any] = answer.json()
        return made

    def ask(self, client_id: str, **parameters: str) -> None:
        """Ask for a token, with whatever proof the agent has; refusals are part of the story."""
        headers = {"Authorization": f"Bearer {self._assertion(client_id)}"} if client_id in self.keys else {}
        self.http.get(TOKENS, params={"client_id": client_id} | parameters, headers=headers)

    def _assertion(self, client_id: str) -> str:
        key, now = self.keys[client_id], int(self.clock.now.timestamp())
        claims = {"iss": client_id, "sub": client_id, "aud": self.issuer, "iat": now, "exp": now + 60}
        header = {"alg": key.algorithm, "typ": "client-authentication+jwt"}
        unsigned = signing_input(header, claims | {"jti": secrets.token_hex(16)})
        return assemble(unsigned, key.sign(unsigned))


def found(
    settings: Settings,
    now: datetime,
    *,
    days: int = DAYS,
    token_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> None:
    """Make its database, with `days` of work until `now`; its ids are made of `token_bytes`."""
    settings.data.mkdir(parents=True)
    with _past(settings, now - days * DAY, token_bytes) as past:
        for name, (identifier, actions) in APIS.items():
            described = [{"action": action, "description": text} for action, text in actions.items()]
            past.post("apis", name=name, identifier=identifier, actions=described)
        for name, held in ROLES.items():
            past.post("roles", name=name, actions=held)
        agents = [(_onboard(past, each), each) for each in STAFF]
        for name, issuer in CLUSTERS.items():
            _trust(past, name, issuer)
        past.post(f"sources/{RETIRED_CLUSTER}/disable")
        for _ in range(days):
            _a_day(past, agents)


@contextmanager
def _past(settings: Settings, now: datetime, token_bytes: Callable[[int], bytes]) -> Iterator[Past]:
    clock = Clock(now)
    around = Surroundings(now=lambda: clock.now, monotonic=clock.monotonic, token_bytes=token_bytes)
    with (
        capture_logs(),  # hundreds of lines that nobody wants to read
        open_authority(settings, local_operator=True, surroundings=around) as authority,
    ):
        http = TestClient(authority.app, base_url=settings.issuer, client=("10.20.3.17", 50_000))
        yield Past(http=http, clock=clock, issuer=settings.issuer)
        http.close()


def _onboard(past: Past, agent: Staff) -> str:
    """Make it a client, with its trust delegation; the Client ID."""
    key = PrivateKey.generate_ed25519() if agent.platform == "key" else None
    client_id: str = past.post(
        "clients",
        name=agent.name,
        platform=agent.platform,
        kind="mcp_server" if agent.target_type == "MCP server" else "ai_agent",
        owner=agent.owner,
        selectors=[{"key": name, "value": value} for name, value in agent.selectors],
        public_key=key.public.to_pem().decode() if key else None,
    )["client_id"]
    if key:
        past.keys[client_id] = key
    if agent.role:
        delegation = past.post(
            "delegations",
            role=agent.role,
            client=client_id,
            target_type=agent.target_type,
            actions=[*agent.actions],
            audiences=[APIS[agent.api][0]] if agent.api else [],
            max_duration=HOUR,
            owner=agent.owner,
        )["id"]
        if agent.retired:
            past.post(f"delegations/{delegation}/disable")
    if agent.retired:
        past.post(f"clients/{client_id}/disable")
    return client_id


def _trust(past: Past, name: str, issuer: str) -> None:
    """Let the cluster's word count, by a key that nobody has."""
    keys = {"keys": [{**PrivateKey.generate_ec().public.to_jwk(), "kid": "cluster-1"}]}
    past.post("sources", name=name, kind="kubernetes", issuer=issuer, keys_from="given", given_keys=keys)


def _a_day(past: Past, agents: list[tuple[str, Staff]]) -> None:
    """Each asks as often as it does, all day long; at the end the first asks for more than it may."""
    begin = past.clock.now
    asks = [(DAY * (time + 0.5) / agent.daily, client_id) for client_id, agent in agents for time in range(agent.daily)]
    for after, client_id in sorted(asks):
        past.clock.now = begin + after
        past.ask(client_id)
    past.ask(agents[0][0], scope="ledger:post")
    past.clock.now = begin + DAY
