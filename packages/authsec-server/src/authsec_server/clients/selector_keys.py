"""The selector keys of each platform, and what each key identifies.

The keys are SPIRE's. The settings of an OpenID Connect issuer map each key to a claim. Such a key comes from a preset,
or the settings define the key. An id is safer than a name: an owner can give up a name, and somebody
else can then register the name. An id is never assigned twice. All functions are pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from authsec_server.issuers.claims import PRESETS

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"  # RFC 1123 section 2.1
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"  # the name part of a Kubernetes label, and its value
_NO_SPACE = r"\S+"
_UNIX_ID = r"0|[1-9][0-9]{0,9}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectorKey:
    """A selector key of a platform. `parameter` is a readable name for the part after the last colon.

    `meant_by` lists wrong spellings that people try. The parser refuses these spellings, and suggests this key.
    """

    key: str
    identifies: str
    value: str = _NO_SPACE  # a regular expression for the whole value
    value_is: str = "text without spaces"
    parameter: str = ""
    parameter_pattern: str = ""
    meant_by: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """Return the key as the documentation writes it: `k8s:pod-label:<key>`."""
        return f"{self.key}<{self.parameter}>" if self.parameter else self.key

    def fits(self, key: str) -> bool:
        """Return whether `key` is this key, with a valid parameter if the key needs one."""
        if not self.parameter:
            return key == self.key
        return key.startswith(self.key) and re.fullmatch(self.parameter_pattern, key[len(self.key) :]) is not None


_IS_LABEL = "a name of up to 63 lower-case letters, digits or hyphens"
_IS_SUBDOMAIN = "a name of lower-case letters, digits, '-' and '.'"

KUBERNETES = (
    SelectorKey(
        key="k8s:ns",
        identifies="the pod's namespace",
        value=_LABEL,
        value_is=_IS_LABEL,
        meant_by=("k8s:namespace",),
    ),
    SelectorKey(
        key="k8s:sa",
        identifies="the pod's service account",
        value=_SUBDOMAIN,
        value_is=_IS_SUBDOMAIN,
        meant_by=("k8s:serviceaccount", "k8s:service-account"),
    ),
    SelectorKey(key="k8s:pod-name", identifies="one pod by its name", value=_SUBDOMAIN, value_is=_IS_SUBDOMAIN),
    SelectorKey(
        key="k8s:pod-uid",
        identifies="one pod by its uid; a pod that replaces it has another uid",
        value=r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}",  # the second form: static pods
        value_is="a uid as `kubectl get pod -o jsonpath={.metadata.uid}` shows it",
    ),
    SelectorKey(key="k8s:node-name", identifies="the node the pod runs on", value=_SUBDOMAIN, value_is=_IS_SUBDOMAIN),
    SelectorKey(
        key="k8s:pod-label:",
        parameter="key",
        parameter_pattern=rf"({_SUBDOMAIN}/)?{_QUALIFIED}",
        identifies="the value of a label of the pod",
        value=_QUALIFIED,
        value_is="a label's value: up to 63 letters, digits, '-', '_' and '.'",
    ),
    SelectorKey(
        key="k8s:pod-owner:",
        parameter="kind",
        parameter_pattern=r"[A-Z][A-Za-z0-9]{0,62}",
        identifies="the object that owns the pod, by its kind (such as ReplicaSet) and name",
        value=_SUBDOMAIN,
        value_is=_IS_SUBDOMAIN,
    ),
    SelectorKey(
        key="k8s:container-name", identifies="a container of the pod by its name", value=_LABEL, value_is=_IS_LABEL
    ),
    SelectorKey(
        key="k8s:container-image", identifies="the image of a container of the pod", meant_by=("k8s:pod-image",)
    ),
)
DOCKER = (
    SelectorKey(
        key="docker:label:",
        parameter="key",
        parameter_pattern=r"[A-Za-z0-9][A-Za-z0-9._/-]{0,126}",
        identifies="the value of a label of the container",
        value=r".+",
        value_is="text",
    ),
    SelectorKey(
        key="docker:env:",
        parameter="key",
        parameter_pattern=r"[A-Za-z_][A-Za-z0-9_.-]{0,126}",
        identifies="the value of an environment variable of the container; never put a secret here",
        value=r".+",
        value_is="text",
    ),
    SelectorKey(key="docker:image_id", identifies="the image that the container was started from"),
)
UNIX = (
    SelectorKey(
        key="unix:uid", identifies="the process's user id", value=_UNIX_ID, value_is="a user id in digits, e.g. 1000"
    ),
    SelectorKey(
        key="unix:gid", identifies="the process's group id", value=_UNIX_ID, value_is="a group id in digits, e.g. 1000"
    ),
    SelectorKey(key="unix:user", identifies="the process's user by name"),
    SelectorKey(key="unix:group", identifies="the process's group by name"),
    SelectorKey(
        key="unix:path",
        identifies="the program's file",
        value=r"(/(?!\.{1,2}(/|$))[^/]+)+",
        value_is="an absolute path without '.', '..' or double slashes",
    ),
    SelectorKey(
        key="unix:sha256",
        identifies="the program's file by the SHA-256 of its content",
        value=r"[0-9a-f]{64}",
        value_is="64 lower-case hexadecimal digits",
    ),
)
SPIFFE = (
    SelectorKey(
        key="spiffe:id",
        identifies="the workload by its SPIFFE ID in its trust domain",
        value=r"spiffe://[a-z0-9._-]{1,255}(/(?!\.{1,2}(/|$))[A-Za-z0-9._-]+)+",  # SPIFFE ID section 2
        value_is="a SPIFFE ID: spiffe://, the trust domain in lower case, and a path, e.g. spiffe://example.org/agent",
        meant_by=("spiffe", "spiffe_id", "spiffe:spiffe_id"),
    ),
)


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
        # An OpenID issuer must not prove keys of Kubernetes, Docker, Unix or SPIFFE. `_OFFERED` has its own entries.
        parameter_pattern=r"(?!(?:k8s|docker|unix|spiffe):|(?:"
        + "|".join(_OFFERED)
        + r")$)[a-z0-9]+:[a-z0-9_.-]{1,120}",
        identifies="the claim that the trusted issuer maps to this name",
        value=r".+",
        value_is="text, as in the token",
    ),
)
"""One entry for each offered key, then one entry for all other keys of this form."""
