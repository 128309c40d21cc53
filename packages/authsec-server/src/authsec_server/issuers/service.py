"""Add, find, edit, enable, disable and remove trusted issuers. `key_sets` fetches their keys."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from authsec_server import naming
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Named, repeat_detail
from authsec_server.db import Tx
from authsec_server.failures import Conflict, FailureList, Invalid, SlugTaken
from authsec_server.issuers import store, validation
from authsec_server.issuers.key_set_parsing import read_key_set
from authsec_server.issuers.model import (
    CLUSTER_TERMS,
    EDITABLE,
    ProposedTrustedIssuer,
    TrustedIssuer,
    TrustedIssuerKind,
    plain_terms,
)
from authsec_server.issuers.validation import cluster_detail, fingerprints
from authsec_server.principal import Act, PrincipalKind, Role
from authsec_server.revisions import changed, edit_detail, require_current
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind
from authsec_server.slug_lookup import SlugLookup

_TRUSTED_ISSUERS = SlugLookup(
    table=store.trusted_issuers,
    load=store.loaded,
    noun="trusted issuer",
    command="issuers",
    also=(store.trusted_issuers.c.issuer,),
)
find = _TRUSTED_ISSUERS.find
get = _TRUSTED_ISSUERS.get
which = _TRUSTED_ISSUERS.which
page = _TRUSTED_ISSUERS.page


def create(tx: Tx, act: Act, asked: ProposedTrustedIssuer, *, may_look_up: bool = False) -> TrustedIssuer:
    """Add a trusted issuer. `may_look_up` says that the settings name a folder with credentials for clusters.

    Raises `Invalid`. Raises `Conflict` if the slug is taken, or if another trusted issuer has the same issuer
    and the two cannot share it.
    """
    trusted_issuer = propose(tx, act, asked, may_look_up=may_look_up)
    store.add(tx.connection, trusted_issuer)
    _record(tx, act, EventKind.ISSUER_CREATED, trusted_issuer, {**_fixed(trusted_issuer), **_as_edited(trusted_issuer)})
    return trusted_issuer


def propose(tx: Tx, act: Act, asked: ProposedTrustedIssuer, *, may_look_up: bool = False) -> TrustedIssuer:
    """Return the trusted issuer as `create` would store it. Nothing is stored.

    Raises the same errors as `create`. The failure has the problems of the other fields.
    """
    act.principal.require(Role.ADMIN)
    problems = FailureList()
    with problems.collect():
        trusted_issuer = validation.checked(asked, id=act.new_id(), now=act.now)
        if validation.asks_otherwise(None, trusted_issuer.cluster):
            _require_folder(act, may_look_up)
        _refuse_shared_issuer(tx, trusted_issuer)
    with problems.collect():
        slug = naming.chosen_slug(asked.slug, asked.name)
        if taken := find(tx, slug):
            raise SlugTaken(slug, taken, called=f"the trusted issuer {taken.name!r} ({taken.id})")
    problems.raise_all()
    return trusted_issuer


def edit(
    tx: Tx, act: Act, id_or_slug: str, *, revision: int, changes: Mapping[str, object], may_look_up: bool = False
) -> TrustedIssuer:
    """Edit the trusted issuer. `revision` is the revision that the editor has read.

    An edit without changes is recorded if it names more than the name, as in `revisions.edit_detail`. An edit that
    reduces trust revokes the affected tokens. These changes reduce trust:

    - another issuer, audience, API server or origin of the keys, or other certificates for them;
    - a removed key or claim;
    - token reviews that are turned on, or pod look-ups that are turned off.

    Only `clients` calls this function, because it also updates the proofs. Raises `Invalid`, `NotFound`,
    `Conflict` or `Outdated`.
    """
    act.principal.require(Role.ADMIN)
    trusted_issuer = get(tx, act, id_or_slug)
    require_current(trusted_issuer, revision, "This trusted issuer")
    edited = changed(trusted_issuer, act, **validation.edited(trusted_issuer, changes))
    asked = {_RECORDED_AS.get(field, field) for field in changes.keys() - {"name"}}
    detail = edit_detail(edited.revision, _as_edited(trusted_issuer), _as_edited(edited), asked=asked)
    if not detail:
        return trusted_issuer
    if validation.asks_otherwise(trusted_issuer.cluster, edited.cluster):  # turning off takes no folder
        _require_folder(act, may_look_up)
    _refuse_shared_issuer(tx, edited)
    _save(tx, trusted_issuer, edited)
    narrows = validation.narrows(trusted_issuer, edited)
    ended = [revocations.end(tx, SubjectKind.TRUSTED_ISSUER, trusted_issuer.id, act.now)] if narrows else []
    _record(tx, act, EventKind.ISSUER_EDITED, edited, {**detail, **revocations.as_detail(*ended)})
    return edited


def disable(tx: Tx, act: Act, id_or_slug: str) -> TrustedIssuer:
    """Disable the trusted issuer, and revoke the tokens that were issued on its proofs.

    Do so whatever the row says, as in `clients.service.disable`.
    """
    act.principal.require(Role.ADMIN)
    trusted_issuer = get(tx, act, id_or_slug)
    disabled = changed(trusted_issuer, act, is_repeat=not trusted_issuer.enabled, enabled=False)
    _save(tx, trusted_issuer, disabled)
    revocations.end(tx, SubjectKind.TRUSTED_ISSUER, trusted_issuer.id, act.now)
    _record(tx, act, EventKind.ISSUER_DISABLED, disabled, {**repeat_detail(is_repeat=not trusted_issuer.enabled)})
    return disabled


def enable(tx: Tx, act: Act, id_or_slug: str) -> TrustedIssuer:
    """Enable the trusted issuer. Revoked tokens stay revoked."""
    act.principal.require(Role.ADMIN)
    trusted_issuer = get(tx, act, id_or_slug)
    if trusted_issuer.enabled:
        return trusted_issuer
    enabled = changed(trusted_issuer, act, enabled=True)
    _save(tx, trusted_issuer, enabled)
    _record(tx, act, EventKind.ISSUER_ENABLED, enabled, {})
    return enabled


def remove(tx: Tx, act: Act, trusted_issuer: TrustedIssuer, *, proofs: tuple[Named, ...] = ()) -> None:
    """Remove a trusted issuer that no proof names, and revoke the tokens that were issued on its proofs.

    `proofs` are the proofs that `clients` has removed before; only `clients` calls this function. The database
    refuses the removal while a proof names the issuer.
    """
    act.principal.require(Role.ADMIN)
    store.remove(tx.connection, trusted_issuer.id)
    revocations.end(tx, SubjectKind.TRUSTED_ISSUER, trusted_issuer.id, act.now)
    gone = [{"id": proof.id, "name": proof.name} for proof in proofs]
    _record(
        tx,
        act,
        EventKind.ISSUER_DELETED,
        trusted_issuer,
        {**_fixed(trusted_issuer), **_as_edited(trusted_issuer), "proofs": gone},
    )


def to_refresh(tx: Tx, act: Act, id_or_slug: str) -> TrustedIssuer:
    """Return the trusted issuer, for an operation that sends requests to its server. The principal must be an admin.

    Only admins decide when this server sends such requests. Raises `NotFound`.
    """
    act.principal.require(Role.ADMIN)
    return get(tx, act, id_or_slug)


def by_ids(tx: Tx, ids: Collection[str]) -> dict[str, TrustedIssuer]:
    """Map these ids to their trusted issuers, including disabled trusted issuers.

    This function checks no permission: other packages of the server call it.
    """
    return store.by_ids(tx.connection, ids)


def of_issuers(tx: Tx, issuers: Collection[str]) -> list[TrustedIssuer]:
    """Return the trusted issuers that have one of these issuers, in slug order, including disabled trusted issuers.

    The texts are unverified. This function checks no permission: other packages of the server call it.
    """
    known = [each for each in issuers if each.isascii() and each.isprintable()]  # PostgreSQL rejects a NUL
    return store.of_issuers(tx.connection, known)


def of_kinds(tx: Tx, kinds: Collection[TrustedIssuerKind]) -> list[TrustedIssuer]:
    """Return the trusted issuers of these kinds, in slug order, including disabled trusted issuers.

    This function checks no permission: other packages of the server call it.
    """
    return store.of_kinds(tx.connection, kinds)


def _require_folder(act: Act, may_look_up: bool) -> None:
    if not may_look_up:
        in_process = act.principal.kind is PrincipalKind.LOCAL_OPERATOR  # whose settings are not the running server's
        who = "This command's environment names" if in_process else "This server has"
        raise Invalid(
            "credentials",
            f"{who} no folder of credentials, so it cannot ask a cluster anything.",
            "Set AUTHSEC_SERVER_CREDENTIALS_DIR to the folder of the file with the cluster's token, and restart "
            "the server. In a pod of that cluster, use /var/run/secrets/kubernetes.io/serviceaccount and the file "
            "token. Commands that work on the server's data need the setting as well.",
        )


def _refuse_shared_issuer(tx: Tx, trusted_issuer: TrustedIssuer) -> None:
    """Raise `Conflict` if another trusted issuer has the same `iss` and the two cannot share it.

    A token names its issuer, and must belong to exactly one trusted issuer. If two trusted issuers have the
    same `iss`, the key of the signature shows to which of them a token belongs.
    """
    others = [other for other in store.of_issuer(tx.connection, trusted_issuer.issuer) if other.id != trusted_issuer.id]
    for other in others:
        why = validation.cannot_share(trusted_issuer, _thumbprints(tx, trusted_issuer), other, _thumbprints(tx, other))
        if why:
            raise Conflict(
                f"The trusted issuer {other.name!r} ({other.slug}) already has the issuer {trusted_issuer.issuer}, "
                f"and {why}.",
                "Use that trusted issuer, or give the new trusted issuer its own keys.",
                field="issuer",
            )


def _thumbprints(tx: Tx, trusted_issuer: TrustedIssuer) -> frozenset[str]:
    """Return the thumbprints of the trusted issuer's known keys: the given keys, or the keys of the last fetch."""
    kept = store.find_keys(tx.connection, trusted_issuer)
    if kept is None or kept.jwks is None:
        return validation.given_thumbprints(trusted_issuer)
    return read_key_set(trusted_issuer.kind, kept.jwks).thumbprints


def _save(tx: Tx, before: TrustedIssuer, after: TrustedIssuer) -> None:
    store.save(tx.connection, after)
    if validation.same_keys(before, after):  # else a new name would delete the keys of an unreachable issuer
        store.carry_keys_over(tx.connection, after)


def _record(tx: Tx, act: Act, kind: EventKind, trusted_issuer: TrustedIssuer, detail: dict[str, Any]) -> None:
    audit.record_act(tx, act, kind, subject=Named(id=trusted_issuer.id, name=trusted_issuer.name), detail=detail)


def _fixed(trusted_issuer: TrustedIssuer) -> dict[str, object]:
    return {"slug": trusted_issuer.slug, "kind": trusted_issuer.kind}


_RECORDED_AS = {"ca": "ca_sha256", **dict.fromkeys(CLUSTER_TERMS, "cluster")}


def _as_edited(trusted_issuer: TrustedIssuer) -> dict[str, object]:
    """Return the editable fields in the form of the audit log.

    Keys are named by their thumbprints, and certificates by their SHA-256.
    """
    its = plain_terms(trusted_issuer)
    return {
        **{name: its[name] for name in EDITABLE if name != "ca" and name not in CLUSTER_TERMS},
        "given_keys": validation.given_keys(trusted_issuer),
        "ca_sha256": fingerprints(trusted_issuer.ca),
        "cluster": cluster_detail(trusted_issuer.cluster),
    }
