"""Settings for a house on either database, and a database whose events are made up."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path
from typing import Any

from authsec_server.db import Database
from authsec_server.db.schema import authority
from sqlalchemy import update


def raise_version_to(database: Database, version: int) -> None:
    """Set the authority's version, for events that are made up at versions of their own."""
    database.append(lambda tx: tx.connection.execute(update(authority).values(version=version)))


def settings_for(database_url: str, folder: Path) -> dict[str, Any]:
    """For `house(**…)`: the database at that URL, and for PostgreSQL the key file that it wants beside it."""
    if database_url.startswith("sqlite"):
        return {}
    key = folder / "master.key"
    key.write_bytes(base64.b64encode(secrets.token_bytes(32)))
    key.chmod(0o600)
    return {"database": database_url, "master_key_file": key}
