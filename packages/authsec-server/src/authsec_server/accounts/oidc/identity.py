"""Read the person's identity and role from the provider's claims. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from authsec.safe_text import plain

from authsec_server.accounts.model.administrators import read_email
from authsec_server.accounts.oidc.refusal import OpenIdRefusal, SignInRefused
from authsec_server.naming import MAX_NAME
from authsec_server.principal import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedIdentity:
    """A person at a provider, with the role that the person's claims grant here.

    Only (`issuer`, `subject`) identifies the person. People type e-mail addresses, and addresses change owners:
    an address must never lead to an account. `email_verified` means only that the provider checked the address.
    """

    issuer: str
    subject: str
    email: str
    email_verified: bool
    name: str
    role: Role


def is_complete(claims: Mapping[str, Any], rule: RoleRule) -> bool:
    """Return whether the claims have role, e-mail address and name, so that userinfo is not needed."""
    return rule.find(claims) is not None and _email(claims) is not None and _text(claims, "name") != ""


def read_identity(claims: Mapping[str, Any], rule: RoleRule) -> VerifiedIdentity:
    """Read the identity from verified claims. Raises `SignInRefused` without a role or an e-mail address."""
    role = rule.role(claims)
    if role is None:
        whom = (claims["iss"], claims["sub"])
        raise SignInRefused(OpenIdRefusal.NO_ROLE, f"no value of the claim {rule.claim} gives a role", whom=whom)
    email = _email(claims)
    if email is None:
        raise SignInRefused(OpenIdRefusal.NO_EMAIL, "the provider sent no e-mail address in the claim email")
    return VerifiedIdentity(
        issuer=claims["iss"],
        subject=claims["sub"],
        email=email,
        email_verified=claims.get("email_verified") is True,
        name=_text(claims, "name") or _text(claims, "preferred_username") or email,
        role=role,
    )


def _email(claims: Mapping[str, Any]) -> str | None:
    """Return the claim `email` in the form of account addresses; None if the claim is no e-mail address."""
    value = claims.get("email")
    return read_email(value) if isinstance(value, str) else None


def _text(claims: Mapping[str, Any], name: str) -> str:
    """Return a claim as one line of text for people; empty if the claim is no string."""
    value = claims.get(name)
    return plain(value, MAX_NAME) if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleRule:
    """A rule by which claims grant roles: `values` maps each role to the claim values that grant it.

    `claim` names a claim of strings, or gives a path with dots to one (`realm_access.roles`).
    """

    claim: str
    values: Mapping[Role, frozenset[str]]

    def role(self, claims: Mapping[str, Any]) -> Role | None:
        """Return the highest role that the claim grants; None if it grants none. Values must match exactly."""
        held = _texts(self.find(claims))
        return max((role for role, values in self.values.items() if values & held), default=None)

    def find(self, claims: Mapping[str, Any]) -> object:
        """Return the value of the claim; None if it is absent.

        The whole name is tried before the path with dots: a claim's name may be a URL, which has dots.
        """
        if self.claim in claims:
            return claims[self.claim]
        value: object = claims
        for part in self.claim.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value


def _texts(claim: object) -> frozenset[str]:
    """Return the strings of a claim. One string is one value: names of groups may contain spaces and commas."""
    items = claim if isinstance(claim, list) else [claim]
    return frozenset(item for item in items if isinstance(item, str) and item)
