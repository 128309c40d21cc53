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
    """A person at a provider, with the role that the person's claims grant at this authority.

    Only (`issuer`, `subject`) identifies the person. Never look up an account by the e-mail address: people
    type addresses, and an address may get another owner. `email_verified` means only that the provider checked
    the address.
    """

    issuer: str
    subject: str
    email: str
    email_verified: bool
    name: str
    role: Role


def is_complete(claims: Mapping[str, Any], rule: RoleRule) -> bool:
    """Return whether the claims contain a role, an e-mail address and a name. Userinfo is then not needed."""
    return rule.find(claims) is not None and _email(claims) is not None and _text(claims, "name") != ""


def read_identity(claims: Mapping[str, Any], rule: RoleRule) -> VerifiedIdentity:
    """Read the identity from verified claims. Raises `SignInRefused` if a role or an e-mail address is missing."""
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
    """Return the claim `email` in the form of account addresses; None if the claim is not an e-mail address."""
    value = claims.get("email")
    return read_email(value) if isinstance(value, str) else None


def _text(claims: Mapping[str, Any], name: str) -> str:
    """Return a claim as one line of text for people; empty if the claim is not a string."""
    value = claims.get(name)
    return plain(value, MAX_NAME) if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleRule:
    """A rule by which claims grant roles: `values` maps each role to the claim values that grant it.

    `claim` is the name of a claim that contains strings. It may also be a path with dots, such as
    `realm_access.roles`.
    """

    claim: str
    values: Mapping[Role, frozenset[str]]

    def role(self, claims: Mapping[str, Any]) -> Role | None:
        """Return the highest role that the claim grants; None if it grants no role. Values must match exactly."""
        held = _texts(self.find(claims))
        return max((role for role, values in self.values.items() if values & held), default=None)

    def find(self, claims: Mapping[str, Any]) -> object:
        """Return the value of the claim; None if it is absent.

        A claim with the whole name is looked up first, because the name may be a URL with dots. If there is no such
        claim, the name is used as a path.
        """
        if self.claim in claims:
            return claims[self.claim]
        value: object = claims
        for part in self.claim.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value


def _texts(claim: object) -> frozenset[str]:
    """Return the strings of a claim. A single string is one value and is not split.

    The reason: names of groups may contain spaces and commas.
    """
    items = claim if isinstance(claim, list) else [claim]
    return frozenset(item for item in items if isinstance(item, str) and item)
