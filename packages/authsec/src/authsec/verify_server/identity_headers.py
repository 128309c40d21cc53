"""The caller's identity, as headers that the proxy adds to the request to the API.

The server always sends every header, even an empty one. So the proxy overwrites any header with this name
that the caller sent. This stops a caller from forging an identity.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

from authsec.verifier import Attestation, VerifiedToken

NAMES: Final = (
    "AuthSec-Agent",
    "AuthSec-Client-Id",
    "AuthSec-Permissions",
    "AuthSec-Delegations",
    "AuthSec-Roles",
    "AuthSec-Attestation",
    "AuthSec-Token-Id",
    "AuthSec-Expires",
)
# Characters that are not percent-encoded. A line break would end the header, and a space separates the items of a list.
# A percent sign would look like the start of an encoded character.
_AS_IT_IS: Final = "".join(map(chr, range(0x21, 0x7F))).replace("%", "")


def identity_headers(identity: VerifiedToken) -> list[tuple[str, str]]:
    """Return the identity headers in the order of `NAMES`. The values of a list are separated by spaces."""
    values = (
        _item(identity.agent),
        _item(identity.client_id),
        _list(sorted(identity.permissions)),
        _list(identity.delegations),
        _list(identity.roles),
        _attestation(identity.attestation),
        _item(identity.jti),
        f"{identity.expires_at:%Y-%m-%dT%H:%M:%SZ}",
    )
    return list(zip(NAMES, values, strict=True))


def _attestation(attestation: Attestation) -> str:
    """Format the attestation: first the method, then `enrolled`, `validation` and `selectors` if the token has them."""
    parts = [_item(attestation.method)]
    if attestation.enrolled:
        parts.append("enrolled")
    if attestation.validation:
        parts.append(f"validation={_item(attestation.validation)}")
    if attestation.selectors:
        parts.append(f"selectors={','.join(map(_item, attestation.selectors))}")
    return "; ".join(parts)


def _list(items: Iterable[str]) -> str:
    return " ".join(map(_item, items))


def _item(text: str) -> str:
    return quote(text, safe=_AS_IT_IS)
