"""Create and delete objects together with the objects that depend on them.

For example, a new deployment also creates its pods. A real cluster does this later, in its controllers.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from authsec_demo.cluster.objects import Json, Objects, generated_suffix
from authsec_demo.cluster.pods import filled_in
from authsec_demo.cluster.resources import (
    ACCOUNTS,
    DEPLOYMENTS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    RESOURCES,
    Resource,
)


def create(objects: Objects, resource: Resource, namespace: str, given: Mapping[str, Any]) -> Json:
    """Store a new object, and create the objects that depend on it. A pod also gets the fields that a cluster adds.

    Raises `Refusal`.
    """
    if resource.namespaced:
        objects.get(NAMESPACES, "", namespace)
    if resource == PODS:
        return objects.create(PODS, namespace, filled_in(objects, namespace, given))
    made = objects.create(resource, namespace, given)
    if resource == NAMESPACES:
        objects.create(ACCOUNTS, made["metadata"]["name"], {"metadata": {"name": "default"}})
    elif resource == DEPLOYMENTS:
        _roll_out(objects, namespace, made)
    return made


def delete(objects: Objects, resource: Resource, namespace: str, name: str, grace_seconds: int | None = None) -> Json:
    """Delete an object and the objects that it owns. The replica set of a deleted pod creates a new pod.

    If `grace_seconds` is None or 0, a pod disappears at once, as if its containers ended on the first signal.
    Otherwise, the pod becomes terminating and remains. A second call without `grace_seconds` then deletes the
    pod: in a real cluster, the kubelet makes this call.
    """
    if resource == PODS and grace_seconds:
        change = {"deletionTimestamp": objects.timestamp(grace_seconds), "deletionGracePeriodSeconds": grace_seconds}
        return objects.patch(PODS, namespace, name, {"metadata": change})
    gone = objects.delete(resource, namespace, name)
    if resource == NAMESPACES:
        _empty(objects, name)
    for owned in (REPLICA_SETS, PODS):
        for each in objects.list(owned, namespace):
            if gone["metadata"]["uid"] in _owners(each):
                delete(objects, owned, namespace, each["metadata"]["name"])
    if resource == PODS:
        _replace(objects, namespace, gone)
    return gone


def _roll_out(objects: Objects, namespace: str, deployment: Json) -> None:
    """Create the replica set of a deployment, and its pods."""
    spec, name = deployment["spec"], deployment["metadata"]["name"]
    template = copy.deepcopy(spec["template"])
    template_hash = generated_suffix() + generated_suffix()
    labels = {**template.get("metadata", {}).get("labels", {}), "pod-template-hash": template_hash}
    template.setdefault("metadata", {})["labels"] = labels
    replica_set = objects.create(
        REPLICA_SETS,
        namespace,
        {
            "metadata": {"name": f"{name}-{template_hash}", "labels": labels, **_owned_by(deployment)},
            "spec": {**spec, "template": template},
        },
    )
    for _ in range(spec.get("replicas", 1)):
        _run(objects, namespace, replica_set)


def _run(objects: Objects, namespace: str, replica_set: Json) -> None:
    template, name = copy.deepcopy(replica_set["spec"]["template"]), replica_set["metadata"]["name"]
    template["metadata"] |= {"generateName": f"{name}-", **_owned_by(replica_set)}
    create(objects, PODS, namespace, template)


def _replace(objects: Objects, namespace: str, gone: Json) -> None:
    for each in objects.list(REPLICA_SETS, namespace):
        if each["metadata"]["uid"] in _owners(gone):
            _run(objects, namespace, each)


def _empty(objects: Objects, namespace: str) -> None:
    for resource in RESOURCES.values():
        for each in objects.list(resource, namespace) if resource.namespaced else ():
            objects.delete(resource, namespace, each["metadata"]["name"])


def _owned_by(owner: Json) -> Json:
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {"ownerReferences": [reference]}


def _owners(each: Json) -> set[str]:
    return {reference["uid"] for reference in each["metadata"].get("ownerReferences", [])}
