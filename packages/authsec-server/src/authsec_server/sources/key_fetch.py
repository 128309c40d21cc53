"""Asking an issuer for its keys, through the one door for outgoing HTTP."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import Any

from authsec.safe_text import plain

from authsec_server.outbound import Answer, Outbound, OutboundFailed, OutboundLimits
from authsec_server.sources.jwks import KeySet, UnusableKeys, read_key_set
from authsec_server.sources.model import KeysFrom, SourceKind, TrustSource

LIMITS = OutboundLimits(seconds=5.0, max_bytes=256 * 1024)
_DISCOVERY = "/.well-known/openid-configuration"


class NotFetched(Exception):
    """Why there is no set, in a clause for an operator, without a full stop."""


def trust_of(source: TrustSource) -> ssl.SSLContext | None:
    """The certificates that count for this source alone; None for those of the settings."""
    return ssl.create_default_context(cadata=source.ca) if source.ca else None


def fetch_key_set(
    source: TrustSource, outbound: Outbound, trust: ssl.SSLContext | None, limits: OutboundLimits = LIMITS
) -> KeySet:
    """The keys as the source publishes them now. Blocks for at most twice the limit; raises `NotFetched`."""

    def ask(url: str) -> Mapping[str, Any]:
        return _object(source, outbound.get(url, limits=limits, trust=trust))

    try:
        url = source.keys_url if source.keys_from is KeysFrom.URL else _discovered(source, ask)
        return read_key_set(source.kind, ask(url))
    except OutboundFailed as error:
        raise NotFetched(str(error)) from None
    except UnusableKeys as error:
        alarm = ". Consider that key exposed, and tell who runs the issuer" if error.exposed else ""
        raise NotFetched(f"the key set that it publishes cannot be used: {error}{alarm}") from None


def _discovered(source: TrustSource, ask: Callable[[str], Mapping[str, Any]]) -> str:
    """Where the issuer has its keys (OpenID Connect Discovery section 4)."""
    document = ask(source.issuer.rstrip("/") + _DISCOVERY)
    named = document.get("issuer")
    if named != source.issuer:  # to the letter (section 4.3): stops one issuer from posing as another
        raise NotFetched(
            f"its discovery document names the issuer {plain(str(named), 200)!r}, and {source.issuer!r} is registered"
        )
    url = document.get("jwks_uri")
    if not isinstance(url, str):
        raise NotFetched("its discovery document has no jwks_uri")
    return url


def _object(source: TrustSource, answer: Answer) -> Mapping[str, Any]:
    if answer.status == 200:
        return answer.json_object()
    hint = ""
    if source.kind is SourceKind.KUBERNETES and answer.status in {401, 403}:
        hint = (
            ", as clusters do to strangers: give its keys instead, with authsec trust add kubernetes --from-kubeconfig"
        )
    raise NotFetched(f"{answer.source} answers {answer.status}{hint}")
