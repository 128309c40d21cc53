"""Everything together: what was asked for, as a source; and a source with what an edit asks for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from authsec_server import naming
from authsec_server.failures import Invalid
from authsec_server.sources.jwks import UnusableKeys, as_document, read_key_set
from authsec_server.sources.model import KeysFrom, SourceKind, TrustSource
from authsec_server.sources.parsing.asked import Changes, NewSource
from authsec_server.sources.parsing.certificates import parse_ca
from authsec_server.sources.parsing.claims import parse_claims
from authsec_server.sources.parsing.clusters import cluster_edited, parse_cluster
from authsec_server.sources.parsing.issuers import parse_audience, parse_issuer, parse_url

_AS_SERVED = "Give the public JWK Set, as the issuer serves it at its jwks_uri."


def checked(asked: NewSource, *, id: str, now: datetime) -> TrustSource:  # noqa: A002 - the field's name
    """The source that is asked for. Raises `Invalid` at the first thing wrong."""
    kind = _kind(asked.kind)
    name = naming.name("name", asked.name)
    keys_from = _keys_from(kind, asked)
    return TrustSource(
        id=id,
        slug=naming.chosen_slug(asked.slug, name),
        name=name,
        kind=kind,
        issuer=parse_issuer(kind, asked.issuer),
        keys_from=keys_from,
        keys_url=_url(keys_from, asked.keys_url),
        given_keys=_given(kind, keys_from, asked.given_keys),
        ca=_ca(keys_from, asked.ca),
        audience=parse_audience(asked.audience),
        claims=parse_claims(kind, asked.claims, asked.preset),
        cluster=parse_cluster(kind, asked),
        created_at=now,
    )


def edited(source: TrustSource, changes: Changes) -> dict[str, Any]:
    """The values that the source has with these changes, for `revisions.changed`. Raises `Invalid`."""
    stays = changes.keys_from is None or changes.keys_from == source.keys_from
    asked = NewSource(
        name=_kept(source.name, changes.name),
        kind=source.kind,
        issuer=_kept(source.issuer, changes.issuer),
        keys_from=_kept(str(source.keys_from), changes.keys_from),
        slug=source.slug,
        keys_url=_kept(source.keys_url if stays else "", changes.keys_url),
        given_keys=(source.given_keys if stays else None) if changes.given_keys is None else changes.given_keys,
        ca=_kept(source.ca if stays else "", changes.ca),
        audience=_kept(source.audience, changes.audience),
        claims=source.claims if changes.claims is None else changes.claims,
        **cluster_edited(source.cluster, changes),
    )
    made = checked(asked, id=source.id, now=source.created_at)
    return {name: getattr(made, name) for name in _EDITABLE}


_EDITABLE = ("name", "issuer", "keys_from", "keys_url", "given_keys", "ca", "audience", "claims", "cluster")


def _kind(text: str) -> SourceKind:
    try:
        return SourceKind(text)
    except ValueError:
        raise Invalid(
            "kind", f"{naming.quoted(text)} is no kind of trust source.", f"One of: {', '.join(SourceKind)}"
        ) from None


def _keys_from(kind: SourceKind, asked: NewSource) -> KeysFrom:
    possible = [each for each in KeysFrom if not (kind is SourceKind.SPIFFE and each is KeysFrom.DISCOVERY)]
    if asked.keys_from not in possible:
        raise Invalid(
            "keys_from",
            f"The keys of a {kind.shown} cannot come from {naming.quoted(asked.keys_from)}.",
            f"One of: {', '.join(possible)}",
        )
    return KeysFrom(asked.keys_from)


def _url(keys_from: KeysFrom, text: str) -> str:
    if keys_from is KeysFrom.URL:
        return parse_url("keys_url", text)
    if text:
        raise Invalid("keys_url", "An address of keys is only used with keys_from url.", "Leave one of the two out.")
    return ""


def _given(kind: SourceKind, keys_from: KeysFrom, document: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if keys_from is not KeysFrom.GIVEN:
        if document is not None:
            raise Invalid("given_keys", "Keys are only taken with keys_from given.", "Leave one of the two out.")
        return None
    if document is None:
        raise Invalid("given_keys", "With keys_from given, the keys themselves are needed.", _AS_SERVED)
    try:
        return as_document(kind, read_key_set(kind, document).keys)
    except UnusableKeys as error:
        if error.exposed:
            raise Invalid(
                "given_keys",
                f"This set must not be used: {error}. It was not stored, but it has left its owner: consider that key "
                "exposed.",
                f"Replace that key at the issuer. {_AS_SERVED}",
            ) from None
        raise Invalid("given_keys", f"This set cannot be used: {error}.", _AS_SERVED) from None


def _ca(keys_from: KeysFrom, text: str) -> str:
    if keys_from is KeysFrom.GIVEN and text.strip():
        raise Invalid("ca", "Keys that are given are not fetched, so no certificates count.", "Leave them out.")
    return parse_ca(text)


def _kept(present: str, given: str | None) -> str:
    return present if given is None else given
