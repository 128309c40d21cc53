"""Selectors of OpenID Connect issuers: the keys of the presets, and the keys that a trusted issuer defines.

An id is safer than a name: an owner can give up a name, and somebody else can then register the name. An id
is never assigned twice. All functions are pure.
"""

from __future__ import annotations

from authsec_server.clients.selectors.keys import SelectorKey
from authsec_server.issuers.claims import PRESETS

_GITHUB = {
    "repository": "the repository by owner and name, e.g. example/support-agent",
    "repository_id": "the repository by its id, which is never reused",
    "repository_owner": "the user or organisation that owns the repository, by name",
    "repository_owner_id": "the user or organisation that owns the repository, by its id, which is never reused",
    "repository_visibility": "whether the repository is public, internal or private",
    "ref": "the branch or tag of the run, e.g. refs/heads/main",
    "ref_type": "whether the run is of a branch or a tag",
    "environment": "the deployment environment that the job names",
    "event_name": "what started the run, e.g. push; use it to exclude runs of pull requests",
    "workflow_ref": "the workflow file with its branch or tag",
    "job_workflow_ref": "the reusable workflow that the job runs, with its branch or tag",
    "runner_environment": "whether the machine is GitHub's (github-hosted) or your own (self-hosted)",
    "actor_id": "who started the run, by the account's id",
}
_GITLAB = {
    "project_path": "the project by its path, e.g. example/support-agent",
    "project_id": "the project by its id, which is never reused",
    "namespace_path": "the group or user that owns the project, by path",
    "namespace_id": "the group or user that owns the project, by its id, which is never reused",
    "ref": "the branch or tag of the job",
    "ref_type": "whether the job is of a branch or a tag",
    "ref_protected": "whether that branch or tag is protected: true or false",
    "environment": "the deployment environment that the job names",
    "environment_protected": "whether that environment is protected: true or false",
    "pipeline_source": "what started the pipeline, e.g. push",
    "ci_config_ref_uri": "the pipeline's definition: its file, with its branch or tag",
    "runner_environment": "whether the machine is GitLab's (gitlab-hosted) or your own (self-hosted)",
    "user_id": "who started the job, by the account's id",
}
_GOOGLE = {
    "sub": "the service account by its unique id, which is never reused",
    "email": "the service account by its email address, which a later account may reuse",
    "email_verified": "whether Google has verified the email address: true or false",
    "azp": "the client that the token was issued to, by its id",
}
_AZURE = {
    "oid": "the managed identity or service principal by its object id, which is never reused",
    "tid": "the tenant of Microsoft Entra, by its id",
    "azp": "the application that the token was issued to, by its client id (tokens of version 2.0)",
    "appid": "the application that the token was issued to, by its client id (tokens of version 1.0)",
    "sub": "the identity's id, which differs for each application that a token is for",
}
_MEANINGS = {
    "github": _GITHUB,
    "gitlab": _GITLAB,
    "google": _GOOGLE,
    "azure": _AZURE,
    "oidc": {"sub": "the subject of the token, as the issuer writes it"},
}


def _offered() -> dict[str, SelectorKey]:
    """Return the keys of all presets. The key `oidc:sub` is in every preset; here it occurs once, as the first key."""
    offered = {}
    for key in sorted({key for claims in PRESETS.values() for key in claims}, key=_order):
        issuer, _, claim = key.partition(":")
        identifies = _MEANINGS[issuer][claim]
        offered[key] = SelectorKey(key=key, identifies=identifies, value=r".+", value_is="text, as in the token")
    return offered


def _order(key: str) -> tuple[int, int]:
    issuer, _, claim = key.partition(":")
    return ["oidc", *PRESETS].index(issuer), list(_MEANINGS[issuer]).index(claim)


_OFFERED = _offered()
ISSUERS = (
    *_OFFERED.values(),
    SelectorKey(
        key="",
        parameter="issuer>:<claim",
        # Not what only a cluster, SPIRE or a trust domain can know, and not what stands above.
        parameter_pattern=r"(?!(?:k8s|docker|unix|spiffe):|(?:"
        + "|".join(_OFFERED)
        + r")$)[a-z0-9]+:[a-z0-9_.-]{1,120}",
        identifies="the claim that the trusted issuer maps to this name",
        value=r".+",
        value_is="text, as in the token",
    ),
)
"""One entry for each offered key, then one entry for all other keys of this form."""
