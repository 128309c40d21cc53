"""The master key is lost or exchanged, and the server "heals" itself with new signing keys: then whoever can delete a
file makes every token of the company invalid, and whoever can write one chooses what seals the next keys.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from authsec_server.app import open_authority
from authsec_server.db import open_database
from authsec_server.failures import StartupRefused
from authsec_server.keys import store
from authsec_server.settings import Settings


def delete(path: Path) -> None:
    path.unlink()


def exchange(path: Path) -> None:
    path.write_bytes(base64.b64encode(secrets.token_bytes(32)))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def open_to_all(path: Path) -> None:
    path.chmod(0o644)


@pytest.mark.parametrize("attack", [delete, exchange, empty, open_to_all])
def test_it_refuses_to_start_and_leaves_everything_as_it_is(tmp_path: Path, attack: Callable[[Path], None]) -> None:
    settings = Settings(data=tmp_path)
    with open_authority(settings):
        pass
    database = open_database(settings.database_url)
    before = database.read(lambda tx: store.all_sealed(tx.connection))
    attack(tmp_path / "master.key")
    left: Any = (tmp_path / "master.key").read_bytes() if (tmp_path / "master.key").exists() else None
    for _ in range(2):
        with pytest.raises(StartupRefused, match=r"master\.key"), open_authority(settings):
            raise AssertionError("it started")
    assert database.read(lambda tx: store.all_sealed(tx.connection)) == before
    assert ((tmp_path / "master.key").read_bytes() if (tmp_path / "master.key").exists() else None) == left
    database.close()
