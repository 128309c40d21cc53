"""Write a kubeconfig for the simulated cluster: the address, the CA certificate and the administrator's token."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Final

CONTEXT: Final = "kubernetes-admin@stand-in"
_CLUSTER: Final = "stand-in"
_USER: Final = "kubernetes-admin"


def write_kubeconfig(path: Path, *, url: str, authority: bytes, token: str) -> Path:
    """Write the kubeconfig with file mode 0600 and return `path`. The file is JSON, which is valid YAML."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": _CLUSTER,
                "cluster": {"server": url, "certificate-authority-data": base64.b64encode(authority).decode("ascii")},
            }
        ],
        "users": [{"name": _USER, "user": {"token": token}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": _CLUSTER, "user": _USER}}],
        "current-context": CONTEXT,
        "preferences": {},
    }
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
        json.dump(config, file, indent=1)
    return path
