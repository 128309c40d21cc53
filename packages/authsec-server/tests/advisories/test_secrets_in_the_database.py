"""Somebody copies the database, and finds a token, a key or a link that is still good.

The database has hashes of them, as SECURITY.md says; tokens it does not have at all.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from raw_http import ENDPOINT

House = Any
API = "/authsec/api/v1"


def stored(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.glob("authsec.sqlite3*"))


@pytest.fixture
def its(house: Callable[..., House]) -> House:
    return house(local_operator=True)


def made(its: House, path: str, **body: Any) -> Any:
    answer = its.door().post(f"{API}/{path}", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_the_database_has_hashes_of_what_was_shown_once(its: House, tmp_path: Path) -> None:
    made(its, "apis", name="CRM", identifier="crm-api")
    link = made(its, "administrators", email="p@example.com", name="P", role="viewer")["link"]["url"]
    secrets = {
        "admin key": made(its, "admin-keys", name="CI", role="viewer", expires_in=3600)["key"],
        "credential of an API": made(its, "apis/crm/credentials", name="gateway")["credential"],
        "secret of a client": made(its, "clients", name="Legacy", platform="secret")["client_secret"],
        "link of an invitation": link.rpartition("/")[2].rpartition("=")[2].rpartition("#")[2],
    }
    octets = stored(tmp_path)
    for name, secret in secrets.items():
        random = secret[-43:]  # 32 octets in base64url, which may contain "_"
        assert len(secret) >= 43, name
        assert secret.encode() not in octets, name
        assert random.encode() not in octets, name
        hashes = [sha256(text.encode()).hexdigest().encode() for text in (secret, random)]
        assert any(each in octets for each in hashes), f"{name}: no SHA-256"


def test_the_database_has_no_token(its: House, tmp_path: Path) -> None:
    client = its.delegated_name()
    token = its.door().get(ENDPOINT, params={"client_id": client}).json()["token"]
    octets = stored(tmp_path)
    for part in token.split("."):
        assert part.encode() not in octets
    signed = sha256(token.rpartition(".")[0].encode())
    assert signed.hexdigest().encode() in octets or signed.digest() in octets, "the record of the token"


def test_the_database_has_no_key_that_opens_others(its: House, tmp_path: Path) -> None:
    client = its.delegated_name()
    assert its.door().get(ENDPOINT, params={"client_id": client}).status_code == 200
    octets = stored(tmp_path)
    master = (tmp_path / "master.key").read_bytes().strip()
    assert len(master) > 16
    assert master not in octets
    assert b"PRIVATE KEY" not in octets
