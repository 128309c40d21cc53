"""The projected service-account token of a Kubernetes pod. The agent's Connect tab shows the volume to mount."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from authsec.credentials.source import Proof, ProofRequest, broken_proof
from authsec.credentials.token_file import TokenFile, volume_snippet
from authsec.errors import AuthSecError

PROJECTED = Path("/var/run/secrets/authsec/token")
AUTOMOUNTED = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectedToken:
    """The token in `/var/run/secrets/authsec/token`. The token lives for an hour, and the kubelet renews it earlier.

    The SDK never sends the token that Kubernetes mounts into every pod by default. The audience of that token is
    the cluster's own API server. A receiver of that token could act as the pod at the API server.
    """

    path: Path = PROJECTED
    automounted: Path = AUTOMOUNTED

    def proof(self, request: ProofRequest) -> Proof | None:
        if not _is_there(self.path):
            return None
        return TokenFile(self.path, found_by="the pod's projected volume").proof(request)

    def looked_at(self, request: ProofRequest) -> str:
        if not os.path.exists(self.automounted):  # or if this user cannot read the folder
            return f"{self.path} (no such file)"
        return (
            f"{self.path} (no such file; the pod's default token at {self.automounted} was found but not sent, "
            "because it is for the cluster's API server)\n"
            f"This pod needs a token for this authority. In its manifest:\n{volume_snippet(_name(request))}"
        )


def _is_there(path: Path) -> bool:
    """Whether `path` exists. The result is also True for a broken link, because the link was meant to be the proof.

    Raises `ConfigError` if the path cannot be read.
    """
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):  # no such file
        return False
    except OSError as error:
        raise broken_proof(f"The token file {path} cannot be read: {error.strerror}.") from None
    return True


def _name(request: ProofRequest) -> str:
    """Return the audience that the token needs, or a placeholder if the audience is unknown.

    The caller is reporting another failure, so this function raises no `AuthSecError`.
    """
    try:
        return request.audience()
    except AuthSecError:
        return "<the authority's issuer>"
