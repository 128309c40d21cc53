"""Check requests to register or edit trusted issuers, and compare two trusted issuers. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from authsec.jose import PublicKey

from authsec_server import naming
from authsec_server.failures import Invalid
from authsec_server.issuers.addresses import parse_audience, parse_issuer, parse_url
from authsec_server.issuers.claims import parse_claims
from authsec_server.issuers.cluster_validation import parse_ca, parse_cluster
from authsec_server.issuers.key_set_parsing import UnusableKeys, as_document, read_key_set
from authsec_server.issuers.model import (
    CLUSTER_TERMS,
    EDITABLE,
    ClusterApi,
    KeysFrom,
    ProposedTrustedIssuer,
    TrustedIssuer,
    TrustedIssuerKind,
)

_AS_SERVED = "Give the public JWK Set, as the issuer serves it at its jwks_uri."


def checked(asked: ProposedTrustedIssuer, *, id: str, now: datetime) -> TrustedIssuer:  # noqa: A002 - the field's name
    """Check the request, and return the trusted issuer. Raises `Invalid` at the first problem."""
    kind = _kind(asked.kind)
    name = naming.name("name", asked.name)
    keys_from = _keys_from(kind, asked)
    return TrustedIssuer(
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
        created_at=now,
        **parse_cluster(kind, asked),
    )


def edited(trusted_issuer: TrustedIssuer, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the terms of the trusted issuer after these changes. Raises `Invalid`.

    `changes` has unverified values of fields in `EDITABLE`. The other fields keep their values, with these
    exceptions:

    - A new `keys_from` deletes the old URL, keys and certificates.
    - A new `api_server` deletes the certificates of the old API server.
    - An empty `api_server` deletes every field of the API server.

    A field is not deleted if `changes` has a new value for it. `revisions.changed` takes the result.
    """
    replaced = _replaced(trusted_issuer, changes)
    stays = {name: getattr(trusted_issuer, name) for name in EDITABLE if name not in replaced}
    asked = ProposedTrustedIssuer(kind=trusted_issuer.kind, slug=trusted_issuer.slug, **{**stays, **changes})
    made = checked(asked, id=trusted_issuer.id, now=trusted_issuer.created_at)
    return {name: getattr(made, name) for name in EDITABLE}


def _replaced(trusted_issuer: TrustedIssuer, changes: Mapping[str, Any]) -> set[str]:
    """Return the fields that lose their values because the edit replaces the origin of the keys or the API server."""
    replaced = set()
    if changes.get("keys_from", trusted_issuer.keys_from) != trusted_issuer.keys_from:
        replaced |= {"keys_url", "given_keys", "ca"}
    api_server = changes.get("api_server", trusted_issuer.api_server)
    if api_server != trusted_issuer.api_server:
        replaced |= {"api_ca"}
    if not api_server:
        replaced |= CLUSTER_TERMS.keys()
    return replaced


def _kind(text: str) -> TrustedIssuerKind:
    try:
        return TrustedIssuerKind(text)
    except ValueError:
        raise Invalid(
            "kind", f"{naming.quoted(text)} is not a kind of trusted issuer.", f"One of: {', '.join(TrustedIssuerKind)}"
        ) from None


def _keys_from(kind: TrustedIssuerKind, asked: ProposedTrustedIssuer) -> KeysFrom:
    possible = [each for each in KeysFrom if not (kind is TrustedIssuerKind.SPIFFE and each is KeysFrom.DISCOVERY)]
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
        raise Invalid("keys_url", "A key address is only used with keys_from url.", "Leave out one of the two values.")
    return ""


def _given(
    kind: TrustedIssuerKind, keys_from: KeysFrom, document: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    if keys_from is not KeysFrom.GIVEN:
        if document is not None:
            raise Invalid("given_keys", "Keys are only used with keys_from given.", "Leave out one of the two values.")
        return None
    if document is None:
        raise Invalid("given_keys", "keys_from given needs the keys themselves.", _AS_SERVED)
    try:
        return as_document(kind, read_key_set(kind, document).keys)
    except UnusableKeys as error:
        if error.exposed:
            raise Invalid(
                "given_keys",
                f"This key set must not be used: {error}. AuthSec did not store the key. Treat the key as exposed.",
                f"Replace that key at the issuer. {_AS_SERVED}",
            ) from None
        raise Invalid("given_keys", f"This key set cannot be used: {error}.", _AS_SERVED) from None


def _ca(keys_from: KeysFrom, text: str) -> str:
    if keys_from is KeysFrom.GIVEN and text.strip():
        raise Invalid("ca", "Given keys are not fetched, so certificates have no use.", "Leave out the certificates.")
    return parse_ca(text)


_NOT_ASKED = ClusterApi(url="", credentials="")


def same_keys(before: TrustedIssuer, after: TrustedIssuer) -> bool:
    """Return whether keys that were fetched for `before` are also valid for `after`."""
    return _where_from(before) == _where_from(after)


def narrows(before: TrustedIssuer, after: TrustedIssuer) -> bool:
    """Return whether the change reduces trust, so that valid tokens may become invalid.

    A new name, more keys or more claims never reduce trust.
    """
    if (*_where_from(before), before.audience) != (*_where_from(after), after.audience):
        return True
    if _asks_more(before.cluster, after.cluster):
        return True
    kept = given_keys(after).items()
    return any(pair not in kept for pair in given_keys(before).items()) or any(
        pair not in after.claims.items() for pair in before.claims.items()
    )


def asks_otherwise(before: ClusterApi | None, after: ClusterApi | None) -> bool:
    """Return whether the change makes this server ask the cluster in a new way.

    That is a new kind of look-up, another URL, other certificates or other credentials. Fewer look-ups are not
    a new way.
    """
    had, has = before or _NOT_ASKED, after or _NOT_ASKED
    moved = (had.url, had.ca, had.credentials) != (has.url, has.ca, has.credentials)
    return has.asked and (moved or (has.reviews and not had.reviews) or (has.pods and not had.pods))


def cannot_share(one: TrustedIssuer, keys: Collection[str], other: TrustedIssuer, other_keys: Collection[str]) -> str:
    """Return why these two trusted issuers cannot have the same issuer; empty if they can.

    `keys` are the thumbprints of the keys of `one`, and `other_keys` those of `other`. Many clusters have the issuer
    https://kubernetes.default.svc.cluster.local. Then only the key shows which cluster signed a token.
    """
    if KeysFrom.DISCOVERY in {one.keys_from, other.keys_from}:
        return "trusted issuers can share an issuer only if their keys are given, or come from different addresses"
    if one.keys_from is KeysFrom.URL and one.keys_url == other.keys_url:
        return "both fetch their keys from the same address"
    if not set(keys).isdisjoint(other_keys):
        return "they have a key in common"
    return ""


def given_keys(trusted_issuer: TrustedIssuer) -> dict[str, str]:
    """Map the `kid` of each given key to its thumbprint (RFC 7638).

    If the key has only one algorithm, the name of the algorithm follows the thumbprint.
    """
    return {kid: _named(key) for kid, key in _given_set(trusted_issuer).items()}


def given_thumbprints(trusted_issuer: TrustedIssuer) -> frozenset[str]:
    """Return the thumbprints of the given keys."""
    return frozenset(key.thumbprint() for key in _given_set(trusted_issuer).values())


def _given_set(trusted_issuer: TrustedIssuer) -> Mapping[str, PublicKey]:
    return (
        {} if trusted_issuer.given_keys is None else read_key_set(trusted_issuer.kind, trusted_issuer.given_keys).keys
    )


def _named(key: PublicKey) -> str:
    only = next(iter(key.algorithms)) if len(key.algorithms) == 1 else ""
    return f"{key.thumbprint()} {only}".strip()


def _asks_more(before: ClusterApi | None, after: ClusterApi | None) -> bool:
    """Return whether the change of look-ups may make a valid proof invalid.

    New token reviews may refuse tokens. Without pod look-ups, fewer selectors are proved. Another API server
    replaces an API server that was trusted. Fewer token reviews or more pod look-ups make no proof invalid.
    """
    had, has = before or _NOT_ASKED, after or _NOT_ASKED
    moved = had.asked and has.asked and (had.url, had.ca) != (has.url, has.ca)
    return moved or (has.reviews and not had.reviews) or (had.pods and not has.pods)


def _where_from(trusted_issuer: TrustedIssuer) -> tuple[Any, ...]:
    return trusted_issuer.issuer, trusted_issuer.keys_from, trusted_issuer.keys_url, trusted_issuer.ca
