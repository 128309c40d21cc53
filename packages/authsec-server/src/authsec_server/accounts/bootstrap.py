"""The bootstrap key: by it automation administers an authority that no person has been in yet.

Whoever sets the server up makes the key and names its file; the server makes it known at its start. So it can be had
before there is a server to make one. It ends by itself, and its file brings back nothing that has ended.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Final

from authsec_server.accounts import service
from authsec_server.accounts.model.admin_keys import AdminKey, is_admin_key, looks_random
from authsec_server.db import Database
from authsec_server.failures import StartupRefused
from authsec_server.principal import Act
from authsec_server.private_files import read_private
from authsec_server.settings import Settings

NAME: Final = "bootstrap"
_CALLED: Final = "bootstrap key file"


def bootstrap_key(settings: Settings, database: Database, act: Act) -> AdminKey | None:
    """The key in the file that the settings name, known from now on; None where they name none.

    Several servers may start at once: one records it. Raises `StartupRefused` unless the file is private and good.
    """
    if settings.bootstrap_key_file is None:
        return None
    text = _text_in(settings.bootstrap_key_file)
    life = timedelta(seconds=settings.bootstrap_key_lifetime)
    return database.read(lambda tx: service.find(tx, text)) or database.change(
        lambda tx: service.adopt(tx, act, text, name=NAME, life=life)
    )


def _text_in(path: Path) -> str:
    command = f"authsec admin bootstrap-key --to-file {path}"
    text = read_private(path, _CALLED, if_missing=f"Make one, or leave the setting out: {command}").strip()
    key = text.decode("ascii", "replace")
    if not is_admin_key(key):
        raise StartupRefused(
            f"The {_CALLED} {path} does not hold an admin key and nothing else: authsec_ and 43 characters.",
            f"Remove it, and make one: {command}",
        )
    if not looks_random(key):
        raise StartupRefused(
            f"The key in the {_CALLED} {path} was not made at random: anybody might guess it.",
            f"Remove it, and make one: {command}",
        )
    return key
