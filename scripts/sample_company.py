"""Make the data of a sample company, which has used its authority for two weeks. Screenshots and page tests use it.

An authority in this process makes all data through its HTTP API. Its clock starts two weeks ago and is moved forward.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from authsec.jose import PrivateKey, assemble, signing_input
from authsec_server.apis import credentials
from authsec_server.app import Runtime, open_authority
from authsec_server.db import Database, Tx
from authsec_server.revocations import subscribers as followers
from authsec_server.settings import Settings
from starlette.testclient import TestClient
from structlog.testing import capture_logs

DAYS = 14
DAY = timedelta(days=1)
TOKENS = "/authsec/uflow/sdk/delegation-token"
HOUR = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Staff:
    """An agent of the company and its trust delegation. Without `role` (a slug), there is no trust delegation.

    `daily` is the number of token requests a day. If `retired`, the agent and its trust delegation are disabled.
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
CLUSTER, RETIRED_CLUSTER = "production-cluster", "old-cluster"
CLUSTERS = {CLUSTER: "https://kubernetes.example.com", RETIRED_CLUSTER: "https://old-kubernetes.example.com"}
ACCOUNT, MISTAKEN_ACCOUNT = "customer-support-sa", "customer-support"
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
        selectors=(("k8s:ns", "production"), ("k8s:sa", ACCOUNT)),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """The APIs, roles and agents of a company, and the issuers of its clusters. The second cluster is retired."""

    apis: Mapping[str, tuple[str, Mapping[str, str]]]
    roles: Mapping[str, Sequence[str]]
    staff: Sequence[Staff]
    clusters: Mapping[str, str]


COMPANY = Company(apis=APIS, roles=ROLES, staff=STAFF, clusters=CLUSTERS)


@dataclass
class Clock:
    """The authority's clock. The script moves `now` forward."""

    now: datetime

    def monotonic(self) -> float:
        """Return `now` in seconds, so that rate limits see the same time."""
        return self.now.timestamp()


@dataclass
class Past:
    """The running authority and its clock.

    `keys` are the private keys of agents, by Client ID. `cluster` is the key with which the first cluster signs tokens
    of pods. `pod` is the Client ID of the agent that runs in the cluster. `credentials` are those of APIs, by audience.
    """

    http: TestClient
    clock: Clock
    issuer: str
    database: Database
    company: Company
    keys: dict[str, PrivateKey] = field(default_factory=dict)
    cluster: PrivateKey = field(default_factory=PrivateKey.generate_ec)
    pod: str = ""
    credentials: dict[str, str] = field(default_factory=dict)

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """Send one request to the admin API. Raises `RuntimeError` for an error response."""
        answer = self.http.post(f"/authsec/api/v1/{path}", json=body)
        if not answer.is_success:
            raise RuntimeError(answer.text)
        made: dict[str, Any] = answer.json()
        return made

    def ask(self, client_id: str, *, account: str = ACCOUNT, **parameters: str) -> None:
        """Send a token request with the agent's proof, if it has one. Refusals are part of the sample."""
        proof = self._assertion(client_id) if client_id in self.keys else ""
        if client_id == self.pod:
            proof = self._pod_token(account)
        headers = {"Authorization": f"Bearer {proof}"} if proof else {}
        self.http.get(TOKENS, params={"client_id": client_id} | parameters, headers=headers)

    def _pod_token(self, account: str) -> str:
        """Return a token as the cluster issues it to a pod of this service account."""
        now = int(self.clock.now.timestamp())
        bound = {
            "namespace": "production",
            "pod": {"name": "customer-support-7f9c5b4d6-x2x7k", "uid": "5b2cb9d4-4a36-4f5b-9f0e-8d6a9a0f1c22"},
            "serviceaccount": {"name": account, "uid": "b1fb3d0c-33c5-4d77-bbcb-8d2b1f6a4a10"},
        }
        issuer = next(iter(self.company.clusters.values()))
        claims = {"iss": issuer, "sub": f"system:serviceaccount:production:{account}", "aud": [self.issuer]}
        header = {"alg": self.cluster.algorithm, "kid": "cluster-1"}
        unsigned = signing_input(header, claims | {"iat": now, "exp": now + HOUR, "kubernetes.io": bound})
        return assemble(unsigned, self.cluster.sign(unsigned))

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
    company: Company = COMPANY,
) -> None:
    """Make the company's database, with events of the last `days` before `now`. `token_bytes` makes the ids."""
    settings.data.mkdir(parents=True)
    with _past(settings, now - days * DAY, token_bytes, company) as past:
        for name, (identifier, actions) in company.apis.items():
            described = [{"action": action, "description": text} for action, text in actions.items()]
            kind = "mcp_server" if name == "Ledger" else "api"
            api = past.post("apis", name=name, kind=kind, identifier=identifier, actions=described)
            past.credentials[identifier] = past.post(f"apis/{api['slug']}/credentials", name="first")["credential"]
        for name, held in company.roles.items():
            past.post("roles", name=name, actions=[*held])
        agents = [(_onboard(past, each), each) for each in company.staff]
        _trust(past)
        past.pod = next(client_id for client_id, agent in agents if agent.platform == "kubernetes")
        for _ in range(days):
            _a_day(past, agents)
        _follow(past)


@contextmanager
def _past(settings: Settings, now: datetime, token_bytes: Callable[[int], bytes], company: Company) -> Iterator[Past]:
    clock = Clock(now)
    around = Runtime(now=lambda: clock.now, monotonic=clock.monotonic, token_bytes=token_bytes)
    with (
        capture_logs(),  # suppresses hundreds of log lines
        open_authority(_may_look_up(settings), local_operator=True, runtime=around) as authority,
    ):
        http = TestClient(authority.app, base_url=settings.issuer, client=("10.20.3.17", 50_000))
        yield Past(http=http, clock=clock, issuer=settings.issuer, database=authority.database, company=company)
        http.close()


def _may_look_up(settings: Settings) -> Settings:
    """Add a folder for credentials. Only then can a cluster with look-ups be registered."""
    return settings.model_copy(update={"credentials_dir": settings.data})


def _onboard(past: Past, agent: Staff) -> str:
    """Register the agent and its trust delegation. Return the Client ID."""
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
            audiences=[past.company.apis[agent.api][0]] if agent.api else [],
            max_duration=HOUR,
            owner=agent.owner,
        )["id"]
        if agent.retired:
            past.post(f"delegations/{delegation}/disable")
    if agent.retired:
        past.post(f"clients/{client_id}/disable")
    return client_id


def _trust(past: Past) -> None:
    """Register both clusters as trusted issuers. Bind the agents to one, and disable the other."""
    used, retired = past.company.clusters
    keys = {used: past.cluster, retired: PrivateKey.generate_ec()}
    # This address is never called, because no proof in the sample needs a look-up.
    asked = {used: {"api_server": "https://10.20.0.1:6443", "credentials": "production.token", "pod_lookup": True}}
    for slug, issuer in past.company.clusters.items():
        published = {"keys": [{**keys[slug].public.to_jwk(), "kid": "cluster-1"}]}
        named = {"name": slug.replace("-", " ").capitalize(), "slug": slug, "kind": "kubernetes", "issuer": issuer}
        past.post("issuers", **named, keys_from="given", given_keys=published, **asked.get(slug, {}))
    past.post(f"issuers/{used}/bind")
    past.post(f"issuers/{retired}/disable")


def _follow(past: Past) -> None:
    """Record which APIs follow the feed: one with a credential, one without, and one that stopped yesterday."""
    (first, _), (second, _), (third, _), *_ = past.company.apis.values()
    for proved, seen_at in (({first: True, second: False}, past.clock.now), ({third: False}, past.clock.now - DAY)):
        past.database.append(partial(followers.note, proved=proved, now=seen_at))
        for identifier in (each for each, is_proved in proved.items() if is_proved):
            past.database.append(partial(_use_credential, text=past.credentials[identifier], now=seen_at))


def _use_credential(tx: Tx, text: str, now: datetime) -> None:
    """Record a use of the credential, as the server does when a reader of the feed sends it."""
    holder = credentials.find(tx, text)
    assert holder is not None
    credentials.used(tx, holder.credential, now)


def _a_day(past: Past, agents: list[tuple[str, Staff]]) -> None:
    """Send the token requests of one day. At the end, two requests are refused.

    The first agent requests an action that is not delegated. A pod with another service account requests a token of
    the agent in the cluster.
    """
    begin = past.clock.now
    asks = [(DAY * (time + 0.5) / agent.daily, client_id) for client_id, agent in agents for time in range(agent.daily)]
    for after, client_id in sorted(asks):
        past.clock.now = begin + after
        past.ask(client_id)
    past.ask(agents[0][0], scope="ledger:post")
    past.ask(past.pod, account=MISTAKEN_ACCOUNT)
    past.clock.now = begin + DAY
