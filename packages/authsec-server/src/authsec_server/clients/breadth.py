"""Whom a proof's selectors let in besides the agent that is meant. Pure.

It is a caution, and nothing is refused for it: a namespace may be one agent's alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from authsec_server.clients.model import Selector

_JOBS: Mapping[str, tuple[str, str, frozenset[str]]] = {  # what says whose job it is; a job chooses all else itself
    "github:": (
        "repository",
        "github:repository_id",
        frozenset({"repository", "repository_id", "repository_owner", "repository_owner_id", "workflow_ref"}),
    ),
    "gitlab:": (
        "project",
        "gitlab:project_id",
        frozenset({"project_path", "project_id", "namespace_path", "namespace_id", "ci_config_ref_uri"}),
    ),
}


def breadth(selectors: Sequence[Selector]) -> str:
    """In a sentence, who else would be the agent, and what to add; empty where the selectors are narrow enough."""
    seen = {each.key: each.value for each in selectors}
    if any(key.startswith("k8s:") for key in seen):
        return _of_pods(seen)
    return next(
        (_of_jobs(seen, beginning) for beginning in _JOBS if any(key.startswith(beginning) for key in seen)), ""
    )


def _of_pods(seen: Mapping[str, str]) -> str:
    """Whoever may make pods in a namespace chooses their names, labels and images; not so their service accounts."""
    if "k8s:pod-uid" in seen:
        return ""
    if "k8s:sa" in seen:
        named = f"A service account {seen['k8s:sa']} of any namespace would be this agent: add k8s:ns."
        return "" if "k8s:ns" in seen else named
    where, add = "the cluster", "k8s:ns and k8s:sa"
    if "k8s:ns" in seen:
        where, add = f"namespace {seen['k8s:ns']}", "k8s:sa"
    made = "" if seen.keys() == {"k8s:ns"} else " that is made to look so"
    return f"Every pod of {where}{made} would be this agent: add {add}."


def _of_jobs(seen: Mapping[str, str], beginning: str) -> str:
    what, add, naming = _JOBS[beginning]
    if "oidc:sub" in seen or any(beginning + each in seen for each in naming):
        return ""
    return f"Jobs of any {what} at that issuer would be this agent: add {add}."
