"""How a verifier fares, for whoever watches the API."""

from __future__ import annotations

from dataclasses import dataclass

from authsec.verifier.key_set import KeysHealth
from authsec.verifier.revocations.following import FeedHealth


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Safe to show to operators. `revocations` is None where none are followed."""

    keys: KeysHealth
    revocations: FeedHealth | None
