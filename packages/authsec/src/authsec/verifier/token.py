"""`VerifiedToken`: the calling agent, and the actions that it may take."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, Self

from authsec.errors import InsufficientScope
from authsec.grant_url import grant_page

ACTION: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}:[a-z0-9][a-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """The agent's proof of identity. `method` is `none` for an agent that sent only its client id.

    `enrolled` means that the agent signed with an enrolled key: a key that a machine, such as a laptop, received
    for some hours. `validation` says how the agent's Kubernetes token was verified. The value is `token_review`
    if the cluster was asked, and `offline` if it was not asked. For an agent that is no Kubernetes pod, the value
    is empty.
    """

    method: str
    selectors: tuple[str, ...]
    enrolled: bool = False
    validation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedToken:
    """The calling agent, from a token that passed every check. Only `TokenVerifier.verify` returns such an object.

    The object does not contain the token itself. `agent` is the SPIFFE ID. `delegations` are the ids of the trust
    delegations under which the token was issued. The object is immutable, because requests with the same token
    may share it.
    """

    agent: str
    client_id: str
    permissions: frozenset[str]
    delegations: tuple[str, ...]
    roles: tuple[str, ...]
    attestation: Attestation
    audience: tuple[str, ...]
    jti: str
    authority_version: int
    _payload: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_claims(cls, claims: Mapping[str, Any]) -> Self:
        """Build the object from claims that have passed every check of `authsec.verifier.checks`."""
        audience, attestation = claims["aud"], claims["attestation"]
        return cls(
            agent=claims["sub"],
            client_id=claims["client_id"],
            permissions=frozenset(claims["permissions"]),
            delegations=tuple(claims["delegation_ids"]),
            roles=tuple(claims["roles"]),
            attestation=Attestation(
                method=attestation["method"],
                selectors=tuple(attestation.get("selectors", ())),
                enrolled=attestation.get("enrolled", False),
                validation=attestation.get("validation", ""),
            ),
            audience=(audience,) if isinstance(audience, str) else tuple(audience),
            jti=claims["jti"],
            authority_version=claims["authority_version"],
            _payload=claims,
        )

    @property
    def expires_at(self) -> datetime:
        """The time when the token expires."""
        return datetime.fromtimestamp(self._payload["exp"], UTC)

    @property
    def issuer(self) -> str:
        """The authority that issued the token. If an API trusts several authorities, each has its own agents."""
        return str(self._payload["iss"])

    @property
    def key_thumbprint(self) -> str | None:
        """The thumbprint of the key that the token is bound to (`cnf.jkt`, RFC 9449); None for a bearer token."""
        binding = self._payload.get("cnf")
        return None if binding is None else str(binding["jkt"])

    @property
    def claims(self) -> Mapping[str, Any]:
        """The whole payload of the token, for claims that have no attribute of their own.

        Each access returns a new copy, so that a change in one handler does not affect another handler.
        """
        return MappingProxyType(_copied(self._payload))

    def require(self, *actions: str) -> None:
        """Check that the token has all of `actions`. Raises `InsufficientScope`.

        Raises `ValueError` without any action, or for a text that is not an action. Such a text could never be
        granted.
        """
        check_actions(actions)
        if not self.permissions.issuperset(actions):
            raise self._insufficient(actions)

    def require_any(self, *actions: str) -> None:
        """Check that the token carries at least one of `actions`. Raises `InsufficientScope`."""
        check_actions(actions)
        if self.permissions.isdisjoint(actions):
            raise self._insufficient(actions, any_of=True)

    def _insufficient(self, actions: tuple[str, ...], *, any_of: bool = False) -> InsufficientScope:
        lacking = [action for action in actions if action not in self.permissions]
        page = grant_page(
            self._payload.get("iss", ""),
            self.client_id,
            roles=self.roles,
            # One action is enough. The challenge names the first.
            actions=lacking[:1] if any_of else lacking,
            audiences=self.audience,
        )
        error = InsufficientScope(
            required=actions,
            granted=tuple(sorted(self.permissions)),
            any_of=any_of,
            grant_at=page,
            audience=self.audience,
        )
        if self.key_thumbprint is not None:
            error.scheme = "DPoP"
        return error


def _copied(value: Any) -> Any:
    """Copy a JSON value, so that the caller may change the copy."""
    if isinstance(value, Mapping):
        return {name: _copied(item) for name, item in value.items()}
    return list(map(_copied, value)) if isinstance(value, list) else value


def check_actions(actions: tuple[str, ...]) -> None:
    if not actions:  # "All of no actions" is always true, so an empty list would admit every agent.
        raise ValueError("name at least one action")
    for action in actions:
        if not ACTION.fullmatch(action):
            raise ValueError(
                f"{action!r} is not an action. An action has the form resource:action, like customers:read."
            )
