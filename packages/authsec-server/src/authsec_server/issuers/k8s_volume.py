"""The volume that gives a pod a token for this authority alone, in YAML. Pure."""

from __future__ import annotations

import json
from typing import Final

MOUNT: Final = "/var/run/secrets/authsec"
"""Where the SDK looks for it."""

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
    """The lines. An audience may be any visible text; in quotes, as JSON has them, YAML reads it as it is."""
    return _VOLUME.format(audience=json.dumps(audience, ensure_ascii=False))
