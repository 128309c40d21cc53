"""The name of an authority (`iss`): whether its metadata gives one, and whether proofs may be made for that name."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import urlsplit

from authsec.config import AuthSecConfig, export_line
from authsec.errors import ConfigError, InvalidResponse

_PORTS: Final = {"http": 80, "https": 443}
# Fewer characters than RFC 3986 allows: it goes into messages with a line for the shell, and into manifests.
_ADDRESS: Final = re.compile(r"https?://[A-Za-z0-9._:\[\]-]{1,300}(/[A-Za-z0-9._~%:+=,/-]{0,500})?")


def issuer_of(metadata: dict[str, Any]) -> str:
    """An issuer is an address without query or fragment (RFC 8414 §2).

    It need not begin with `base_url`, from where the authority may be reached under another name. So whoever answers
    at `base_url` chooses for whom the agent's proofs are made; a pinned `issuer` takes that choice away.
    """
    issuer = metadata.get("issuer")
    if not isinstance(issuer, str) or not _ADDRESS.fullmatch(issuer) or not _readable(issuer):
        raise InvalidResponse(
            "The authority's metadata names no valid issuer, which is an address without query. Whoever runs it sets "
            "AUTHSEC_SERVER_PUBLIC_URL.",
            reason="invalid_response",
            status=200,
        )
    return issuer


def trusted(issuer: str, config: AuthSecConfig) -> str:
    """`issuer`, if it is pinned or has the origin of `base_url`; else `ConfigError`, which shows the line to add.

    For tokens that others make for this agent and that their receiver could use: an authority that named a cloud or a
    vault as its issuer would otherwise be sent what opens that one (audience injection).
    """
    if issuer == config.issuer or _origin(issuer) == _origin(config.base_url):
        return issuer
    raise ConfigError(
        f"The authority calls itself {issuer}, which is not where AUTHSEC_BASE_URL leads. A proof that is made for "
        "another's name could be used against that other. If it is the name of your authority, add:\n"
        f"    {export_line('AUTHSEC_ISSUER', issuer)}",
        reason="issuer_not_pinned",
    )


def _readable(url: str) -> bool:
    try:
        return bool(urlsplit(url).hostname) and urlsplit(url).port != 0
    except ValueError:  # which is what was asked
        return False


def _origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port (RFC 6454 §4)."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)
