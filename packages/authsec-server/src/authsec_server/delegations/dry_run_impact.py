"""Compute the impact of a change in a dry run.

A dry run makes the change in a transaction, reads the impact, and rolls the transaction back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from authsec_server.audit import service as audit
from authsec_server.audit.model import ALREADY, Event, EventKind, Named
from authsec_server.audit.views import EventShown, as_json
from authsec_server.clients import bindings
from authsec_server.clients import service as clients
from authsec_server.clients.model import Client
from authsec_server.db import Tx
from authsec_server.delegations import impact, live_tokens, service, store
from authsec_server.delegations.impact import Impact
from authsec_server.delegations.live_tokens import TokensAtApi
from authsec_server.delegations.model import Delegation, DelegationState, GrantGap, Terms, grant_gap, state, title
from authsec_server.failures import Outdated
from authsec_server.issuers import service as issuers
from authsec_server.principal import Act
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import Subject, SubjectKind
from authsec_server.revocations.subscribers import Following
from authsec_server.roles import service as roles
from authsec_server.web.dry_run import AtApi as AtApiShown
from authsec_server.web.dry_run import Foreseen, WouldStop
from authsec_server.web.instants import rfc3339


def impact_or_none(what: Impact | None, now: datetime) -> WouldStop | None:
    """Return the impact as the admin API shows it, or None if nothing ends."""
    ends = what and (what.agents or what.delegations or what.live_tokens or what.last_expiry or what.more)
    return impact_as_json(what, now) if what and ends else None


def impact_as_json(what: Impact, now: datetime) -> WouldStop:
    """Return the impact as the admin API shows it. If `more` is true, the real numbers may be higher."""
    return {
        "agents": [{"client_id": each.id, "name": each.name, "goes_on": each.id in what.go_on} for each in what.agents],
        "delegations": [{"id": each.id, "name": each.name} for each in what.delegations],
        "live_tokens": what.live_tokens,
        "until": rfc3339(what.last_expiry),
        "apis": [_api(each) for each in what.apis],
        "more": what.more,
        "as_of": rfc3339(now),
    }


def _api(each: TokensAtApi) -> AtApiShown:
    return {
        "audience": each.audience,
        "name": each.name,
        "api": each.slug or None,
        "following": each.following is not Following.NO,
        "proved": each.following is Following.PROVED,
        "seen_at": rfc3339(each.seen_at),
        "until": rfc3339(each.until),
    }


_OF_A_ROW = ("id", "count", "counted", "place", "leaf")  # fields that only a stored event has


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpactProvider:
    """Computes the impact of a change, and the fields that others have changed, for `web.UnitOfWork`."""

    terms: Terms

    def foreseen(self, tx: Tx, act: Act) -> Foreseen:
        """Return the audit events that this change has written, and the impact of the change."""
        written = audit.of_this_change(tx, act)
        new = [each.event for each in written if not each.event.detail.get(ALREADY)]
        repeated = {id_ for each in written if each.event.detail.get(ALREADY) for id_ in _subject_ids(each.event)}
        ended = {each.subject for each in revocations.of_this_change(tx) if each.subject_id not in repeated}
        what = _ending(tx, act, new, ended, self.terms) if ended else None
        return Foreseen(
            would_change=[_as_foreseen(as_json(each)) for each in written],
            would_stop=impact_or_none(what, act.now),
        )

    def changed_fields(self, tx: Tx, outdated: Outdated) -> tuple[str, ...]:
        """Return the fields that others have changed since the editor read the entity."""
        return audit.changed_fields(tx, outdated.thing, outdated.since)


def _as_foreseen(event: EventShown) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name not in _OF_A_ROW}


def _ending(tx: Tx, act: Act, events: Collection[Event], ended: Collection[Subject], terms: Terms) -> Impact | None:
    """Return the impact of this change. `ended` has the subjects whose tokens the change revokes."""
    singly = [id_ for kind, id_ in ended if kind is SubjectKind.TOKEN]
    if singly:
        issued = audit.token_issued(tx, singly[0])
        return impact.of_token(tx, act, issued.event) if issued else None
    held, holders = _held(tx, act, ended), _holders(tx, ended)
    about = {event.client.id: event.client for event in events if event.client is not None}
    ids = {*about, *_ids(ended, SubjectKind.CLIENT), *(each.client_id for each in held), *holders}
    tokens = live_tokens.of_this_change(tx, act.now, ended, ids, _slugs(events))
    known = clients.by_ids(tx, ids | {each.id for each in tokens.agents})
    names = about | {id_: Named(id=id_, name=client.name) for id_, client in known.items()}
    stopping = [each for each in held if _ends(each, ended, act)]
    able = _able(events, act, known.values())
    go_on = impact.still_granted(tx, able, act.now)
    needless = {client.id for client in able} - _delegated(tx, able, act) | go_on
    stranded = {id_ for id_ in holders if id_ not in needless and _had_valid_proof(known[id_], ended, act)}
    cut = stranded | _cut(events, ended) - (needless - go_on) | {each.client_id for each in stopping}
    agents = {each.id: each for each in tokens.agents} | {id_: names[id_] for id_ in cut if id_ in names}
    audiences = {each for delegation in stopping for each in delegation.audiences or (terms.default_audience,)}
    return Impact(
        agents=tuple(sorted(agents.values(), key=lambda agent: (agent.name, agent.id))),
        go_on=go_on,
        delegations=_named(tx, events, ended, stopping, names),
        live_tokens=tokens.live,
        last_expiry=tokens.last_expiry,
        apis=live_tokens.at_apis(tx, act.now, audiences | {*tokens.by_audience}, tokens.by_audience),
        more=tokens.more or max(len(stopping), len(holders)) > impact.MOST,
    )


def _subject_ids(event: Event) -> Iterable[str]:
    """Return the ids by which this event may have revoked tokens."""
    if event.delegations:
        return [each.id for each in event.delegations] if event.kind is not EventKind.TOKEN_REVOKED else [event.jti]
    return [event.jti, event.kid, *(each.id for each in (event.client, event.subject) if each)]


def _ids(ended: Collection[Subject], wanted: SubjectKind) -> list[str]:
    return sorted(id_ for kind, id_ in ended if kind is wanted)


def _held(tx: Tx, act: Act, ended: Collection[Subject]) -> list[Delegation]:
    """Return the stored delegations in `ended`, and those of the clients and roles in `ended`.

    At most `MOST` + 1 delegations of one role are read, because other requests wait for the lock meanwhile.
    """
    found = store.by_ids(tx.connection, _ids(ended, SubjectKind.DELEGATION))
    found += store.of_clients(tx.connection, _ids(ended, SubjectKind.CLIENT))
    for slug in _ids(ended, SubjectKind.ROLE):
        if role := roles.find(tx, slug):
            found += store.live_of_role(tx.connection, role.id, limit=impact.MOST + 1, now=act.now)
    return list({each.id: each for each in found}.values())


def _holders(tx: Tx, ended: Collection[Subject]) -> list[str]:
    """Return the ids of the clients with proofs of the trusted issuers in `ended`.

    At most `MOST` + 1 clients of one trusted issuer are returned.
    """
    known = [
        trusted_issuer for id_ in _ids(ended, SubjectKind.TRUSTED_ISSUER) if (trusted_issuer := issuers.find(tx, id_))
    ]
    return [
        client_id for trusted_issuer in known for client_id in bindings.holders(tx, trusted_issuer, impact.MOST + 1)
    ]


def _slugs(events: Collection[Event]) -> dict[str, str]:
    """Return the slugs of the roles that the change deleted, by the roles' ids."""
    deleted = [event for event in events if event.kind is EventKind.ROLE_DELETED]
    return {role.id: event.detail["slug"] for event in deleted for role in event.roles}


def _ends(delegation: Delegation, ended: Collection[Subject], act: Act) -> bool:
    """Return whether this change stops the delegation, which comes from `_held`.

    The change stops it in two cases: the delegation itself is in `ended`, or its client or role is in `ended` and the
    delegation is live.
    """
    alone = (SubjectKind.DELEGATION, delegation.id) in ended
    return alone or state(delegation, act.now) is DelegationState.LIVE


def _cut(events: Collection[Event], ended: Collection[Subject]) -> set[str]:
    """Return the ids of the clients that lose a proof or all tokens, even if they have no token now."""
    of_proofs = {
        event.client.id
        for event in events
        if event.client is not None and event.kind in {EventKind.PROOF_REMOVED, EventKind.CLIENT_DELETED}
    }
    return {*of_proofs, *_ids(ended, SubjectKind.CLIENT)}


def _able(events: Collection[Event], act: Act, known: Iterable[Client]) -> list[Client]:
    """Return the enabled clients that can still authenticate, without a secret that this change makes.

    Such a client has an unexpired proof that this authority can check, or is unattested. No agent has a new secret yet.
    """
    fresh = {each.subject.id for each in events if each.kind is EventKind.PROOF_ROTATED and each.subject is not None}
    older = [
        replace(client, proofs=tuple(proof for proof in client.proofs if proof.id not in fresh)) for client in known
    ]
    return [client for client in older if client.enabled and client.usable_proofs(act.now)]


def _had_valid_proof(client: Client, ended: Collection[Subject], act: Act) -> bool:
    """Return whether a trusted issuer in `ended` could prove the client before this change."""
    ending = set(_ids(ended, SubjectKind.TRUSTED_ISSUER))
    return client.enabled and any(
        proof.trusted_issuer_id in ending and proof.is_valid(act.now) for proof in client.proofs
    )


def _delegated(tx: Tx, found: Collection[Client], act: Act) -> set[str]:
    """Return the ids of the clients with a live delegation whose role still has an action of the delegation."""
    held = service.of_clients(tx, [client.id for client in found])
    none = {GrantGap.OVER, GrantGap.DISABLED, GrantGap.DORMANT}
    return {
        client.id
        for client in found
        if any(grant_gap(client, each, role, act.now) not in none for each, role in held.get(client.id, ()))
    }


def _named(
    tx: Tx,
    events: Collection[Event],
    ended: Collection[Subject],
    stopping: Collection[Delegation],
    names: dict[str, Named],
) -> tuple[Named, ...]:
    """Return the names of the delegations that stop. Names of deleted delegations come from the audit events."""
    known = roles.by_ids(tx, {each.role_id for each in stopping})
    named = {each.id: each for event in events for each in event.delegations}
    there = {
        each.id: Named(id=each.id, name=title(known[each.role_id].name, names[each.client_id].name))
        for each in stopping
    }
    ids = {*there, *_ids(ended, SubjectKind.DELEGATION)}
    return tuple(there.get(id_) or named[id_] for id_ in sorted(ids) if id_ in there or id_ in named)
