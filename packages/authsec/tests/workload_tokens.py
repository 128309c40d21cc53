"""Tokens claim for claim as platforms make them for a workload, and a volume that is renewed as the kubelet does it."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path
from typing import Any

from authsec.jose import PrivateKey, sign_compact

CLUSTER_KEY = PrivateKey.generate_ec()
CLUSTER = "https://kubernetes.default.svc.cluster.local"
_numbers = itertools.count(1)


def service_account_token(audience: str | list[str], **changes: Any) -> str:
    """As a cluster of today makes it for a projected volume; a change to None leaves a claim out."""
    now = int(time.time())
    claims = {
        "aud": [audience] if isinstance(audience, str) else audience,
        "exp": now + 3607,
        "iat": now,
        "iss": CLUSTER,
        "jti": f"d0a4e0f2-9cbd-4c0e-8a30-{next(_numbers):012}",
        "kubernetes.io": {
            "namespace": "production",
            "node": {"name": "node-1", "uid": "0f4c3a1e-0000-4000-8000-000000000001"},
            "pod": {"name": "customer-support-5d9c", "uid": "0f4c3a1e-0000-4000-8000-000000000002"},
            "serviceaccount": {"name": "customer-support-sa", "uid": "0f4c3a1e-0000-4000-8000-000000000003"},
        },
        "nbf": now,
        "sub": "system:serviceaccount:production:customer-support-sa",
    } | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    return sign_compact({"kid": "k8s-1"}, claims, CLUSTER_KEY)


def github_token(audience: str) -> str:
    """As GitHub Actions makes it for a job (some of its claims)."""
    now = int(time.time())
    claims = {
        "iss": "https://token.actions.githubusercontent.com",
        "aud": audience,
        "sub": "repo:octo-org/octo-repo:environment:prod",
        "repository": "octo-org/octo-repo",
        "repository_id": "74",
        "ref": "refs/heads/main",
        "environment": "prod",
        "jti": f"example-id-{next(_numbers)}",
        "iat": now,
        "nbf": now - 600,
        "exp": now + 900,
    }
    return sign_compact({"kid": "gh-1", "typ": "JWT"}, claims, CLUSTER_KEY)


class ProjectedVolume:
    """A folder with links, in which a whole version takes the place of another by one rename."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "token"
        folder.mkdir(parents=True)

    def write(self, token: str) -> None:
        version = self.folder / f"..2026_05_21_06_25_{next(_numbers)}"
        version.mkdir(mode=0o755)
        file = version / "token"
        file.write_text(token, "ascii")
        file.chmod(0o644)
        new = self.folder / "..data_tmp"
        new.symlink_to(version.name)
        os.replace(new, self.folder / "..data")
        if not self.path.is_symlink():
            self.path.symlink_to("..data/token")
