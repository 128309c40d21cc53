"""What may be asked for; nothing of it has been checked yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSource:
    """A source to be registered; the words are those of `TrustSource`.

    Without `slug` the name makes one. `preset` names claims of a well-known issuer (`presets`), and `claims` come on
    top of it. `api_server` and what follows it become the source's `cluster`.
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
    api_server: str = ""
    api_ca: str = ""
    credentials: str = ""
    token_review: bool = False
    pod_lookup: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What an edit asks for; None leaves a thing as it is. With another `keys_from`, the old address, keys and
    certificates are forgotten unless they are given anew; with another `api_server`, its certificates alike.
    """

    name: str | None = None
    issuer: str | None = None
    keys_from: str | None = None
    keys_url: str | None = None
    given_keys: Mapping[str, Any] | None = field(default=None, hash=False, repr=False)
    ca: str | None = None
    audience: str | None = None
    claims: Mapping[str, str] | None = field(default=None, hash=False)
    api_server: str | None = None
    api_ca: str | None = None
    credentials: str | None = None
    token_review: bool | None = None
    pod_lookup: bool | None = None
