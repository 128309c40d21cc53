"""The volume by which a Kubernetes pod gets a token for AuthSec."""

from __future__ import annotations

import json
from typing import Final

MOUNT: Final = "/var/run/secrets/authsec"
"""The folder where the SDK looks for the pod's token."""

_VOLUME: Final = """\
volumes:
  - name: authsec
    projected:
      sources:
        - serviceAccountToken:
            audience: {audience}
            expirationSeconds: 3600
            path: token
"""


def projected_volume(audience: str) -> str:
    """Return the YAML of the volume that contains a pod's token for this audience.

    An audience may be any visible text. So the audience is quoted as a JSON string, which is also valid YAML.
    """
    return _VOLUME.format(audience=json.dumps(audience, ensure_ascii=False))
