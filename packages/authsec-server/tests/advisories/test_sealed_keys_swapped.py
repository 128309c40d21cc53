"""Somebody who can write the database moves a sealed private key to the row of another: an old key, of which they once
had the private part, would sign again under a name that is still trusted. A sealed key opens under its own name only.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from authsec_server.app import open_authority
from authsec_server.db import Tx
from authsec_server.failures import StartupRefused
from authsec_server.keys import store
from authsec_server.settings import Settings

ENDPOINT = "/authsec/uflow/sdk/delegation-token"
TABLE = store.signing_keys


def swap(tx: Tx) -> None:
    (one, first), (other, second) = store.all_sealed(tx.connection).items()
    for kid, blob in ((one, second), (other, first)):
        tx.connection.execute(TABLE.update().where(TABLE.c.kid == kid).values(sealed_private=blob))


def copy(tx: Tx) -> None:
    (_, first), (other, _) = store.all_sealed(tx.connection).items()
    tx.connection.execute(TABLE.update().where(TABLE.c.kid == other).values(sealed_private=first))


@pytest.mark.parametrize("move", [swap, copy])
def test_it_does_not_start(house: Callable[..., Any], tmp_path: Path, move: Callable[[Tx], None]) -> None:
    house().authority.database.change(move)
    with pytest.raises(StartupRefused), open_authority(Settings(data=tmp_path)):
        raise AssertionError("it started")


def test_a_server_that_runs_signs_with_what_it_has_opened(house: Callable[..., Any]) -> None:
    its = house()
    client_id, door = its.delegated_name(), its.door()
    keys = door.get("/.well-known/jwks.json").json()
    its.authority.database.change(swap)
    assert door.get(ENDPOINT, params={"client_id": client_id}).status_code == 200
    assert door.get("/.well-known/jwks.json").json() == keys
