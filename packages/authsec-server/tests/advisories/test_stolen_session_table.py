"""The tables of sessions, links and administrators are stolen. Nothing in them lets anybody in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from authsec_server.accounts.model.administrators import LinkStatus
from authsec_server.accounts.model.sessions import BrowserCaller
from authsec_server.web.errors import Unauthenticated
from sqlalchemy import text

Entrance = Any
TABLES = ("sessions", "setup_links", "administrators")


def stolen(entrance: Entrance) -> str:
    """Every row of the tables, as text."""

    def rows(tx: Any) -> list[Any]:
        return [row for table in TABLES for row in tx.connection.execute(text(f"SELECT * FROM {table}"))]

    return repr(entrance.database.read(rows))


def test_no_secret_is_in_them(entrance: Entrance) -> None:
    link = entrance.sign_in.first_link()
    ann = entrance.sign_in.set_up_first(
        link.code, email="ann@example.com", name="Ann", password=entrance.password, caller=entrance.caller()
    )
    found = stolen(entrance)
    assert ann.session.id in found, "this test looks where the secrets would be"
    for secret in (ann.cookie, link.code, entrance.password):
        assert secret not in found


def test_what_is_in_them_opens_nothing(entrance: Entrance) -> None:
    link = entrance.sign_in.first_link()
    rows = entrance.database.read(
        lambda tx: tx.connection.execute(text("SELECT id, code_sha256 FROM setup_links")).all()
    )
    for value in rows[0]:
        assert entrance.sign_in.find_link(value).status is LinkStatus.UNKNOWN
    ann = entrance.sign_in.set_up_first(
        link.code, email="ann@example.com", name="Ann", password=entrance.password, caller=entrance.caller()
    )
    (session,) = entrance.database.read(
        lambda tx: tx.connection.execute(text("SELECT id, cookie_sha256 FROM sessions")).all()
    )
    for value in session:
        with pytest.raises(Unauthenticated):
            entrance.principal(value)
    hashed = entrance.database.read(
        lambda tx: tx.connection.execute(text("SELECT password_hash FROM administrators")).scalar_one()
    )
    assert hashed.startswith("$argon2id$")
    with pytest.raises(Unauthenticated):
        entrance.sign_in.by_password("ann@example.com", hashed, entrance.caller())
    assert entrance.principal(ann.cookie)


def test_nor_in_the_database_file(house: Any, tmp_path: Path) -> None:
    sign_in = house().authority.sign_in
    link = sign_in.first_link()
    caller = BrowserCaller(request_id="req_00000000000000000000000r", address="192.0.2.1")
    given = {"email": "ann@example.com", "name": "Ann", "password": "violet tram kiosk 7"}
    ann = sign_in.set_up_first(link.code, caller=caller, **given)
    everything = b"".join(path.read_bytes() for path in sorted(tmp_path.glob("authsec.sqlite3*")))
    assert b"ann@example.com" in everything
    for secret in (ann.cookie, link.code, given["password"]):
        assert secret.encode() not in everything
