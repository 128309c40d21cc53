"""The key with which an authority authenticates its events: servers seal no event without its MAC."""

from __future__ import annotations

import secrets
from pathlib import Path

from authsec_server.db import Database
from authsec_server.keys.master_key import load_master_key
from authsec_server.settings import load_settings
from sqlalchemy import make_url


def give_event_key(database: Database, url: str) -> None:
    """Give the database the key of the authority at this URL. The master key is made if there is none yet."""
    file = make_url(url).database if url.startswith("sqlite") else None
    settings = load_settings(data=Path(file).parent if file else None, database="" if file else url)
    load_master_key(settings, database, secrets.token_bytes)
