"""What two sources have in common, and what a source may not do any more after an edit."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from authsec.jose import PublicKey

from authsec_server.sources.jwks import read_key_set
from authsec_server.sources.model import ClusterApi, KeysFrom, TrustSource

_NOT_ASKED = ClusterApi(url="", credentials="")


def same_keys(before: TrustSource, after: TrustSource) -> bool:
    """Whether keys that were fetched for the one are those of the other."""
    return _where_from(before) == _where_from(after)


def narrows(before: TrustSource, after: TrustSource) -> bool:
    """Whether tokens that counted may count no longer. Another name, further keys and further claims take nothing."""
    if (*_where_from(before), before.audience) != (*_where_from(after), after.audience):
        return True
    if _asks_more(before.cluster, after.cluster):
        return True
    kept = given_keys(after).items()
    return any(pair not in kept for pair in given_keys(before).items()) or any(
        pair not in after.claims.items() for pair in before.claims.items()
    )


def asks_otherwise(before: ClusterApi | None, after: ClusterApi | None) -> bool:
    """Whether the cluster is asked something new, somewhere else, or with something else. Less of the same is not."""
    had, has = before or _NOT_ASKED, after or _NOT_ASKED
    moved = (had.url, had.ca, had.credentials) != (has.url, has.ca, has.credentials)
    return has.asked and (moved or (has.reviews and not had.reviews) or (has.pods and not had.pods))


def cannot_share(one: TrustSource, its: Collection[str], other: TrustSource, others: Collection[str]) -> str:
    """Why these two cannot both be of one issuer; empty if they can. `its` and `others` are their keys' thumbprints.

    Many clusters call themselves https://kubernetes.default.svc.cluster.local. By its key a token says of which it is.
    """
    if KeysFrom.DISCOVERY in {one.keys_from, other.keys_from}:
        return "only sources whose keys are given, or come from addresses of their own, can share an issuer"
    if one.keys_from is KeysFrom.URL and one.keys_url == other.keys_url:
        return "both have their keys from one address"
    if not set(its).isdisjoint(others):
        return "they have a key in common"
    return ""


def given_keys(source: TrustSource) -> dict[str, str]:
    """The keys that were given for it, by `kid`: thumbprint (RFC 7638), and the algorithm where it is for one alone."""
    return {kid: _named(key) for kid, key in _given(source).items()}


def given_thumbprints(source: TrustSource) -> frozenset[str]:
    """The thumbprints of the keys that were given for it."""
    return frozenset(key.thumbprint() for key in _given(source).values())


def _given(source: TrustSource) -> Mapping[str, PublicKey]:
    return {} if source.given_keys is None else read_key_set(source.kind, source.given_keys).keys


def _named(key: PublicKey) -> str:
    only = next(iter(key.algorithms)) if len(key.algorithms) == 1 else ""
    return f"{key.thumbprint()} {only}".strip()


def _asks_more(before: ClusterApi | None, after: ClusterApi | None) -> bool:
    """Whether what was proved with the one may not be with the other.

    A review more may refuse what counted; a pod that is looked up no more proves less, and so does another API server
    in the place of one whose word counted. To ask less of a token, or to look up more, takes nothing.
    """
    had, has = before or _NOT_ASKED, after or _NOT_ASKED
    moved = had.asked and has.asked and (had.url, had.ca) != (has.url, has.ca)
    return moved or (has.reviews and not had.reviews) or (had.pods and not has.pods)


def _where_from(source: TrustSource) -> tuple[Any, ...]:
    return source.issuer, source.keys_from, source.keys_url, source.ca
