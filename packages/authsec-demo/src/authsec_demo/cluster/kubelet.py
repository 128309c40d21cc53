"""A simulated kubelet that writes the service account tokens of pods into files, and renews these tokens.

The kubelet does nothing else.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from authsec_demo.cluster.issuer import Issuer
from authsec_demo.cluster.objects import Json, Objects
from authsec_demo.cluster.resources import PODS
from authsec_demo.cluster.tokens import request_token

_RENEWED_AFTER: Final = 0.8  # a token is renewed after this share of its lifetime
_EVERY_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mounted:
    """A token that the kubelet wrote to `file`, with the settings of its volume (`source`).

    `renew_at` is the time of the next renewal.
    """

    pod: Json
    file: Path
    source: Json
    renew_at: float


class Kubelet:
    """A kubelet that writes and renews the tokens of pods.

    The files of each container are in a folder below `folder`, because no real containers run.
    """

    def __init__(self, objects: Objects, issuer: Issuer, folder: Path) -> None:
        self._objects = objects
        self._issuer = issuer
        self._folder = folder
        self._lock = threading.Lock()
        self._mounted: list[_Mounted] = []

    def mount(self, pod: Json, container: str) -> Path:
        """Write the tokens of the container's projected volumes into files.

        Returns the folder that replaces the root folder `/` of the container.
        """
        root = self._folder / str(pod["metadata"]["uid"]) / container
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", [])}
        (wanted,) = (each for each in pod["spec"]["containers"] if each["name"] == container)
        for mount in wanted.get("volumeMounts", []):
            for source in volumes[mount["name"]].get("projected", {}).get("sources", []):
                if "serviceAccountToken" in source:
                    token = source["serviceAccountToken"]
                    file = root / mount["mountPath"].lstrip("/") / token["path"]
                    self._write(_Mounted(pod=pod, file=file, source=token, renew_at=0))
        return root

    def renew(self) -> None:
        """Renew each token that is due for renewal. The files of a deleted pod stay unchanged."""
        with self._lock:
            due = [each for each in self._mounted if each.renew_at <= self._objects.now()]
            self._mounted = [each for each in self._mounted if each not in due]
        for each in due:
            if self._runs(each.pod):
                self._write(each)

    def _runs(self, pod: Json) -> bool:
        found = self._objects.find(PODS, pod["metadata"]["namespace"], pod["metadata"]["name"])
        return found is not None and found["metadata"]["uid"] == pod["metadata"]["uid"]

    def _write(self, mounted: _Mounted) -> None:
        pod, source = mounted.pod, mounted.source
        seconds = source.get("expirationSeconds", 3600)
        metadata = pod["metadata"]
        reference = {"kind": "Pod", "apiVersion": "v1", "name": metadata["name"], "uid": metadata["uid"]}
        spec: dict[str, Any] = {"expirationSeconds": seconds, "boundObjectRef": reference}
        if "audience" in source:
            spec["audiences"] = [source["audience"]]
        account = pod["spec"]["serviceAccountName"]
        answer = request_token(self._objects, self._issuer, metadata["namespace"], account, {"spec": spec})
        _replace(mounted.file, answer["status"]["token"])
        renew_at = self._objects.now() + seconds * _RENEWED_AFTER
        with self._lock:
            self._mounted.append(_Mounted(pod=pod, file=mounted.file, source=source, renew_at=renew_at))


@contextmanager
def renewing(kubelet: Kubelet) -> Iterator[None]:
    """Start a thread that renews due tokens every ten seconds. The thread ends with the `with` block."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(_EVERY_SECONDS):
            kubelet.renew()

    thread = threading.Thread(target=work, name="authsec-demo-kubelet", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _replace(file: Path, token: str) -> None:
    """Replace the file atomically, so that a reader never finds half a token."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f"..{file.name}")
    beside.write_text(token, encoding="ascii")
    os.replace(beside, file)
