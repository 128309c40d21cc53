"""The contacts of `/.well-known/security.txt` as a setting: URIs, separated by commas (RFC 9116 section 2.5.3)."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from authsec_server.setting_values import CommaSeparated

_VISIBLE = re.compile(r"[!-~]+")  # no space and no line break: each contact is one line of the file
_MAIL = re.compile(r"mailto:[^@?]+@[^@?]+(\?.*)?")
_PHONE = re.compile(r"tel:\+?[0-9.()-]+")


def is_contact(text: str) -> bool:
    """Whether `text` is the URI of an email address, a phone number or an https page."""
    if not _VISIBLE.fullmatch(text):
        return False
    if _MAIL.fullmatch(text) or _PHONE.fullmatch(text):
        return True
    try:
        parts = urlsplit(text)
    except ValueError:  # such as a bracket without its other half
        return False
    return parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc


def _checked(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(map(is_contact, value)):
        raise ValueError("name URIs like mailto:security@example.com or https://example.com/report")
    return value


SecurityContacts = Annotated[CommaSeparated, AfterValidator(_checked)]
