"""The page of one client: the next step, permissions, proofs, identity, and latest tokens and refusals.

For each proof, the page shows the refused workload that matched the most selectors of the proof.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from starlette.responses import Response

from authsec_server.audit import counts
from authsec_server.audit import service as audit
from authsec_server.audit.counts import Point
from authsec_server.audit.filters import TOKEN_KINDS, AuditLogPage, EventFilter
from authsec_server.audit.model import EventKind, Named, Recorded
from authsec_server.clients import enrolment_service
from authsec_server.clients import service as clients
from authsec_server.clients.binding_matching import lacks
from authsec_server.clients.enrolment import Enrolment
from authsec_server.clients.model import Client, Proof, ProofKind, spiffe_id
from authsec_server.clients.proof_status import ProofStatus, proof_status, sharing
from authsec_server.console.client_status import ClientStatus, status_of
from authsec_server.console.clients.issuer_commands import IssuerCommands, issuer_commands, lookup_commands
from authsec_server.console.clients.next_step import ClientProgress, Way, progress
from authsec_server.console.issuers.unavailable import outages, unavailable_among
from authsec_server.console.server_command import option_text
from authsec_server.console.site import PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import search as delegations
from authsec_server.delegations.effective import EffectiveAction, effective_actions
from authsec_server.delegations.model import GrantGap, ResolvedDelegation
from authsec_server.failures import Conflict, Invalid
from authsec_server.issuers import service as issuers
from authsec_server.issuers.model import TrustedIssuer, TrustedIssuerKind
from authsec_server.principal import Act
from authsec_server.tokens.hints import Remedy, remedy_of
from authsec_server.tokens.refusal import Reason
from authsec_server.tokens.revocation import revoked

LIST_TRAIL = [("Clients", ""), ("MCP Servers / AI Agents", "/console/clients")]
"""The breadcrumbs of a page below the list of clients."""


def find_client(tx: Tx, visit: PageRequest) -> Client:
    """Return the client with the id or slug in the path. Raises `NotFound`."""
    return clients.get(tx, visit.act, visit.named("client"))


def home(client: Client) -> str:
    """Return the path of the client's page.

    The path contains the id, because a slug can change and then belong to another client.
    """
    return f"/console/clients/{client.id}"


def trail(client: Client) -> list[tuple[str, str]]:
    """Return the breadcrumbs of a page below the client's page."""
    return [*LIST_TRAIL, (client.name, home(client))]


CHARTED = timedelta(days=7)
STEP = timedelta(hours=6)
LAST = 10  # rows shown; refusals of the same kind are one row
LOOKED_AT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldProof:
    """A proof of a client with its status and the time of the last token that was issued for the proof."""

    proof: Proof
    status: ProofStatus
    last_use: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One row of the latest token requests: an issued token, or a refusal.

    A token has the time of its revocation, and a refusal has its remedy. Consecutive refusals of the same kind
    are one row: `recorded` is the newest of them, and `first` the oldest. With `more`, the audit log may have
    older refusals of this kind.
    """

    recorded: Recorded
    first: Recorded
    times: int
    more: bool
    remedy: Remedy | None
    revoked_at: datetime | None


OPEN_GROUPS, OPEN_ACTIONS = 2, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PermissionGroup:
    """The actions of one live delegation. With `is_open`, the page shows the actions; otherwise they are folded.

    `gap` is the reason for which the delegation itself grants nothing, if there is one.
    """

    actions: Sequence[EffectiveAction]
    is_open: bool
    gap: GrantGap | None

    @property
    def first(self) -> EffectiveAction:
        """Return the first action: role, APIs and durations are those of all actions of the delegation."""
        return self.actions[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """The checklist of a client, and the commands for its next step."""

    progress: ClientProgress
    may_look_up: bool
    commands: IssuerCommands | None = None  # that add a trusted issuer, or turn its pod look-up on


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The data of the Overview tab, read from one database snapshot."""

    client: Client
    status: ClientStatus
    ahead: Ahead
    held: Sequence[HeldProof]
    codes: Sequence[Enrolment]
    near_misses: Mapping[str, ClosestMiss]  # by the proof's id
    sharing: Mapping[str, Sequence[Named]]  # other clients that the same workload can get tokens as, by the proof's id
    resolved_delegations: Sequence[ResolvedDelegation]
    permissions: Sequence[PermissionGroup]
    requests: Sequence[Request]
    points: Sequence[Point]

    @property
    def days(self) -> Mapping[str, tuple[int, int]]:
        """Return the issued and refused tokens by day."""
        by_day: dict[str, tuple[int, int]] = {}
        for point in self.points:
            day = f"{point.at:%Y-%m-%d}"
            issued, refused = by_day.get(day, (0, 0))
            by_day[day] = (issued + point.issued, refused + point.refused)
        return by_day


async def overview(visit: PageRequest, problem: Invalid | Conflict | None = None) -> Response:
    """Show the client's page."""
    silent = await outages(visit)
    seen = await visit.read(lambda tx: _overview(tx, visit, silent))
    return visit.render(
        "clients/overview.html",
        title=seen.client.name,
        problem=problem,
        seen=seen,
        ahead=seen.ahead,
        silent=await unavailable_among(visit, seen.client.trusted_issuer_ids),
        client=seen.client,
        client_status=seen.status,
        spiffe_id=spiffe_id(visit.console.settings.trust_domain, seen.client.id),
    )


def _overview(tx: Tx, visit: PageRequest, silent: Mapping[str, str]) -> Overview:
    act, terms = visit.act, visit.console.terms
    client = find_client(tx, visit)
    wanted = EventFilter(client_id=client.id, kinds=TOKEN_KINDS)
    status = status_of(tx, client, act.now, silent)
    resolved = delegations.of_client(tx, act, client.id, terms)
    return Overview(
        client=client,
        status=status,
        ahead=ahead_of(tx, visit, client, status, resolved),
        held=held(tx, client, act.now, visit.console.settings.trust_domain),
        codes=enrolment_service.open_of(tx, act, client.id),
        near_misses=closest_misses(tx, act, client),
        sharing=sharing(tx, client),
        resolved_delegations=resolved,
        permissions=_grouped(effective_actions(tx, act, client.id, terms), client, act.now),
        requests=_requests(tx, client, audit.page(tx, act.principal, wanted, limit=LOOKED_AT), act.now),
        points=counts.series(tx, act.now - CHARTED, act.now, STEP, client_id=client.id),
    )


def ahead_of(
    tx: Tx,
    visit: PageRequest,
    client: Client,
    status: ClientStatus,
    resolved: Sequence[ResolvedDelegation] | None = None,
) -> Ahead:
    """Return the checklist and the next step of the client.

    `resolved` are all delegations of the client, if they are already read.
    """
    act, domain, may = visit.act, visit.console.settings.trust_domain, visit.console.cluster_apis.possible
    found = progress(
        client,
        status.state,
        delegations.of_client(tx, act, client.id, visit.console.terms) if resolved is None else resolved,
        issuers.of_kinds(tx, [*TrustedIssuerKind]),
        counts.last_tokens(tx, [client.id]).get(client.id),
        act.now,
        trust_domain=domain,
    )
    commands, program, options = None, visit.program, option_text(visit.console.settings)
    if found.proof and found.proof.way is Way.LOOK_UP:
        commands = lookup_commands(found.proof.trusted_issuers[0].slug, program=program, options=options)
    elif found.proof and found.proof.way is Way.REGISTER:
        commands = issuer_commands(found.proof, trust_domain=domain, may_look_up=may, program=program, options=options)
    return Ahead(progress=found, may_look_up=may, commands=commands)


def _grouped(effective: Sequence[EffectiveAction], client: Client, now: datetime) -> list[PermissionGroup]:
    """Group the client's actions by delegation, the newest delegation first. Few short groups are open."""
    by_delegation: dict[str, list[EffectiveAction]] = {}
    for each in sorted(effective, key=lambda each: each.delegation.created_at, reverse=True):
        by_delegation.setdefault(each.delegation.id, []).append(each)
    few = len(by_delegation) <= OPEN_GROUPS
    return [
        PermissionGroup(
            actions=actions,
            is_open=few and len(actions) <= OPEN_ACTIONS,
            gap=actions[0].gap(client, now),
        )
        for actions in by_delegation.values()
    ]


def held(tx: Tx, client: Client, now: datetime, trust_domain: str) -> list[HeldProof]:
    """Return the client's proofs with their status.

    `trust_domain` is the trust domain in the clients' SPIFFE IDs.
    """
    used = counts.proof_last_uses(tx, [proof.id for proof in client.proofs])
    trusted_issuers = issuers.by_ids(tx, client.trusted_issuer_ids)
    return [
        HeldProof(
            proof=proof,
            status=_status(tx, proof, trusted_issuers.get(proof.trusted_issuer_id or ""), now, trust_domain),
            last_use=used.get(proof.id),
        )
        for proof in client.proofs
    ]


def _status(
    tx: Tx, proof: Proof, trusted_issuer: TrustedIssuer | None, now: datetime, trust_domain: str
) -> ProofStatus:
    """Return the status of the proof.

    If the proof has no trusted issuer, the status also says why no registered issuer can prove it.
    """
    status = proof_status(proof, trusted_issuer, now)
    waits = proof.kind is ProofKind.SELECTORS and trusted_issuer is None and proof.is_valid(now)
    missing = lacks(tx, proof, trust_domain) if waits else ""
    return replace(status, missing=missing) if missing else status


def _requests(tx: Tx, client: Client, page: AuditLogPage, now: datetime) -> list[Request]:
    groups = [tuple(alike) for _, alike in groupby(page.items, key=_alike)]
    shown = groups[:LAST]
    revoked_at = revoked(tx, [alike[0] for alike in shown])
    can_prove = client.can_prove_itself(now) or client.unattested(now)
    return [
        Request(
            recorded=alike[0],
            first=alike[-1],
            times=sum(each.count for each in alike),
            more=alike is groups[-1] and page.next is not None,
            remedy=remedy_of(alike[0].event, can_prove=can_prove),
            revoked_at=revoked_at.get(alike[0].id),
        )
        for alike in shown
    ]


def _alike(recorded: Recorded) -> object:
    """Return a key that groups refusals of the same kind into one row. Each token has its own key."""
    event = recorded.event
    return (event.reason, event.address, event.detail) if event.reason else recorded.id


RECENT = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosestMiss:
    """The recent refusals that matched the most selectors of a proof.

    `last` is the newest of these refusals. `sentence` says how the workload differed from the proof.
    """

    sentence: str
    last: Recorded
    times: int


def closest_misses(tx: Tx, act: Act, client: Client) -> dict[str, ClosestMiss]:
    """Return the closest miss of each proof of the client, by the proof's id. Proofs without a miss are left out."""
    wanted = EventFilter(
        client_id=client.id,
        kinds=frozenset({EventKind.TOKEN_REFUSED}),
        reason=Reason.SELECTORS_MISMATCH,
        since=act.now - RECENT,
    )
    seen = audit.page(tx, act.principal, wanted, limit=LOOKED_AT).items  # newest first
    held = {proof.id for proof in client.proofs}
    found: dict[str, ClosestMiss] = {}
    for recorded in seen:
        miss = _miss(recorded)
        if miss.get("proof_id") not in held or not isinstance(miss.get("sentence"), str):
            continue  # a removed proof, or refusals that are only counted
        before = found.get(miss["proof_id"])
        if before is None or _agreeing(_miss(before.last)) < _agreeing(miss):
            found[miss["proof_id"]] = ClosestMiss(sentence=miss["sentence"], last=recorded, times=recorded.count)
        elif before.sentence == miss["sentence"]:
            times = before.times + recorded.count
            found[miss["proof_id"]] = ClosestMiss(sentence=before.sentence, last=before.last, times=times)
    return found


def _miss(recorded: Recorded) -> Mapping[str, Any]:
    miss = recorded.event.detail.get("miss")
    return miss if isinstance(miss, dict) else {}


def _agreeing(miss: Mapping[str, Any]) -> int:
    rows = miss.get("selectors")
    return sum(bool(row.get("agrees")) for row in rows) if isinstance(rows, list) else 0
