"""Where an authority's documents are: its metadata (RFC 8414) says so, and only of its own host."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from authsec.safe_text import plain
from authsec.verifier.documents import AnotherIssuer, DocumentRefused


def published_address(issuer: str, named: str, fetch: Callable[[str], Mapping[str, Any]]) -> str:
    """The address that the metadata has as its member `named`; raises `DocumentRefused`."""
    metadata = fetch(issuer.rstrip("/") + "/.well-known/oauth-authorization-server")
    its = metadata.get("issuer")
    if its != issuer:  # RFC 8414 §3.3: stops one authority from posing as another
        whose = f"the issuer {plain(its, 100)!r}" if isinstance(its, str) else "no issuer"
        raise AnotherIssuer(f"its metadata names {whose} instead of {issuer!r}")
    parts = urlsplit(issuer)
    origin = f"{parts.scheme}://{parts.netloc}/"
    address = metadata.get(named)
    if address is None:
        raise DocumentRefused(f"its metadata names no {named}")
    # Whoever can write to another host must not be able to name our keys. A prefix leaves nothing to parse.
    if not isinstance(address, str) or not address.startswith(origin) or not _is_plain(address):
        raise DocumentRefused(f"its {named} does not begin with {origin}")
    return address


def _is_plain(url: str) -> bool:
    return len(url) <= 2048 and url.isascii() and url.isprintable() and " " not in url
