"""Fill in the fields that a cluster adds to a pod: service account, mounted token, node and running status."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

from authsec_demo.cluster.issuer import MOUNTED_SECONDS
from authsec_demo.cluster.objects import Json, Objects, generated_suffix
from authsec_demo.cluster.resources import ACCOUNTS
from authsec_demo.cluster.statuses import forbidden

NODE: Final = "node-1"
DEFAULT_MOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
_DEFAULTS: Final = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
}


def filled_in(objects: Objects, namespace: str, given: Mapping[str, Any]) -> Json:
    """Return a copy of the pod with the fields of a scheduled and running pod.

    Raises `Refusal` if the service account does not exist.
    """
    pod: Json = copy.deepcopy(dict(given))
    spec = {**_DEFAULTS, **pod.get("spec", {})}
    name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    account = objects.find(ACCOUNTS, namespace, name)
    if account is None:
        why = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
        raise forbidden("pods", pod.get("metadata", {}).get("name", ""), "", why)
    spec |= {"serviceAccountName": name, "serviceAccount": name, "nodeName": NODE}
    if spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True)):
        _mount_default_token(spec)
    return {**pod, "spec": spec, "status": _running(objects.timestamp(), spec)}


def _mount_default_token(spec: Json) -> None:
    """Mount a volume with a token for the API server in every container of the pod.

    In a real cluster, the service account admission controller mounts this volume.
    """
    name = f"kube-api-access-{generated_suffix()}"
    token = {"expirationSeconds": MOUNTED_SECONDS, "path": "token"}
    volume = {"name": name, "projected": {"sources": [{"serviceAccountToken": token}], "defaultMode": 420}}
    spec["volumes"] = [*spec.get("volumes", []), volume]
    for container in _containers(spec):
        mount = {"name": name, "readOnly": True, "mountPath": DEFAULT_MOUNT}
        container["volumeMounts"] = [*container.get("volumeMounts", []), mount]


def _running(since: str, spec: Mapping[str, Any]) -> Json:
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    return {
        "phase": "Running",
        "conditions": [{"type": kind, "status": "True", "lastTransitionTime": since} for kind in kinds],
        "hostIP": "127.0.0.1",
        "podIP": "127.0.0.1",
        "startTime": since,
        "containerStatuses": [_status(container, since) for container in spec.get("containers", [])],
        "qosClass": "BestEffort",
    }


def _status(container: Mapping[str, Any], since: str) -> Json:
    image = container.get("image", "")
    return {
        "name": container["name"],
        "state": {"running": {"startedAt": since}},
        "ready": True,
        "restartCount": 0,
        "image": image,
        "imageID": image,
        "started": True,
    }


def _containers(spec: Mapping[str, Any]) -> list[Json]:
    return [*spec.get("initContainers", []), *spec.get("containers", [])]
