"""The verbs that change a client that is there: editing it, ending its tokens, many at once, deleting it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

from authsec_server import naming
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Named
from authsec_server.clients import enrolment_codes, service, store
from authsec_server.clients.model import Changes, Client, parse_labels
from authsec_server.clients.records import described, named, whole
from authsec_server.db import Tx
from authsec_server.failures import Invalid
from authsec_server.principal import Act, Role
from authsec_server.revisions import changed, edit_detail, require_current
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind

MAX_AT_ONCE = 200  # the authority lock is held for all of them

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkDisabled:
    """What became of many: disabled now, disabled before, and the ids that no client has."""

    disabled: tuple[Named, ...]
    already: tuple[Named, ...]
    unknown: tuple[str, ...]


def edit(tx: Tx, act: Act, id_or_slug: str, *, revision: int, changes: Changes) -> Client:
    """Change what describes the client; `revision` is the one that the editor had read.

    A new slug ends nothing: tokens, delegations and SPIFFE IDs name the client_id. But whoever says the old slug finds
    nothing, and later perhaps another client that was given it; the journal keeps both. What changes nothing is not
    recorded. Raises `Invalid`, `NotFound`, `Conflict` where the slug is taken, `Outdated`.
    """
    act.principal.require(Role.OPERATOR)
    client = service.get(tx, act, id_or_slug)
    require_current(client, revision, client.name)
    edited = _edited(client, act, changes)
    detail = edit_detail(edited.revision, described(client), described(edited))
    if not detail:
        return client
    if edited.slug != client.slug:
        service.refuse_taken_slug(tx, edited.slug)
    store.save(tx.connection, edited)
    if edited.labels != client.labels:
        store.save_labels(tx.connection, edited)
    audit.record_act(tx, act, EventKind.CLIENT_EDITED, client=named(edited), detail=detail)
    return edited


def revoke_tokens(tx: Tx, act: Act, id_or_slug: str) -> Client:
    """End all tokens that the client has by now. It stays enabled: it gets new ones as soon as it asks."""
    act.principal.require(Role.OPERATOR)
    client = changed(service.get(tx, act, id_or_slug), act)
    store.save(tx.connection, client)
    revocations.end(tx, SubjectKind.CLIENT, client.id, act.now)
    audit.record_act(tx, act, EventKind.CLIENT_TOKENS_REVOKED, client=named(client))
    return client


def disable_many(tx: Tx, act: Act, ids: Collection[str]) -> BulkDisabled:
    """Turn these clients off and end their tokens, all in one change; each is recorded for itself.

    Raises `Invalid` for none, and for more than `MAX_AT_ONCE`.
    """
    act.principal.require(Role.OPERATOR)
    wanted = dict.fromkeys(ids)  # each once, in the order given
    if not 1 <= len(wanted) <= MAX_AT_ONCE:
        raise Invalid("clients", f"{len(wanted)} clients are chosen.", f"Choose 1 to {MAX_AT_ONCE}.")
    found = service.by_ids(tx, [each for each in wanted if naming.is_uuid(each)])
    known = [found[each] for each in wanted if each in found]
    ended = [client for client in known if client.enabled]
    store.disable(tx.connection, [client.id for client in ended], at=act.now, by=act.principal.name)
    enrolment_codes.end(tx.connection, [client.id for client in ended])
    for client in ended:
        revocations.end(tx, SubjectKind.CLIENT, client.id, act.now)
        audit.record_act(tx, act, EventKind.CLIENT_DISABLED, client=named(client))
    return BulkDisabled(
        disabled=tuple(map(named, ended)),
        already=tuple(named(client) for client in known if not client.enabled),
        unknown=tuple(each for each in wanted if each not in found),
    )


def delete(tx: Tx, act: Act, client: Client, *, delegations: tuple[Named, ...] = ()) -> None:
    """Delete the client with its proofs, and end its tokens for good; `delegations` are those that went before it.

    For `delegations.service`, in the same change: the database refuses while a delegation refers to the client. Its
    client_id is never given again, since every new one is random; its slug is free.
    """
    act.principal.require(Role.OPERATOR)
    store.remove(tx.connection, client.id)
    revocations.end(tx, SubjectKind.CLIENT, client.id, act.now)
    audit.record_act(
        tx,
        act,
        EventKind.CLIENT_DELETED,
        client=named(client),
        delegations=delegations,
        detail={**described(client), **whole(client)},
    )


def _edited(client: Client, act: Act, changes: Changes) -> Client:
    return changed(
        client,
        act,
        name=_kept(client.name, changes.name, lambda given: naming.name("name", given)),
        slug=_kept(client.slug, changes.slug, lambda given: naming.slug("slug", given)),
        owner=_kept(client.owner, changes.owner, lambda given: naming.name("owner", given)),
        description=_kept(client.description, changes.description, lambda given: naming.text("description", given)),
        labels=_kept(client.labels, changes.labels, parse_labels),
    )


def _kept(present: T, given: T | None, parse: Callable[[T], T]) -> T:
    return present if given is None else parse(given)
