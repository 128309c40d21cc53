"""Onboard, find, edit, enable, disable and delete clients, and revoke their tokens."""

from __future__ import annotations

import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from authsec_server import naming
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Named, repeat_detail
from authsec_server.clients import store
from authsec_server.clients.binding_matching import with_trusted_issuer
from authsec_server.clients.model import EDITABLE, Client, Onboarding, Proof, ProofKind, parse_platform
from authsec_server.clients.proofs import make_proof
from authsec_server.db import Tx
from authsec_server.failures import Conflict, FailureList, Invalid, SlugTaken
from authsec_server.principal import Act, Role
from authsec_server.revisions import changed, checked, edited, plain, require_current
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind
from authsec_server.slug_lookup import SlugLookup

_CLIENTS = SlugLookup(table=store.clients, load=store.loaded, noun="agent or MCP server", command="agents")
find = _CLIENTS.find
get = _CLIENTS.get
which = _CLIENTS.which
page = _CLIENTS.page
not_found_message = _CLIENTS.not_found_message


def create(tx: Tx, act: Act, wanted: Onboarding, *, trust_domain: str = "") -> Client:
    """Onboard a client with its proof. If the call raises `Invalid` or `Conflict`, nothing is stored.

    `trust_domain` is the trust domain in the clients' SPIFFE IDs. Without `trust_domain`, only proofs of the
    platform `spiffe` can have a SPIFFE trust domain as their trusted issuer.
    """
    client = propose(tx, act, wanted, trust_domain=trust_domain)
    store.add(tx.connection, client)
    audit.record_act(tx, act, EventKind.CLIENT_CREATED, client=named_client(client), detail=client_detail(client))
    return client


def disable(tx: Tx, act: Act, id_or_slug: str) -> Client:
    """Disable the client, revoke its tokens and delete its enrolment codes.

    Do so even if the row says that the client is disabled. The attack: raw SQL disables the row until an operator has
    disabled the client, and enables the row again. Without an event, nobody would find that the client is enabled.
    """
    act.principal.require(Role.OPERATOR)
    client = get(tx, act, id_or_slug)
    disabled = changed(client, act, is_repeat=not client.enabled, enabled=False)
    store.save(tx.connection, disabled)
    store.end_enrolments(tx.connection, [client.id])
    _record_disabled(tx, act, client)
    return disabled


def _record_disabled(tx: Tx, act: Act, before: Client) -> None:
    """Revoke the tokens of the client, and record that it was disabled."""
    revocations.end(tx, SubjectKind.CLIENT, before.id, act.now)
    detail = repeat_detail(is_repeat=not before.enabled)
    audit.record_act(tx, act, EventKind.CLIENT_DISABLED, client=named_client(before), detail=detail)


def enable(tx: Tx, act: Act, id_or_slug: str) -> Client:
    """Enable the client, which can then get new tokens. Revoked tokens stay revoked.

    Delete the enrolment codes that are left, because enabling would make them valid again. Raises `Conflict` if there
    are too many for one change.
    """
    act.principal.require(Role.OPERATOR)
    client = get(tx, act, id_or_slug)
    if client.enabled:
        return client
    store.end_enrolments(tx.connection, [client.id])
    if store.has_enrolments(tx.connection, client.id):
        raise Conflict(
            f"Very many enrolment codes of {client.name} are not deleted yet.",
            f"A running server deletes {store.CODES_AT_ONCE:,} of them each minute. Try again later.",
        )
    enabled = changed(client, act, enabled=True)
    store.save(tx.connection, enabled)
    audit.record_act(tx, act, EventKind.CLIENT_ENABLED, client=named_client(client))
    return enabled


def load(tx: Tx, client_id: str) -> Client | None:
    """Return the client with its proofs.

    Token requests use this function, which does not check the role of a principal.
    """
    return store.by_ids(tx.connection, [client_id]).get(client_id)


def by_ids(tx: Tx, ids: Collection[str]) -> dict[str, Client]:
    """Return the clients with these ids, by id.

    Other packages call this function. The function does not check the role of a principal.
    """
    return store.by_ids(tx.connection, ids)


def names(tx: Tx, ids: Collection[str]) -> dict[str, str]:
    """Return the names of the clients with these ids, by id, without a check of the role of a principal."""
    return store.names(tx.connection, ids)


def named_or_another(tx: Tx, slug: str, key: bytes) -> tuple[str, bool] | None:
    """Return the id of the client with this slug and True, or the id of another client and False.

    Return None if there is no client at all. The attack: an attacker guesses slugs, and measures the time of a refusal.
    So the caller does the same work for another client. `key` and slug choose this client: an unknown slug takes always
    as long as some client does, and nobody can say which one. If raw SQL gave the slug to two clients, nobody has it.
    """
    point = UUID(bytes=hmac.digest(key, slug.encode(), "sha256")[:16])
    named, another = store.ids_near(tx.connection, slug, str(point))
    if len(named) == 1:
        return named[0], True
    return None if another is None else (another, False)


def propose(tx: Tx, act: Act, wanted: Onboarding, *, trust_domain: str = "") -> Client:
    """Return the client as `create` would store it. Nothing is stored.

    Raises the same errors as `create`. The failure has the problems of the other fields.
    """
    act.principal.require(Role.OPERATOR)
    problems, client_id = FailureList(), act.new_id()
    given = {field: getattr(wanted, field) for field in EDITABLE if field != "slug"}
    if wanted.owner is None:
        given["owner"] = act.principal.name
    with problems.collect():
        described = checked(EDITABLE, given)
    with problems.collect():
        slug = naming.chosen_slug(wanted.slug, wanted.name)
        refuse_taken_slug(tx, slug)
    with problems.collect():
        platform = parse_platform(wanted.platform)
        proof = make_proof(
            id=act.new_id(),
            client_id=client_id,
            platform=platform,
            selectors=wanted.selectors,
            public_key=wanted.public_key,
            expires_at=wanted.expires_at,
            now=act.now,
            token_bytes=act.token_bytes,
        )
        refuse_taken_key(tx, proof)
        proof = with_trusted_issuer(tx, proof, wanted.trusted_issuer, trust_domain)
    problems.raise_all()
    return Client(
        id=client_id,
        kind=wanted.kind,
        platform=platform,
        slug=slug,
        **described,
        enabled=True,
        created_at=act.now,
        proofs=(proof,),
    )


def refuse_taken_slug(tx: Tx, slug: str) -> None:
    """Raise `Conflict` if a client has this slug. Only this package calls the function."""
    if taken := find(tx, slug):
        remedy = "Choose another name, or give a different slug."
        raise SlugTaken(slug, taken, called=f"{taken.name!r} ({taken.id})", remedy=remedy)


def refuse_taken_key(tx: Tx, proof: Proof) -> None:
    """Raise `Conflict` if a client already has the proof's key. Only this package calls the function.

    A key must belong to one client. Otherwise the key's owner could act as either client, and the audit log
    could not show which one.
    """
    if proof.thumbprint and (holder := store.holder_of_key(tx.connection, proof.thumbprint)):
        raise Conflict(
            f"This public key already belongs to {holder.name!r} ({holder.slug}).",
            "Create a separate key pair for each agent: authsec keygen FILE",
            field="public_key",
        )


MAX_AT_ONCE = 200  # one change takes the authority lock for all of them


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkDisabled:
    """Result of disabling many clients.

    `disabled` are the clients that were enabled before this call, and `already` the clients that were disabled before.
    `unknown` are the ids that no client has.
    """

    disabled: tuple[Named, ...]
    already: tuple[Named, ...]
    unknown: tuple[str, ...]


def edit(tx: Tx, act: Act, id_or_slug: str, *, revision: int, changes: Mapping[str, object]) -> Client:
    """Edit the description of the client. `revision` is the revision that the editor has read.

    `changes` has unverified values of fields in `EDITABLE`. The other fields do not change.

    A new slug revokes nothing, because tokens, delegations and SPIFFE IDs name the client_id. The old slug no
    longer finds the client, and may later belong to another client. The audit log has both slugs. An edit
    without changes is not recorded.

    Raises `Invalid` or `NotFound`. Raises `Conflict` if the slug is taken, and `Outdated` if the client has
    changed since `revision`.
    """
    act.principal.require(Role.OPERATOR)
    client = get(tx, act, id_or_slug)
    require_current(client, revision, client.name)
    after, detail = edited(client, act, EDITABLE, changes)
    if not detail:
        return client
    if after.slug != client.slug:
        refuse_taken_slug(tx, after.slug)
    store.save(tx.connection, after)
    if after.labels != client.labels:
        store.save_labels(tx.connection, after)
    audit.record_act(tx, act, EventKind.CLIENT_EDITED, client=named_client(after), detail=detail)
    return after


def revoke_tokens(tx: Tx, act: Act, id_or_slug: str) -> Client:
    """Revoke all tokens that the client has at this time. The client stays enabled, and can get new tokens."""
    act.principal.require(Role.OPERATOR)
    client = changed(get(tx, act, id_or_slug), act)
    store.save(tx.connection, client)
    revocations.end(tx, SubjectKind.CLIENT, client.id, act.now)
    audit.record_act(tx, act, EventKind.CLIENT_TOKENS_REVOKED, client=named_client(client))
    return client


def disable_many(tx: Tx, act: Act, ids: Collection[str]) -> BulkDisabled:
    """Disable these clients and revoke their tokens, in one change. The audit log gets one event for each client.

    This includes clients that are already disabled, as in `disable`.
    Raises `Invalid` if `ids` is empty, or has more than `MAX_AT_ONCE` ids.
    """
    act.principal.require(Role.OPERATOR)
    wanted = dict.fromkeys(ids)  # each once, in the order given
    if not 1 <= len(wanted) <= MAX_AT_ONCE:
        raise Invalid("clients", f"{len(wanted)} clients are selected.", f"Select 1 to {MAX_AT_ONCE}.")
    found = by_ids(tx, [each for each in wanted if naming.is_uuid(each)])
    known = [found[each] for each in wanted if each in found]
    store.disable(tx.connection, [client.id for client in known], at=act.now, by=act.principal.name)
    store.end_enrolments(tx.connection, [client.id for client in known])
    for client in known:
        _record_disabled(tx, act, client)
    return BulkDisabled(
        disabled=tuple(named_client(client) for client in known if client.enabled),
        already=tuple(named_client(client) for client in known if not client.enabled),
        unknown=tuple(each for each in wanted if each not in found),
    )


def delete(tx: Tx, act: Act, client: Client, *, delegations: tuple[Named, ...] = ()) -> None:
    """Delete the client with its proofs, and revoke its tokens.

    Only `delegations.service` calls this function, after deleting the client's delegations in the same change.
    `delegations` are these deleted delegations. The database refuses to delete a client that has a delegation.

    The client_id is never assigned again, because every new client_id is random. Another client may get the
    slug.
    """
    act.principal.require(Role.OPERATOR)
    store.remove(tx.connection, client.id)
    revocations.end(tx, SubjectKind.CLIENT, client.id, act.now)
    audit.record_act(
        tx,
        act,
        EventKind.CLIENT_DELETED,
        client=named_client(client),
        delegations=delegations,
        detail=client_detail(client),
    )


def named_client(client: Client) -> Named:
    """Return the client's id and current name."""
    return Named(id=client.id, name=client.name)


def client_detail(client: Client) -> Mapping[str, object]:
    """Return the fields of the client and its proofs, for the audit log.

    The audit log then shows later which fields and proofs the client had.
    """
    return {
        **plain(EDITABLE, client),
        "kind": client.kind,
        "platform": client.platform,
        "proofs": [proof_detail(proof) for proof in client.proofs],
    }


def proof_detail(proof: Proof) -> Mapping[str, object]:
    """Return the evidence that a proof needs. A key is identified by its thumbprint only."""
    shown: dict[str, object] = {
        "kind": proof.kind,
        "selectors": [[selector.key, selector.value] for selector in proof.selectors],
        "thumbprint": proof.thumbprint,
    }
    if proof.kind is ProofKind.ENROLLED_KEY:
        shown |= {"enrolled_by": proof.enrolled_by, "machine": proof.machine}
    if proof.trusted_issuer_id is not None:
        shown["trusted_issuer_id"] = proof.trusted_issuer_id
    if proof.expires_at is not None:
        shown["expires_at"] = proof.expires_at.isoformat()
    return shown
