"""Who the provider says is there, and which role that gives here. Pure."""

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
    """A person at a provider, with the role that their claims give here.

    The person is (`issuer`, `subject`), nothing else. An e-mail address is what somebody typed and changes hands: it
    must never lead to an account. `email_verified` says only that the provider looked.
    """

    issuer: str
    subject: str
    email: str
    email_verified: bool
    name: str
    role: Role


def is_complete(claims: Mapping[str, Any], rule: RoleRule) -> bool:
    """Whether nothing is missing that the provider's userinfo could tell."""
    return rule.find(claims) is not None and _email(claims) is not None and _text(claims, "name") != ""


def read_identity(claims: Mapping[str, Any], rule: RoleRule) -> VerifiedIdentity:
    """The identity in verified claims. Raises `SignInRefused` for one without role or e-mail address."""
    role = rule.role(claims)
    if role is None:
        whom = (claims["iss"], claims["sub"])
        raise SignInRefused(OpenIdRefusal.NO_ROLE, f"no value of the claim {rule.claim} gives a role", whom=whom)
    email = _email(claims)
    if email is None:
        raise SignInRefused(OpenIdRefusal.NO_EMAIL, "the provider sends no e-mail address in the claim email")
    return VerifiedIdentity(
        issuer=claims["iss"],
        subject=claims["sub"],
        email=email,
        email_verified=claims.get("email_verified") is True,
        name=_text(claims, "name") or _text(claims, "preferred_username") or email,
        role=role,
    )


def _email(claims: Mapping[str, Any]) -> str | None:
    """The claim `email` in the form that accounts have; None where it is no e-mail address."""
    value = claims.get("email")
    return read_email(value) if isinstance(value, str) else None


def _text(claims: Mapping[str, Any], name: str) -> str:
    """A claim for people to read, on one line."""
    value = claims.get(name)
    return plain(value, MAX_NAME) if isinstance(value, str) else ""


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
