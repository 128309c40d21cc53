"""The schema of a configuration document. The domain packages validate the values.

A document defines each named entity completely: a missing member gets its default value. Only `enabled` and
`owner` keep their current value when they are missing.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from authsec_server.apis.api import ApiDescriptionBody
from authsec_server.clients.model import MAX_PROOFS
from authsec_server.clients.views import ClientDescriptionBody
from authsec_server.delegations.api import DelegationBody
from authsec_server.issuers.api import TrustedIssuerTermsBody
from authsec_server.roles.api import RoleDescriptionBody
from authsec_server.web.bodies import Body


class TrustedIssuerShape(TrustedIssuerTermsBody):
    """A trusted issuer in a document. The members have the same meaning as in the admin API."""

    kind: Literal["kubernetes", "spiffe", "oidc"]
    keys_from: Literal["discovery", "url", "given"]
    enabled: bool | None = Field(default=None, description="If omitted, the current value is kept.")


class ApiShape(ApiDescriptionBody):
    """A protected API, or an MCP server that agents call, in a document."""

    actions: dict[str, str] = Field(
        default_factory=dict, description="For each action, a description of what the action allows."
    )


class RoleShape(RoleDescriptionBody):
    """A role in a document: a named set of actions."""


class ProofShape(Body):
    """One proof of an agent in a document.

    The platform `secret` only says that the agent has secrets: a document never creates a secret.
    """

    platform: Literal["kubernetes", "docker", "unix", "spiffe", "oidc", "key", "secret", "unattested"]
    trusted_issuer: str | None = Field(
        default=None,
        description="The trusted issuer that proves the selectors. Default: the only trusted issuer "
        "that can prove them.",
    )
    selectors: dict[str, str] = Field(
        default_factory=dict, description="Selectors, e.g. k8s:ns: production. All selectors must match."
    )
    public_key: str | None = Field(
        default=None, repr=False, description="PEM: the block that begins with BEGIN PUBLIC KEY."
    )
    expires_at: str | None = Field(default=None, description="RFC 3339, e.g. 2026-12-31T18:00:00Z")


class AgentShape(ClientDescriptionBody):
    """An AI agent, or an MCP server that acts as a client, in a document."""

    name: str | None = Field(default=None, description="The name that people see; default: the slug.")
    kind: Literal["ai_agent", "mcp_server"] = "ai_agent"
    enabled: bool | None = Field(default=None, description="If omitted, the current value is kept.")
    proofs: list[ProofShape] = Field(
        max_length=MAX_PROOFS + 1,  # all secrets of an agent are one entry
        description="All proofs of the client, except enrolled keys.",
    )


class DelegationShape(DelegationBody):
    """A trust delegation in a document. An edit cannot change the role or the agent."""

    agent: str
    role: str
    target_type: str = "AutoGen AI agent"
    actions: list[str]
    max_duration: str | int = Field(default="1h", description="90s, 30m, 1h, 1d, or a number of seconds.")
    enabled: bool | None = Field(default=None, description="If omitted, the current value is kept.")


class Document(Body):
    """A configuration document. Each section maps slugs to entities.

    A missing section leaves its entities unchanged. An empty section means that there are no such entities.
    """

    issuers: dict[str, TrustedIssuerShape] | None = None
    apis: dict[str, ApiShape] | None = None
    roles: dict[str, RoleShape] | None = None
    agents: dict[str, AgentShape] | None = None
    delegations: dict[str, DelegationShape] | None = None
