"""Run the simulated cluster. The class `Cluster` changes the cluster directly, without HTTP requests."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from authsec.jose import PrivateKey

from authsec_demo.cluster import lifecycle
from authsec_demo.cluster.api import ApiServer
from authsec_demo.cluster.authentication import Authenticator
from authsec_demo.cluster.certificates import make_certificate
from authsec_demo.cluster.issuer import URL, Issuer
from authsec_demo.cluster.kubeconfig import write_kubeconfig
from authsec_demo.cluster.kubelet import Kubelet
from authsec_demo.cluster.objects import Clock, Json, Objects
from authsec_demo.cluster.pods import NODE
from authsec_demo.cluster.rbac import BUILT_IN_BINDINGS, BUILT_IN_ROLES
from authsec_demo.cluster.resources import (
    ACCOUNTS,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    NAMESPACES,
    NODES,
    PODS,
    RESOURCES,
)
from authsec_demo.cluster.tokens import request_token
from authsec_demo.loopback import serving

_NAMESPACES = ("default", "kube-system")


class Cluster:
    """A running simulated cluster.

    `authority` is the CA certificate (PEM). `admin_token` is the administrator's token, with all permissions.
    """

    def __init__(self, *, url: str, authority: bytes, admin_token: str, objects: Objects, issuer: Issuer) -> None:
        self.url = url
        self.authority = authority
        self.issuer = issuer.url
        self.admin_token = admin_token
        self.objects = objects
        self._issuer = issuer

    def kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig with the administrator's token."""
        return write_kubeconfig(path, url=self.url, authority=self.authority, token=self.admin_token)

    def kubelet(self, folder: Path) -> Kubelet:
        """Return a kubelet that writes the tokens of pods into files below `folder`."""
        return Kubelet(self.objects, self._issuer, folder)

    def apply(self, document: Mapping[str, Any]) -> Json:
        """Create the object that this manifest describes, as `kubectl create` does."""
        (resource,) = (
            each
            for each in RESOURCES.values()
            if (each.api_version, each.kind) == (document["apiVersion"], document["kind"])
        )
        return lifecycle.create(self.objects, resource, document["metadata"].get("namespace", ""), document)

    def create_account(self, namespace: str, name: str) -> Json:
        """Create a service account, and its namespace if the namespace does not exist."""
        if self.objects.find(NAMESPACES, "", namespace) is None:
            lifecycle.create(self.objects, NAMESPACES, "", {"metadata": {"name": namespace}})
        return lifecycle.create(self.objects, ACCOUNTS, namespace, {"metadata": {"name": name}})

    def run_pod(
        self,
        namespace: str,
        name: str,
        *,
        account: str = "default",
        labels: Mapping[str, str] | None = None,
        containers: Mapping[str, str] | None = None,
        spec: Mapping[str, Any] | None = None,
    ) -> Json:
        """Create a running pod. `containers` maps the name of each container to its image.

        `spec` has more fields for the `spec` of the pod, and can replace the fields from the other arguments.
        """
        listed = [{"name": each, "image": image} for each, image in (containers or {"main": "pause:3.10"}).items()]
        given = {
            "metadata": {"name": name, "labels": dict(labels or {})},
            "spec": {"serviceAccountName": account, "containers": listed, **(spec or {})},
        }
        return lifecycle.create(self.objects, PODS, namespace, given)

    def delete_pod(self, namespace: str, name: str, *, grace_seconds: int = 0) -> None:
        """Delete the pod at once. With `grace_seconds`, the pod is terminating instead."""
        lifecycle.delete(self.objects, PODS, namespace, name, grace_seconds)

    def token(
        self,
        namespace: str,
        account: str,
        *,
        pod: Json | None = None,
        audiences: Sequence[str] = (),
        seconds: int = 3600,
    ) -> str:
        """Return a token of the service account, as a kubelet requests it.

        If `pod` is given, the token is bound to the pod.
        """
        spec: dict[str, Any] = {"audiences": list(audiences), "expirationSeconds": seconds}
        if pod is not None:
            named = {name: pod["metadata"][name] for name in ("name", "uid")}
            spec["boundObjectRef"] = {"kind": "Pod", "apiVersion": "v1", **named}
        token: str = request_token(self.objects, self._issuer, namespace, account, {"spec": spec})["status"]["token"]
        return token


@contextmanager
def running_cluster(*, issuer: str = URL, now: Clock = time.time, key: PrivateKey | None = None) -> Iterator[Cluster]:
    """Run a cluster on a free loopback port until the `with` block ends.

    The cluster has the built-in namespaces and roles of Kubernetes. `issuer` is the issuer of its tokens, and
    `key` signs these tokens.
    """
    objects = Objects(now)
    of_tokens = Issuer(key or PrivateKey.generate_rsa(), now, issuer)
    admin_token = secrets.token_urlsafe(32)
    certificate = make_certificate()
    server = ApiServer(objects, of_tokens, Authenticator(objects, of_tokens, admin_token))
    _begin(objects)
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="authsec-demo-cluster-")))
        # uvicorn reads a certificate only from a file. Only this user can open the folder.
        pem = folder / "server.pem"
        pem.write_bytes(certificate.chain_and_key)
        url = running.enter_context(serving(server.app, certificate=pem))
        yield Cluster(
            url=url, authority=certificate.authority, admin_token=admin_token, objects=objects, issuer=of_tokens
        )


def _begin(objects: Objects) -> None:
    objects.create(NODES, "", {"metadata": {"name": NODE, "labels": {"kubernetes.io/hostname": NODE}}})
    for name in _NAMESPACES:
        lifecycle.create(objects, NAMESPACES, "", {"metadata": {"name": name}})
    for role in BUILT_IN_ROLES:
        objects.create(CLUSTER_ROLES, "", role)
    for binding in BUILT_IN_BINDINGS:
        objects.create(CLUSTER_ROLE_BINDINGS, "", binding)
