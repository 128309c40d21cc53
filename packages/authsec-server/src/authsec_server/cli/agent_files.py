"""What an agent needs where it runs, as text: entries for SPIRE, a manifest for Kubernetes. Pure.

People typed the names and selectors in it, and the text is fed to programs: every value is quoted for its reader.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import yaml  # type: ignore[import-untyped] # it has no types

from authsec_server.cli.output import harmless

PARENT = "<the SPIFFE ID of the SPIRE agent on its node>"
_LABEL = "k8s:pod-label:"
MOUNT = "/var/run/secrets/authsec"
IMAGE = "IMAGE"
_NOT_THE_MANIFESTS = {  # what a cluster decides when it runs the deployment, by the beginning of the selector's key
    "k8s:pod-name": "a deployment's pods get names of their own",
    "k8s:pod-uid": "each pod gets another uid",
    "k8s:node-name": "the cluster chooses the node, unless a nodeSelector keeps the pods on this one",
    "k8s:pod-owner:": "the cluster names what owns a deployment's pods",
}

Agent = Mapping[str, Any]


def spire_entries(agent: Agent, parent_id: str) -> list[dict[str, Any]]:
    """A registration entry for each proof that SPIRE can enforce, as `spire-server entry create -data` reads it."""
    return [
        {
            "spiffe_id": agent["spiffe_id"],
            "parent_id": parent_id,
            "selectors": [dict(zip(("type", "value"), _of_spire(each), strict=True)) for each in proof["selectors"]],
        }
        for proof in agent["proofs"]
        if proof["selectors"]
        and all(each["key"].startswith(("k8s:", "docker:", "unix:")) for each in proof["selectors"])
    ]


def spire_command(entry: Mapping[str, Any]) -> str:
    """The line that registers the entry, for a POSIX shell."""
    words = ["spire-server", "entry", "create", "-spiffeID", entry["spiffe_id"], "-parentID", entry["parent_id"]]
    for selector in entry["selectors"]:
        words += ["-selector", f"{selector['type']}:{selector['value']}"]
    return shlex.join(words)


def left_out(proof: Mapping[str, Any]) -> list[str]:
    """The proof's selectors that no manifest can bring about, each with the reason; fit for a terminal."""
    return [
        harmless(f"{each['key']} = {each['value']}: {why}")
        for each in proof["selectors"]
        for beginning, why in _NOT_THE_MANIFESTS.items()
        if each["key"].startswith(beginning)
    ]


def manifest(agent: Agent, proof: Mapping[str, Any], *, base_url: str, audience: str) -> str:
    """A service account and a deployment whose pods prove that they are the agent, in YAML.

    What of the proof is not in it, its first lines say.
    """
    seen = {each["key"]: each["value"] for each in proof["selectors"]}
    account = {"name": _Typed(seen.get("k8s:sa", agent["slug"])), "namespace": _Typed(seen.get("k8s:ns", "default"))}
    documents = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": _Typed(agent["slug"]), "namespace": account["namespace"]},
            "spec": _deployed(agent, seen, account["name"], base_url, audience),
        },
    ]
    text: str = yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=1000)
    missing = "".join(f"#   {each}\n" for each in left_out(proof))  # harmless: no line break ends the comment
    return f"# The proof asks for this too, and it is not in here:\n{missing}{text}" if missing else text


class _Typed(str):
    """Text in double quotes. Readers differ in what else they take for a number or a truth: `1e3`, `on`."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):  # type: ignore[misc] # for that reason
    """What is named twice is written twice: no anchors."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _in_quotes(dumper: yaml.SafeDumper, text: _Typed) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style='"')


_Dumper.add_representer(_Typed, _in_quotes)


def _deployed(agent: Agent, seen: Mapping[str, str], account: str, base_url: str, audience: str) -> dict[str, Any]:
    labels = {_Typed("app"): _Typed(agent["slug"])} | {
        _Typed(key.removeprefix(_LABEL)): _Typed(value) for key, value in seen.items() if key.startswith(_LABEL)
    }
    token = {"audience": _Typed(audience), "expirationSeconds": 3600, "path": "token"}
    container = {
        "name": _Typed(seen.get("k8s:container-name", "agent")),
        "image": _Typed(seen.get("k8s:container-image", IMAGE)),
        "env": [
            {"name": "AUTHSEC_BASE_URL", "value": _Typed(base_url)},
            {"name": "AUTHSEC_AGENT_CLIENT_ID", "value": _Typed(agent["client_id"])},
        ],
        "volumeMounts": [{"name": "authsec", "mountPath": MOUNT, "readOnly": True}],
    }
    pod = {
        "serviceAccountName": account,
        "containers": [container],
        "volumes": [{"name": "authsec", "projected": {"sources": [{"serviceAccountToken": token}]}}],
    }
    return {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}


def _of_spire(selector: Mapping[str, str]) -> tuple[str, str]:
    """`k8s:pod-label:app` = `x` is of SPIRE's type `k8s`, with the value `pod-label:app:x`.

    Of `docker:env` it says the variable as Docker does, `env:NAME=x`; else the entry would match nothing.
    """
    kind, _, rest = selector["key"].partition(":")
    joint = "=" if selector["key"].startswith("docker:env:") else ":"
    return kind, f"{rest}{joint}{selector['value']}"
