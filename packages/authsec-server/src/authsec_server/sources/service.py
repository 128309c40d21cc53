"""The verbs of trust sources. Fetching their keys is in `key_sets`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from authsec_server import naming
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Named
from authsec_server.db import Tx
from authsec_server.failures import Conflict, Invalid, NotFound
from authsec_server.principal import Act, PrincipalKind, Role
from authsec_server.revisions import changed, edit_detail, require_current
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind
from authsec_server.sources import validation
from authsec_server.sources.cluster_validation import cluster_detail, fingerprints
from authsec_server.sources.jwks import read_key_set
from authsec_server.sources.model import ProposedSource, SourceEdit, SourceKind, TrustSource
from authsec_server.sources.store import keys, sources


def create(tx: Tx, act: Act, asked: ProposedSource, *, may_look_up: bool = False) -> TrustSource:
    """Register a source. `may_look_up`: the operator has a folder of credentials to ask clusters with.

    Raises `Invalid`, or `Conflict` when the slug is taken or the issuer cannot be shared.
    """
    act.principal.require(Role.ADMIN)
    source = validation.checked(asked, id=act.new_id(), now=act.now)
    if validation.asks_otherwise(None, source.cluster):
        _require_folder(act, may_look_up)
    if taken := sources.find(tx.connection, source.slug):
        raise Conflict(
            f"The slug {source.slug} belongs to the trust source {taken.name!r} ({taken.id}).",
            "Give this one another slug or name.",
            field="slug",
        )
    _refuse_shared_issuer(tx, source)
    sources.add(tx.connection, source)
    _record(tx, act, EventKind.SOURCE_CREATED, source, {**_fixed(source), **_as_edited(source)})
    return source


def edit(
    tx: Tx, act: Act, id_or_slug: str, *, revision: int, changes: SourceEdit, may_look_up: bool = False
) -> TrustSource:
    """Change what is asked for; `revision` is the one that the editor had read. What changes nothing is not recorded.

    Where less counts than before, the tokens that rest on it end: another issuer or audience, keys from elsewhere, a
    given key or a claim that is gone, reviews that were not made before, pods that are looked up no more. For
    `clients`, which has to follow. Raises `Invalid`, `NotFound`, `Conflict` or `Outdated`.
    """
    act.principal.require(Role.ADMIN)
    source = get(tx, act, id_or_slug)
    require_current(source, revision, "This trust source")
    edited = changed(source, act, **validation.edited(source, changes))
    detail = edit_detail(edited.revision, _as_edited(source), _as_edited(edited))
    if not detail:
        return source
    if validation.asks_otherwise(source.cluster, edited.cluster):  # turning off takes no folder
        _require_folder(act, may_look_up)
    _refuse_shared_issuer(tx, edited)
    _save(tx, source, edited)
    narrows = validation.narrows(source, edited)
    ended = [revocations.end(tx, SubjectKind.SOURCE, source.id, act.now)] if narrows else []
    _record(tx, act, EventKind.SOURCE_EDITED, edited, {**detail, **revocations.as_detail(*ended)})
    return edited


def disable(tx: Tx, act: Act, id_or_slug: str) -> TrustSource:
    """Let its word count no more, and end the tokens that rest on it. Twice is as good as once."""
    act.principal.require(Role.ADMIN)
    source = get(tx, act, id_or_slug)
    if not source.enabled:
        return source
    disabled = changed(source, act, enabled=False)
    _save(tx, source, disabled)
    revocations.end(tx, SubjectKind.SOURCE, source.id, act.now)
    _record(tx, act, EventKind.SOURCE_DISABLED, disabled, {})
    return disabled


def enable(tx: Tx, act: Act, id_or_slug: str) -> TrustSource:
    """Let its word count again. Tokens that ended stay ended."""
    act.principal.require(Role.ADMIN)
    source = get(tx, act, id_or_slug)
    if source.enabled:
        return source
    enabled = changed(source, act, enabled=True)
    _save(tx, source, enabled)
    _record(tx, act, EventKind.SOURCE_ENABLED, enabled, {})
    return enabled


def remove(tx: Tx, act: Act, source: TrustSource, *, proofs: tuple[Named, ...] = ()) -> None:
    """Remove a source that no proof names any more, and end its tokens; `proofs` are those that went with it.

    For `clients`, which knows who names it. The database refuses while a proof does.
    """
    act.principal.require(Role.ADMIN)
    sources.remove(tx.connection, source.id)
    revocations.end(tx, SubjectKind.SOURCE, source.id, act.now)
    gone = [{"id": proof.id, "name": proof.name} for proof in proofs]
    _record(tx, act, EventKind.SOURCE_DELETED, source, {**_fixed(source), **_as_edited(source), "proofs": gone})


def get(tx: Tx, act: Act, id_or_slug: str) -> TrustSource:
    """The source, by its id or slug. Raises `NotFound`."""
    act.principal.require(Role.VIEWER)
    source = find(tx, id_or_slug)
    if source is None:
        raise NotFound(f"There is no trust source {naming.quoted(id_or_slug)}.", which(tx, id_or_slug))
    return source


def to_refresh(tx: Tx, act: Act, id_or_slug: str) -> TrustSource:
    """The source, for an admin who wants it asked now: others do not decide when this server asks another.

    Raises `NotFound`.
    """
    act.principal.require(Role.ADMIN)
    return get(tx, act, id_or_slug)


def page(tx: Tx, act: Act, *, text: str = "", after: str = "", limit: int = 50) -> tuple[list[TrustSource], str | None]:
    """Sources in the order of their slugs, from the first behind the slug `after`; and where the next page begins.

    With `text`, those whose name, slug or issuer contains it, or whose id begins with it.
    """
    act.principal.require(Role.VIEWER)
    if after and not naming.is_slug(after):
        raise Invalid("cursor", "This cursor is not one that a list gave out.", "Begin at the first page.")
    found = sources.page(tx.connection, text=text, after=after, limit=limit + 1)
    return found[:limit], found[limit - 1].slug if len(found) > limit else None


def search(tx: Tx, act: Act, text: str, *, limit: int = 8) -> list[TrustSource]:
    """The first sources that `page` would find for the text; for none, none."""
    return page(tx, act, text=text, limit=limit)[0] if text else []


def find(tx: Tx, id_or_slug: str) -> TrustSource | None:
    """The source, by its id or slug. Asks for no principal: for the rooms above."""
    if not naming.is_uuid(id_or_slug) and not naming.is_slug(id_or_slug):
        return None
    return sources.find(tx.connection, id_or_slug)


def which(tx: Tx, asked: str) -> str:
    """How to find the trust source that was meant. Asks for no principal: for the rooms above."""
    return naming.meant(asked, lambda slug: sources.slugs_near(tx.connection, slug), "See the list: authsec trust list")


def by_ids(tx: Tx, ids: Collection[str]) -> dict[str, TrustSource]:
    """The sources with these ids, by id, disabled ones as well. Asks for no principal: for the rooms above."""
    return sources.by_ids(tx.connection, ids)


def of_kinds(tx: Tx, kinds: Collection[SourceKind]) -> list[TrustSource]:
    """The sources of these kinds by slug, disabled ones as well. Asks for no principal: for the rooms above."""
    return sources.of_kinds(tx.connection, kinds)


def _require_folder(act: Act, may_look_up: bool) -> None:
    if not may_look_up:
        in_process = act.principal.kind is PrincipalKind.LOCAL_OPERATOR  # whose settings are not the running server's
        who = "This command's environment names" if in_process else "This server has"
        raise Invalid(
            "credentials",
            f"{who} no folder of credentials, so it cannot ask a cluster anything.",
            "Set AUTHSEC_SERVER_CREDENTIALS_DIR to the folder that holds the file with the cluster's token, and start "
            "the server anew. In a pod of that cluster: /var/run/secrets/kubernetes.io/serviceaccount, and the file "
            "is token. A command that works on the server's data needs the setting, too.",
        )


def _refuse_shared_issuer(tx: Tx, source: TrustSource) -> None:
    """A token names its issuer, and must belong to one source: where two are of one issuer, its key says to which."""
    others = [other for other in sources.of_issuer(tx.connection, source.issuer) if other.id != source.id]
    for other in others:
        why = validation.cannot_share(source, _thumbprints(tx, source), other, _thumbprints(tx, other))
        if why:
            raise Conflict(
                f"{source.issuer} is the issuer of the trust source {other.name!r} ({other.slug}) already, and {why}.",
                "Use that one, or give this one keys of its own.",
                field="issuer",
            )


def _thumbprints(tx: Tx, source: TrustSource) -> frozenset[str]:
    """Of the keys that it is known to have: given ones, or the last that were fetched."""
    kept = keys.find(tx.connection, source)
    if kept is None or kept.jwks is None:
        return validation.given_thumbprints(source)
    return read_key_set(source.kind, kept.jwks).thumbprints


def _save(tx: Tx, before: TrustSource, after: TrustSource) -> None:
    sources.save(tx.connection, after)
    if validation.same_keys(before, after):  # else a new name would forget the keys while their issuer is away
        keys.carry_over(tx.connection, after)


def _record(tx: Tx, act: Act, kind: EventKind, source: TrustSource, detail: dict[str, Any]) -> None:
    audit.record_act(tx, act, kind, subject=Named(id=source.id, name=source.name), detail=detail)


def _fixed(source: TrustSource) -> dict[str, object]:
    return {"slug": source.slug, "kind": source.kind}


def _as_edited(source: TrustSource) -> dict[str, object]:
    return {
        "name": source.name,
        "issuer": source.issuer,
        "keys_from": source.keys_from,
        "keys_url": source.keys_url,
        "given_keys": validation.given_keys(source),
        "ca_sha256": fingerprints(source.ca),
        "audience": source.audience,
        "claims": dict(source.claims),
        "cluster": cluster_detail(source.cluster),
    }
