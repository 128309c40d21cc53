"""Settings that have a house stand on either database."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path
from typing import Any


def settings_for(database_url: str, folder: Path) -> dict[str, Any]:
    """For `house(**…)`: the database at that URL, and for PostgreSQL the key file that it wants beside it."""
    if database_url.startswith("sqlite"):
        return {}
    key = folder / "master.key"
    key.write_bytes(base64.b64encode(secrets.token_bytes(32)))
    key.chmod(0o600)
    return {"database": database_url, "master_key_file": key}
