"""An administrator of the database inserts an administrator whose email is the name of an admin key.

`audit list --by ann` looked for an administrator first, and listed nothing: the events of the key had another id. The
lookup refuses a name that two have, and `verify` finds the one that no event names.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.accounts import admin_keys as accounts
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind
from authsec_server.db import Tx
from authsec_server.failures import Invalid
from authsec_server.principal import Role
from sealed_estate import Sealed, listed, sealed_estate
from sqlalchemy import text

pytestmark = pytest.mark.sqlite_suffices

NAMESAKE = "00000000-0000-4000-8000-000000000000"
PLANTED = (
    "INSERT INTO administrators (id, email, name, role, created_at)"
    f" SELECT '{NAMESAKE}', 'ann-key', 'x', 'viewer', created_at FROM admin_keys WHERE name = 'ann-key'"
)


@pytest.fixture
def sealed(estate: Any) -> Sealed:
    return sealed_estate(estate)


def test_a_name_of_two_is_refused_with_both_ids(sealed: Sealed) -> None:
    key = key_id(sealed)
    sealed.estate.database.append(lambda tx: tx.connection.execute(text(PLANTED)) and None)
    with pytest.raises(Invalid) as refused:
        sealed.estate.database.read(lambda tx: listed(tx, {"by": "ann-key"}))
    assert NAMESAKE in refused.value.message
    assert key in refused.value.message
    assert sealed.estate.database.read(lambda tx: listed(tx, {"by": key})) == []


def test_a_namesake_that_no_event_names_is_found(sealed: Sealed) -> None:
    _, found = sealed.after(PLANTED)
    assert f'The administrator {NAMESAKE} and the admin key {key_id(sealed)} are both called "ann-key"' in found


def test_a_key_that_the_server_named_like_an_administrator_is_no_finding(sealed: Sealed) -> None:
    sealed.estate.do(lambda tx, act: accounts.create(tx, act, name="bob@example.com", role=Role.VIEWER))
    sealed.seal()
    assert sealed.findings() == ()


def key_id(sealed: Sealed) -> str:
    def read(tx: Tx) -> str:
        made = audit.page(tx, sealed.estate.act.principal, limit=200).items
        subjects = [each.event.subject for each in made if each.event.kind is EventKind.ADMIN_KEY_CREATED]
        return next(each.id for each in subjects if each is not None and each.name == "ann-key")

    return str(sealed.estate.database.read(read))
