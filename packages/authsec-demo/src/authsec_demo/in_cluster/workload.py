"""The agent's pod. The authority writes the manifest of the pod, and the pod has its token in a file."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from authsec import AuthSecClient
from authsec.credentials import ProjectedToken

from authsec_demo.cluster.objects import Json
from authsec_demo.cluster.resources import PODS
from authsec_demo.commands import result
from authsec_demo.in_cluster.place import Place
from authsec_demo.in_cluster.registering import CONTAINER, NAMESPACE, as_administrator
from authsec_demo.onboarding import sdk_client
from authsec_demo.servers import Servers
from authsec_demo.stage import Stage, check

_TOKEN: Final = "var/run/secrets/authsec/token"  # noqa: S105 - the path at which the manifest mounts the token
_IMAGE: Final = "registry.example.com/customer-support:1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A running pod, and the path on this machine of the file with its container's token."""

    pod: Json
    token_file: Path

    @property
    def name(self) -> str:
        """Return the name of the pod."""
        return str(self.pod["metadata"]["name"])

    def client(self, authority_url: str, client_id: str) -> AuthSecClient:
        """Return an SDK client that uses the container's token and this client_id."""
        return sdk_client(authority_url, client_id, ProjectedToken(path=self.token_file))


def deploy(stage: Stage, servers: Servers, place: Place, agent: Mapping[str, Any]) -> Workload:
    """Apply the agent's manifest and return its running pod."""
    why = "The authority writes the manifest: service account, volume, environment."
    with stage.step("Deploy the agent", why):
        slug = agent["slug"]
        stage.said("administrator", f"authsec agents manifest {slug}")
        stage.said("", "| kubectl apply -f -")
        manifest = result("agents", "manifest", slug, variables=as_administrator(servers, place))["manifest"]
        place.cluster.apply({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": NAMESPACE}})
        for document in yaml.safe_load_all(manifest.replace("IMAGE", _IMAGE)):
            place.cluster.apply(document)
        workload = running_one(place)
        stage.fact("pod", f"{NAMESPACE}/{workload.name}")
        check(workload.token_file.is_file(), expected=f"a token at /{_TOKEN}", came="none")
        stage.fact("its token", f"/{_TOKEN}, only for this authority")
    return workload


def running_one(place: Place) -> Workload:
    """Return the only running pod of the agent's deployment. Raises `StepFailed` if there is not exactly one."""
    pods = [each for each in place.cluster.objects.list(PODS, NAMESPACE) if "ownerReferences" in each["metadata"]]
    check(len(pods) == 1, expected="one pod of the deployment", came=f"{len(pods)}")
    return mounted(place, pods[0])


def another_account(place: Place, workload: Workload, account: str) -> Workload:
    """Run a copy of the workload's pod as another service account."""
    place.cluster.create_account(NAMESPACE, account)
    spec = copy.deepcopy(workload.pod["spec"]) | {"serviceAccountName": account}
    spec["volumes"] = [each for each in spec["volumes"] if each["name"] == "authsec"]
    for container in spec["containers"]:
        container["volumeMounts"] = [each for each in container["volumeMounts"] if each["name"] == "authsec"]
    labels = {"app": workload.pod["metadata"]["labels"]["app"]}
    pod = place.cluster.run_pod(
        NAMESPACE, f"{account.removesuffix('-sa')}-0", account=account, labels=labels, spec=spec
    )
    return mounted(place, pod)


def mounted(place: Place, pod: Json) -> Workload:
    """Write the tokens of the agent's container into files. Return the pod with the path of its token."""
    return Workload(pod=pod, token_file=place.kubelet.mount(pod, CONTAINER) / _TOKEN)
