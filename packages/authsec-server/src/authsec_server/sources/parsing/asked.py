"""What may be asked for; nothing of it has been checked yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSource:
    """A source to be registered; the words are those of `TrustSource`.

    Without `slug` the name makes one. `preset` names claims of a well-known issuer (`presets`), and `claims` come on
    top of it.
    """

    name: str
    kind: str
    issuer: str
    keys_from: str
    slug: str | None = None
    keys_url: str = ""
    given_keys: Mapping[str, Any] | None = field(default=None, hash=False, repr=False)  # somebody pastes private ones
    ca: str = ""
    audience: str = ""
    claims: Mapping[str, str] = field(default_factory=dict, hash=False)
    preset: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What an edit asks for; None leaves a thing as it is. With another `keys_from`, the old address, keys and
    certificates are forgotten unless they are given anew.
    """

    name: str | None = None
    issuer: str | None = None
    keys_from: str | None = None
    keys_url: str | None = None
    given_keys: Mapping[str, Any] | None = field(default=None, hash=False, repr=False)
    ca: str | None = None
    audience: str | None = None
    claims: Mapping[str, str] | None = field(default=None, hash=False)
