"""From a claim of the provider to a role here. Nothing that matches means no role. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from authsec_server.principal import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleRule:
    """`claim` names a claim of strings, or leads to one by dots (`realm_access.roles`); `values` says who gets what."""

    claim: str
    values: Mapping[Role, frozenset[str]]

    def role(self, claims: Mapping[str, Any]) -> Role | None:
        """The highest role that the claim's values give, compared to the letter; None if they give none."""
        held = _texts(self.find(claims))
        return max((role for role, values in self.values.items() if values & held), default=None)

    def find(self, claims: Mapping[str, Any]) -> object:
        """The claim; None if it is not there. A claim by the whole name comes first: names may be URLs, with dots."""
        if self.claim in claims:
            return claims[self.claim]
        value: object = claims
        for part in self.claim.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value


def _texts(claim: object) -> frozenset[str]:
    """A string is one value, never several by spaces or commas: those occur in names of groups."""
    items = claim if isinstance(claim, list) else [claim]
    return frozenset(item for item in items if isinstance(item, str) and item)
