"""Map selectors to the claims of an OpenID Connect issuer. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from authsec_server.failures import Invalid
from authsec_server.issuers.model import TrustedIssuerKind
from authsec_server.naming import quoted

ALWAYS = {"oidc:sub": "sub"}

_GITHUB = (
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "repository_visibility",
    "ref",
    "ref_type",
    "environment",
    "event_name",
    "workflow_ref",
    "job_workflow_ref",
    "runner_environment",
    "actor_id",
)
_GITLAB = (
    "project_path",
    "project_id",
    "namespace_path",
    "namespace_id",
    "ref",
    "ref_type",
    "ref_protected",
    "environment",
    "environment_protected",
    "pipeline_source",
    "ci_config_ref_uri",
    "runner_environment",
    "user_id",
)
_GOOGLE = ("sub", "email", "email_verified", "azp")
_AZURE = ("oid", "tid", "azp", "appid", "sub")


def _named(prefix: str, claims: tuple[str, ...]) -> Mapping[str, str]:
    return {f"{prefix}:{claim}": claim for claim in claims} | ALWAYS


PRESETS: Mapping[str, Mapping[str, str]] = {
    "github": _named("github", _GITHUB),
    "gitlab": _named("gitlab", _GITLAB),
    "google": _named("google", _GOOGLE),
    "azure": _named("azure", _AZURE),
}
"""For each preset, the claim of each selector. The presets: GitHub Actions, GitLab CI/CD, Google and Microsoft Entra
identities."""


MAX_CLAIMS = 50
MAX_NAME = 120
_KEY = re.compile(r"[a-z0-9]+:[a-z0-9_.-]{1,120}")
_NOT_AN_ISSUERS = ("k8s:", "docker:", "unix:", "spiffe:")


def parse_claims(kind: TrustedIssuerKind, claims: Mapping[str, str], preset: str = "") -> dict[str, str]:
    """Check the map from selectors to claims, and sort it by selector. Raises `Invalid`.

    An OpenID Connect issuer must have such a map. Other kinds of trusted issuers must not have one.
    """
    if kind is not TrustedIssuerKind.OIDC:
        if claims or preset:
            raise Invalid(
                "claims",
                f"A {kind.shown} proves fixed selectors, so its claims cannot be mapped.",
                "Leave out the mapping.",
            )
        return {}
    asked = {**_preset(preset), **claims}
    if not asked:
        raise Invalid(
            "claims",
            "No claim is mapped to a selector, so a token of this issuer could not prove any selector.",
            f"Name a preset ({', '.join(PRESETS)}), or claims such as ci:repository → repository.",
        )
    if len(asked) > MAX_CLAIMS:
        raise Invalid("claims", f"There are more than {MAX_CLAIMS} claims.")
    for key, claim in asked.items():
        _check(key, claim)
    return {key: asked[key] for key in sorted(asked)}


def _preset(name: str) -> Mapping[str, str]:
    if name and name not in PRESETS:
        raise Invalid("preset", f"There is no preset {quoted(name)}.", f"One of: {', '.join(PRESETS)}")
    return PRESETS[name] if name else {}


def _check(key: str, claim: str) -> None:
    if not _KEY.fullmatch(key):
        raise Invalid(
            "claims",
            f"{quoted(key)} is not a selector.",
            "A selector has two parts of lower-case letters and digits, with a colon between, e.g. ci:repository",
        )
    if key.startswith(_NOT_AN_ISSUERS):  # else an issuer could say of its tokens what only a cluster can know
        raise Invalid(
            "claims",
            f"{quoted(key)} is a selector that no OpenID Connect issuer can prove.",
            f"Use another prefix than {', '.join(_NOT_AN_ISSUERS)}",
        )
    if not (1 <= len(claim) <= MAX_NAME and claim.isprintable() and claim == claim.strip()):
        raise Invalid("claims", f"The claim of {key} must be a name of 1 to {MAX_NAME} visible characters.")
