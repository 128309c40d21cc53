"""The API server of a cluster, over real TLS: TokenReview and pods, as Kubernetes answers; it can be told to lie."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from workload_evidence import US

OWN_TOKEN = "eyJhbGciOiJSUzI1NiJ9.b3duLXRva2Vu.c2lnbmF0dXJl"
CREDENTIALS = "cluster-a.token"


class ApiServer:
    """Answers for the pods of `pods`, and for every token as `review` has it; `fails` is a status instead, `says` any
    answer. `asked` are the paths it was asked for.
    """

    def __init__(self, peers: Any, peer: Callable[..., Any], folder: Path) -> None:
        certificate = peers.Certificate("localhost")
        self._http = peers.http
        self.its = peer(self._say, certificate=certificate)
        self.url = f"https://localhost:{self.its.port}"
        self.ca: str = certificate.pem.decode()
        self.folder = folder
        self.pods: dict[str, dict[str, Any]] = {"customer-support-7f9c5b4d6-x2x7k": pod()}
        self.review: dict[str, Any] = review()
        self.fails = ""
        self.says: Any = None
        self.asked: list[str] = []
        self.authorization: list[str] = []
        self.write(OWN_TOKEN + "\n")

    def write(self, text: str, name: str = CREDENTIALS) -> None:
        """What stands in the file of credentials."""
        (self.folder / name).write_text(text)

    @property
    def settings(self) -> dict[str, Any]:
        """Of an authority that may ask it."""
        return {"credentials_dir": self.folder, "outbound_private_hosts": "localhost"}

    def asked_for(self, **what: Any) -> dict[str, Any]:
        """What is registered of it: both look-ups, unless told otherwise."""
        on = {"token_review": True, "pod_lookup": True} | what
        return {"api_server": self.url, "api_ca": self.ca, "credentials": CREDENTIALS} | on

    def count(self, part: str) -> int:
        """How often it was asked for such a path."""
        return sum(part in path for path in self.asked)

    def reviewed(self) -> list[Mapping[str, Any]]:
        """The TokenReviews that it was sent."""
        bodies = [request.partition(b"\r\n\r\n")[2] for request in self.its.requests if request.startswith(b"POST ")]
        return [json.loads(body) for body in bodies]

    def _say(self, connection: socket.socket, request: bytes) -> None:
        head = request.partition(b"\r\n\r\n")[0].decode()
        path = head.split(" ")[1]
        self.asked.append(path)
        self.authorization += [line[15:] for line in head.split("\r\n") if line.lower().startswith("authorization:")]
        connection.sendall(self._answer(path))

    def _answer(self, path: str) -> bytes:
        if callable(self.says):
            return self.says()  # type: ignore[no-any-return] # a test says what bytes it wants
        if self.says is not None:
            return self._http(self.says)  # type: ignore[no-any-return] # peers.py is loaded by its path
        if self.fails:
            return self._http({"kind": "Status", "status": "Failure"}, status=self.fails)  # type: ignore[no-any-return] # as above
        if path.endswith("/tokenreviews"):
            return self._http(self.review, status="201 Created")  # type: ignore[no-any-return] # as above
        found = self.pods.get(unquote(path.rpartition("/")[2]))
        status = "200 OK" if found else "404 Not Found"
        return self._http(found or no_such_pod(), status=status)  # type: ignore[no-any-return] # as above


def review(**status: Any) -> dict[str, Any]:
    """The answer to a TokenReview, as Kubernetes 1.30 and later give it for a token of `workload_evidence`."""
    its = {
        "authenticated": True,
        "user": {
            "username": "system:serviceaccount:production:customer-support-sa",
            "uid": "b1fb3d0c-33c5-4d77-bbcb-8d2b1f6a4a10",
            "groups": ["system:serviceaccounts", "system:serviceaccounts:production", "system:authenticated"],
            "extra": {
                "authentication.kubernetes.io/credential-id": ["JTI=6c0ab3a7-6dd1-4a3a-9f3c-0c8fb2a0f2b4"],
                "authentication.kubernetes.io/node-name": ["worker-1"],
                "authentication.kubernetes.io/node-uid": ["2d1a1fba-6b5b-4ea4-9d0b-2ac5b7bd0f31"],
                "authentication.kubernetes.io/pod-name": ["customer-support-7f9c5b4d6-x2x7k"],
                "authentication.kubernetes.io/pod-uid": ["5b2cb9d4-4a36-4f5b-9f0e-8d6a9a0f1c22"],
            },
        },
        "audiences": [US],
    } | status
    return {
        "kind": "TokenReview",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"creationTimestamp": None},
        "spec": {"token": "…", "audiences": [US]},
        "status": {name: value for name, value in its.items() if value is not None},
    }


def no_longer() -> dict[str, Any]:
    """What it answers once the pod no longer exists."""
    return review(
        authenticated=None,
        user={},
        audiences=None,
        error='[invalid bearer token, service account token has been invalidated: pod "x" not found]',
    )


def pod(metadata: dict[str, Any] | None = None, spec: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A pod as the API server shows it, cut to a third; `metadata` and `spec` go over what stands there."""
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": "customer-support-7f9c5b4d6-x2x7k",
            "generateName": "customer-support-7f9c5b4d6-",
            "namespace": "production",
            "uid": "5b2cb9d4-4a36-4f5b-9f0e-8d6a9a0f1c22",
            "resourceVersion": "1337",
            "labels": {"app": "customer-support", "app.kubernetes.io/part-of": "support", "pod-template-hash": "7f9c5"},
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "name": "customer-support-7f9c5b4d6",
                    "uid": "64a7…",
                    "controller": True,
                }
            ],
            "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:spec": {"f:containers": {"k:{}": {".": {}}}}}}],
        }
        | (metadata or {}),
        "spec": {
            "serviceAccountName": "customer-support-sa",
            "nodeName": "worker-1",
            "initContainers": [
                {"name": "migrate", "image": "registry.example.com/migrate:1"},
                {"name": "proxy", "image": "registry.example.com/proxy:3", "restartPolicy": "Always"},
            ],
            "containers": [
                {"name": "agent", "image": "registry.example.com/agent:1.4", "env": [{"name": "A", "value": "b"}]},
                {"name": "metrics", "image": "registry.example.com/metrics:2"},
            ],
            "ephemeralContainers": [{"name": "debugger", "image": "busybox"}],
        }
        | (spec or {}),
        "status": {"phase": "Running", "podIP": "10.0.0.7"},
    } | changes


def no_such_pod() -> dict[str, Any]:
    """How it answers for a pod that is not there."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'pods "customer-support-7f9c5b4d6-x2x7k" not found',
        "reason": "NotFound",
        "details": {"name": "customer-support-7f9c5b4d6-x2x7k", "kind": "pods"},
        "code": 404,
    }
