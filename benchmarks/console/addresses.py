"""Every page of the console that shows something, as an address; of lists each way of narrowing and sorting them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode

from authsec_server.clients.model import ClientKind, Platform
from authsec_server.console.activity.query import GROUPS
from authsec_server.console.client_status import WARNINGS
from authsec_server.delegations.client_state import ClientState
from authsec_server.delegations.model import DelegationSort, DelegationState, TargetType
from one_of_each import Agent, Examples

NOBODY = "203.0.113.1"
NOTHING = "nothing is called so"


def addresses(one: Examples) -> Iterator[str]:
    """All of them."""
    yield from _overviews(one)
    yield from _searches(one)
    yield from _clients(one)
    for agent in (one.busy, one.quiet):
        yield from _client(agent)
    yield from _delegations(one)
    yield from _delegation(f"/console/delegations/{one.delegation}")
    yield from _new_delegation(one)
    yield from _roles(one)
    yield from _apis(one)
    yield from _activity(one)
    yield from _administration(one)


def _at(path: str, **query: object) -> str:
    return f"{path}?{urlencode(query, doseq=True)}" if query else path


def _overviews(one: Examples) -> Iterator[str]:
    yield "/console"
    yield "/console/picture"
    yield _at("/console/picture", role=one.role)
    yield _at("/console/picture", client=one.busy.client.slug)
    yield _at("/console/picture", api=one.audience)
    yield _at("/console/picture", owner=one.busy.client.owner)
    yield _at("/console/picture", owner=NOTHING)


def _searches(one: Examples) -> Iterator[str]:
    named = ("agent", "support", one.busy.client.name, one.busy.client.id, one.delegation, one.role, one.audience)
    for text in (*named, "admin", one.jti, one.request_id, "a", NOTHING, "0123456789abcdef0123456789abcdef"):
        yield _at("/console/search", q=text)
        yield _at("/console/search/suggestions", q=text)


def _clients(one: Examples) -> Iterator[str]:
    path = "/console/clients"
    yield path
    for sort, cursor in one.cursors.items():
        for turn in ("", "-"):
            yield _at(path, sort=f"{turn}{sort}")
            yield _at(path, sort=f"{turn}{sort}", cursor=cursor)
    for text in ("agent", one.busy.client.name, one.busy.client.id[:8], NOTHING):
        yield _at(path, text=text)
        yield _at(path, text=text, sort="-created")
    yield from (_at(path, kind=kind) for kind in ClientKind)
    yield from (_at(path, platform=platform) for platform in Platform)
    yield from (_at(path, state=state) for state in ClientState)
    yield from (_at(path, status="enabled", warning=warning) for warning in WARNINGS)
    yield _at(path, owner=one.busy.client.owner)
    yield _at(path, owner=NOTHING)
    yield _at(path, label="team=support")
    yield _at(path, label="team")
    yield _at(path, label="nothing=here")
    yield _at(path, kind="mcp_server", platform="docker", state="unproved", warning="secret", sort="owner")
    yield "/console/clients/onboard"
    yield _at("/console/clients/disable", client=list(one.many))


def _client(agent: Agent) -> Iterator[str]:
    yield agent.path
    for part in ("connect", "test", "edit", "proofs/add", f"proofs/{agent.proof}/remove"):
        yield f"{agent.path}/{part}"
    yield _at(f"{agent.path}/test", scope="customers:read", resource="https://customers-0.example.com")
    for ending in ("disable", "enable", "revoke", "delete"):
        yield f"{agent.path}/{ending}"


def _delegations(one: Examples) -> Iterator[str]:
    path = "/console/delegations"
    yield path
    for sort in DelegationSort:
        yield _at(path, sort=sort)
        yield _at(path, sort=sort, cursor=one.later)
        yield _at(path, sort=sort, q="agent", state="live")
    yield from (_at(path, state=state) for state in DelegationState)
    yield _at(path, state="unused", sort="oldest")
    yield from (_at(path, target_type=kind) for kind in TargetType)
    yield from (_at(path, q=text) for text in ("support", one.busy.client.name, one.delegation[:8], NOTHING))
    yield _at(path, role=one.role)
    yield _at(path, role=one.role, state="revoked")
    yield _at(path, client=one.busy.client.slug)
    yield _at(path, role=one.role, client=one.quiet.client.slug, sort="ends")


def _delegation(path: str) -> Iterator[str]:
    yield path
    yield from (f"{path}/{part}" for part in ("edit", "disable", "enable", "revoke"))


def _new_delegation(one: Examples) -> Iterator[str]:
    path = "/console/delegations/new"
    draft = {"role": one.role, "client": one.busy.client.slug}
    yield path
    yield _at(path, role_text="support", client_text="agent")
    yield _at(path, client_text=NOTHING)
    yield _at(path, **draft)
    yield _at(path, **draft, actions=one.role_actions)
    yield _at(path, **draft, actions=one.role_actions, audiences=one.audience)
    yield f"{path}/clients"
    yield from (_at(f"{path}/clients", q=text) for text in ("agent", NOTHING))


def _roles(one: Examples) -> Iterator[str]:
    path = f"/console/roles/{quote(one.role)}"
    yield "/console/roles"
    yield _at("/console/roles", q="support")
    yield _at("/console/roles", q=NOTHING)
    yield "/console/roles/new"
    yield path
    yield f"{path}/edit"
    yield f"{path}/delete"


def _apis(one: Examples) -> Iterator[str]:
    path = f"/console/apis/{quote(one.api)}"
    yield "/console/apis"
    yield _at("/console/apis", text="api")
    yield _at("/console/apis", text=NOTHING)
    yield "/console/apis/new"
    yield path
    yield f"{path}/edit"
    yield f"{path}/delete"


def _activity(one: Examples) -> Iterator[str]:
    path, busy, quiet = "/console/activity", one.busy.client.slug, one.quiet.client.slug
    today = datetime.now(UTC).date()
    month, day = today - timedelta(days=30), today - timedelta(days=29)
    yield path
    yield _at(path, cursor=one.back)
    yield from (_at(path, what=group) for group in GROUPS)
    yield _at(path, what="client.disabled")
    yield from (_at(path, client=client) for client in (busy, quiet))
    yield from (_at(path, client=busy, what=what) for what in ("issued", "refused", "clients", "keys"))
    yield _at(path, delegation=one.delegation)
    yield _at(path, by=f"administrator:{one.administrator}")
    yield _at(path, by="server:")
    yield from (_at(path, reason=reason) for reason in ("attestation_required", "client_disabled", "scope_unknown"))
    yield _at(path, address=NOBODY)
    yield _at(path, client=busy, address=NOBODY)
    yield _at(path, request_id=one.request_id)
    yield _at(path, jti=one.jti)
    yield _at(path, range="week")
    yield _at(path, since=month)
    yield _at(path, since=month, until=day)
    yield _at(path, until=month)
    yield _at(path, client=busy, since=month)
    yield _at(path, what="refused", since=month, until=day)
    yield from (f"{path}/{number}" for number in (one.token, one.refusal, one.act))


def _administration(one: Examples) -> Iterator[str]:
    yield "/console/administrators"
    yield f"/console/administrators/{one.administrator}"
    yield f"/console/administrators/{one.administrator}/reset"
    yield "/console/administrators/invite"
    yield "/console/administrators/keys/new"
    yield "/console/keys"
    yield "/console/keys/rotate"
    yield "/console/issuers"
    yield "/console/settings"
    yield "/console/account"
    yield "/console/account/password"
    yield "/console/sign-in"
