"""The environment of `authsec demo --kubernetes`: the simulated cluster and the folders of its participants.

The participants are the authority, the pods and a developer's laptop.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from authsec_demo.cluster.issuer import URL
from authsec_demo.cluster.kubelet import Kubelet, renewing
from authsec_demo.cluster.pods import NODE
from authsec_demo.cluster.resources import VERSION
from authsec_demo.cluster.running import Cluster, running_cluster
from authsec_demo.loopback import HOST
from authsec_demo.stage import Stage

LOOKUP_TOKEN: Final = "production.token"  # noqa: S105 - the name of a file


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The simulated cluster, its kubelet, the administrator's kubeconfig and two folders.

    The folder `credentials` belongs to the authority. The folder has the token with which the authority calls the
    cluster. The folder `laptop` belongs to the developer's laptop.
    """

    cluster: Cluster
    kubelet: Kubelet
    kubeconfig: Path
    credentials: Path
    laptop: Path


def settings(folder: Path) -> Mapping[str, str]:
    """Return the settings for an authority that may call a cluster on this machine.

    The authority does not cache the answers of the cluster. The function also creates the folder `credentials`.
    """
    credentials = folder / "credentials"
    credentials.mkdir(mode=0o700)
    return {
        "AUTHSEC_SERVER_CREDENTIALS_DIR": str(credentials),
        "AUTHSEC_SERVER_OUTBOUND_PRIVATE_HOSTS": HOST,
        # The default caches a look-up for 30 seconds, which is too long for a demo.
        "AUTHSEC_SERVER_LOOKUP_SECONDS": "0",
    }


def start_cluster(stage: Stage, running: ExitStack, folder: Path) -> Place:
    """Start the simulated cluster and its kubelet. Closing `running` stops the cluster and the kubelet."""
    why = "A simulated cluster: it answers like an API server, over TLS, and runs no containers."
    with stage.step("Start a Kubernetes cluster", why):
        cluster = running.enter_context(running_cluster())
        kubelet = cluster.kubelet(folder / "pods")
        running.enter_context(renewing(kubelet))
        stage.fact("API server", f"{cluster.url}, {VERSION['gitVersion']}, a certificate authority of its own")
        stage.fact("issuer", f"{URL}, as in most clusters")
        stage.fact("node", f"{NODE}, whose kubelet writes the tokens of pods into files")
        laptop = folder / "laptop"
        laptop.mkdir(mode=0o700)
    return Place(
        cluster=cluster,
        kubelet=kubelet,
        kubeconfig=cluster.kubeconfig(folder / "kubeconfig"),
        credentials=folder / "credentials",
        laptop=laptop,
    )
