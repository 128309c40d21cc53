"""Which claims of well-known issuers are worth a selector. Pure.

Names can be given up and registered by somebody else; the ids beside them are never given twice. A claim that a token
lacks gives no selector.
"""

from __future__ import annotations

from collections.abc import Mapping

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
"""Selector → claim, by the name of the issuer: GitHub Actions, GitLab CI/CD, Google and Microsoft Entra identities."""
