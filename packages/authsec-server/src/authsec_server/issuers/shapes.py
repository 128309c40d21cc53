"""The JSON of a trusted issuer's terms: in requests, documents and responses."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from typing_extensions import TypedDict  # as in `web.paging`

from authsec_server.issuers.model import KeysFrom, TrustedIssuerKind
from authsec_server.web.bodies import Body, Changes, changes_of


class TrustedIssuerTermsShown(TypedDict):
    """The terms of a trusted issuer, in a response."""

    name: str
    kind: TrustedIssuerKind
    issuer: str
    keys_from: KeysFrom
    keys_url: str | None
    given_keys: dict[str, Any] | None
    ca: str | None
    audience: str | None
    claims: dict[str, str]
    api_server: str | None
    api_ca: str | None
    credentials: str | None
    token_review: bool
    pod_lookup: bool


class TrustedIssuerTermsBody(Body):
    """The terms of a trusted issuer, in a request or a document."""

    name: str | None = Field(default=None, description="The name that people see; default: the slug.")
    kind: str
    issuer: str = Field(description="The exact `iss` of its tokens; for SPIFFE, the trust domain.")
    keys_from: str
    keys_url: str = ""
    given_keys: dict[str, Any] | None = Field(  # somebody will paste private ones
        default=None, repr=False, description="A JWK Set of public keys."
    )
    ca: str = Field(
        default="",
        description="Certificates (PEM). When AuthSec fetches the issuer's keys, it trusts only these certificates.",
    )
    audience: str = ""
    claims: dict[str, str] = Field(
        default_factory=dict,
        description="Only for an OpenID Connect issuer: for each selector, the claim that proves the selector.",
    )
    preset: str = Field(
        default="", description="The claims of a well-known issuer, by its name: github, gitlab, google or azure."
    )
    api_server: str = ""
    api_ca: str = ""
    credentials: str = Field(
        default="", description="The name of a token file on the server. Never send the token itself."
    )
    token_review: bool = False
    pod_lookup: bool = False


@changes_of(TrustedIssuerTermsBody, without=("kind", "preset"))
class TrustedIssuerTermsChanges(Changes):
    """Changes to the terms of a trusted issuer."""


class TrustedIssuerChanges(TrustedIssuerTermsChanges):
    """Changes to a trusted issuer. `anyway` turns look-ups on even if the cluster does not answer."""

    anyway: bool = False
