"""Check requests to add or edit trusted issuers and their clusters, and compare two trusted issuers. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from authsec.jose import PublicKey
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from authsec_server import naming
from authsec_server.failures import FailureList, Invalid
from authsec_server.issuers.addresses import parse_audience, parse_issuer, parse_url
from authsec_server.issuers.claims import parse_claims
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
from authsec_server.naming import quoted

MAX_PEM = 32 * 1024
MAX_CERTIFICATES = 20
_AS_SERVED = "Give the public JWK Set, as the issuer serves it at its jwks_uri."


def checked(asked: ProposedTrustedIssuer, *, id: str, now: datetime) -> TrustedIssuer:  # noqa: A002 - the field's name
    """Check the request, and return the trusted issuer. Raises `Invalid` with all problems."""
    kind, problems = _kind(asked.kind), FailureList()
    with problems.collect():
        name = naming.name("name", asked.name)
    with problems.collect():
        slug = naming.chosen_slug(asked.slug, asked.name)
    with problems.collect():
        issuer = parse_issuer(kind, asked.issuer)
    with problems.collect():
        keys = _keys(kind, _keys_from(kind, asked), asked)
    with problems.collect():
        audience = parse_audience(asked.audience)
    with problems.collect():
        claims = parse_claims(kind, asked.claims, asked.preset)
    with problems.collect():
        cluster = parse_cluster(kind, asked)
    problems.raise_all()
    return TrustedIssuer(
        id=id,
        slug=slug,
        name=name,
        kind=kind,
        issuer=issuer,
        audience=audience,
        claims=claims,
        created_at=now,
        **keys,
        **cluster,
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


def _keys(kind: TrustedIssuerKind, keys_from: KeysFrom, asked: ProposedTrustedIssuer) -> dict[str, Any]:
    """Return the verified terms about the origin of the keys, by name. Raises `Invalid`."""
    problems = FailureList()
    with problems.collect():
        keys_url = _url(keys_from, asked.keys_url)
    with problems.collect():
        given = _given(kind, keys_from, asked.given_keys)
    with problems.collect():
        ca = _ca(keys_from, asked.ca)
    problems.raise_all()
    return {"keys_from": keys_from, "keys_url": keys_url, "given_keys": given, "ca": ca}


def _url(keys_from: KeysFrom, text: str) -> str:
    if keys_from is KeysFrom.URL:
        return parse_url("keys_url", text)
    if text:
        raise Invalid("keys_url", "keys_url can be set only if keys_from is `url`.", "Leave out one of the two values.")
    return ""


def _given(
    kind: TrustedIssuerKind, keys_from: KeysFrom, document: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    if keys_from is not KeysFrom.GIVEN:
        if document is not None:
            raise Invalid(
                "given_keys", "given_keys can be set only if keys_from is `given`.", "Leave out one of the two values."
            )
        return None
    if document is None:
        raise Invalid("given_keys", "given_keys is required if keys_from is `given`.", _AS_SERVED)
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
        raise Invalid(
            "ca",
            "AuthSec does not fetch keys that are given here, so it needs no certificates.",
            "Leave out the certificates.",
        )
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

    New ways are a new kind of look-up, another URL, other certificates or other credentials. Fewer look-ups are
    not a new way.
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


def parse_ca(text: str, field: str = "ca") -> str:
    """Return the PEM certificates in the text (RFC 7468 section 5), without other text. Raises `Invalid`."""
    if not text.strip():
        return ""
    if "PRIVATE KEY" in text:
        raise Invalid(
            field,
            "This text contains a PRIVATE key. AuthSec did not store the key. Treat the key as exposed.",
            "Replace that key, and give only the certificates: the blocks that begin with BEGIN CERTIFICATE.",
        )
    if len(text) > MAX_PEM:
        raise Invalid(
            field,
            f"{field} must have at most {MAX_PEM:,} characters.",
            "Give only the certificates of the certificate authorities.",
        )
    try:
        found = x509.load_pem_x509_certificates(text.encode("utf-8", "replace"))
    except ValueError:
        found = []
    if not 1 <= len(found) <= MAX_CERTIFICATES:
        raise Invalid(
            field,
            f"{field} must have 1 to {MAX_CERTIFICATES} certificates in PEM form.",
            "Give the blocks from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----.",
        )
    return "".join(each.public_bytes(Encoding.PEM).decode() for each in found)


def fingerprints(ca: str) -> list[str]:
    """Return the SHA-256 of each certificate, in hex. The audit log identifies certificates by this value."""
    return [each.fingerprint(SHA256()).hex() for each in x509.load_pem_x509_certificates(ca.encode())] if ca else []


_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")  # stays in the folder: no separator, no dot in front
_EXAMPLE = "https://10.0.0.1:6443"
_BOTH = (
    "Look-ups need two values: api_server (the address of the cluster's API server) and credentials (the name of a "
    "token file).",
    f"api_server is e.g. {_EXAMPLE}. credentials names a file in the folder AUTHSEC_SERVER_CREDENTIALS_DIR of the "
    "server. The file has this authority's token for the cluster. On the command line: --from-kubeconfig or "
    "--api-server, and --credentials.",
)


def parse_cluster(kind: TrustedIssuerKind, asked: ProposedTrustedIssuer) -> dict[str, Any]:
    """Return the verified terms of the API server, by name.

    Raises `Invalid`. Only a cluster may have such terms.
    """
    given = [name for name in ("api_server", "api_ca", "credentials") if getattr(asked, name).strip()]
    switched = [name for name in ("token_review", "pod_lookup") if getattr(asked, name)]
    if not given and not switched:
        return {}
    if kind is not TrustedIssuerKind.KUBERNETES:
        raise Invalid((given + switched)[0], f"A {kind.shown} has no API server for look-ups.", "Leave the value out.")
    if switched and not given:
        raise Invalid("api_server", *_BOTH)
    problems = FailureList()
    with problems.collect():
        api_server = _api_server(asked.api_server)
    with problems.collect():
        api_ca = parse_ca(asked.api_ca, "api_ca")
    with problems.collect():
        credentials = _file_name(asked.credentials)
    problems.raise_all()
    return {
        "api_server": api_server,
        "api_ca": api_ca,
        "credentials": credentials,
        "token_review": asked.token_review,
        "pod_lookup": asked.pod_lookup,
    }


def cluster_detail(cluster: ClusterApi | None) -> dict[str, Any] | None:
    """Return the settings for the cluster's API server as the audit log records them, in JSON types.

    Each certificate is recorded as its SHA-256.
    """
    if cluster is None:
        return None
    named = {name: value for name, value in asdict(cluster).items() if name != "ca"}
    return {**named, "ca_sha256": fingerprints(cluster.ca)}


def _api_server(text: str) -> str:
    if not text:
        raise Invalid(
            "api_server",
            "Look-ups need the address of the cluster's API server.",
            f"e.g. {_EXAMPLE}; on the command line, --from-kubeconfig reads it.",
        )
    parse_url("api_server", text, example=_EXAMPLE)
    if not text.startswith("https://"):  # with these credentials, a thief could use the cluster
        raise Invalid(
            "api_server",
            f"{quoted(text)} is plain http, and this server would send credentials there.",
            "Give https://…",
        )
    if "?" in text:
        raise Invalid("api_server", f"{quoted(text)} has a query.", f"e.g. {_EXAMPLE}")
    return text.rstrip("/")


def _file_name(text: str) -> str:
    if _FILE_NAME.fullmatch(text):
        return text
    raise Invalid(
        "credentials",
        "credentials must be the name of a token file. The name may have letters, digits, '.', '-' and '_', and no "
        "folder.",
        "Put a file with this authority's token for the cluster into the folder AUTHSEC_SERVER_CREDENTIALS_DIR. "
        "Then give the file's name, e.g. token",
    )
