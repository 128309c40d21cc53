"""The database is stolen: a backup left lying about, a dump pasted into a ticket. Nothing in it signs a token or opens
the admin API.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

from authsec.jose import PrivateKey
from authsec_server.keys import store
from authsec_server.keys.master_key import MasterKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key


def everything(folder: Path) -> bytes:
    """What is in the database's files, write-ahead log and all."""
    return b"".join(path.read_bytes() for path in sorted(folder.glob("authsec.sqlite3*")))


def spellings(number: int) -> list[bytes]:
    octets = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return [octets, octets.hex().encode(), base64.b64encode(octets)[:-4], base64.urlsafe_b64encode(octets)[:-4]]


def test_no_private_key_is_in_it(house: Callable[..., Any], tmp_path: Path) -> None:
    its = house()
    master_key = MasterKey(base64.b64decode((tmp_path / "master.key").read_bytes()))
    stolen = everything(tmp_path)
    assert b"PRIVATE KEY" not in stolen
    for kid, blob in its.authority.database.read(lambda tx: store.all_sealed(tx.connection)).items():
        assert blob in stolen or blob[:64] in stolen, "this test looks where the keys are"
        pem = master_key.unseal(blob, kid=kid)
        assert PrivateKey.from_pem(pem).public.thumbprint() == kid
        numbers = load_pem_private_key(pem, None).private_numbers()
        for secret in (numbers.d, numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp):
            assert not [spelling for spelling in spellings(secret) if spelling in stolen]


def test_neither_the_master_key_nor_an_admin_key_is_in_it(house: Callable[..., Any], tmp_path: Path) -> None:
    door = house(local_operator=True).door()
    key = door.post("/authsec/api/v1/admin-keys", json={"name": "ops", "role": "admin"}).json()["key"]
    stolen = everything(tmp_path)
    assert b"ops" in stolen
    assert key.removeprefix("authsec_").encode() not in stolen
    text = (tmp_path / "master.key").read_bytes().strip()
    assert text not in stolen
    assert base64.b64decode(text) not in stolen
