"""Somebody who can write the database, but has not the master key, plants a signing key of their own.

If every verifier then learned it from the published set, they could sign any token for anybody. So only keys that the
master key opens are published, and the row's own public key is not believed.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from authsec_server.app import open_authority
from authsec_server.failures import StartupRefused
from authsec_server.keys import store
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.model import KeyState, SigningKey
from authsec_server.settings import Settings
from ready_keys import STRANGERS as INTRUDER

JWKS = "/.well-known/jwks.json"
PUBLIC = INTRUDER.public.to_jwk()
KID = INTRUDER.public.thumbprint()

BLOBS: dict[str, bytes] = {
    "no blob of ours": b"sealed",
    "not sealed": INTRUDER.to_pem(),
    "another master key": MasterKey(secrets.token_bytes(32)).seal(INTRUDER.to_pem(), kid=KID, nonce=bytes(12)),
}


def published(its: Any) -> set[str]:
    return {key["n"] for key in its.door().get(JWKS).json()["keys"]}


def plant(its: Any, state: KeyState, blob: bytes) -> None:
    key = SigningKey(kid=KID, state=state, public_jwk=PUBLIC, created_at=its.clock.at)
    its.authority.database.append(lambda tx: store.add(tx.connection, key, blob))


@pytest.mark.parametrize("blob", BLOBS.values(), ids=BLOBS)
def test_a_planted_key_is_never_published(house: Callable[..., Any], blob: bytes, tmp_path: Path) -> None:
    its = house()
    genuine = published(its)
    assert len(genuine) == 2
    plant(its, KeyState.RETIRED, blob)
    assert published(its) == genuine
    with (
        pytest.raises(StartupRefused, match=f"signing key {KID} cannot be decrypted"),
        open_authority(Settings(data=tmp_path)),
    ):
        raise AssertionError("it started")


def test_a_planted_key_that_is_active_signs_nothing(house: Callable[..., Any]) -> None:
    its = house()
    client_id = its.delegated_name()
    table = store.signing_keys
    its.authority.database.append(lambda tx: tx.connection.execute(table.update().values(state="retired")))
    plant(its, KeyState.ACTIVE, b"sealed")
    answer = its.door().get("/authsec/uflow/sdk/delegation-token", params={"client_id": client_id})
    assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")


def test_a_public_key_written_over_ours_is_not_published(house: Callable[..., Any]) -> None:
    its = house()
    genuine = published(its)
    table = store.signing_keys
    its.authority.database.append(lambda tx: tx.connection.execute(table.update().values(public_jwk=PUBLIC)))
    assert published(its) == genuine
