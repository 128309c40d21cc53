"""Raw SQL inserts a copy of a revoked admin key under another id for a moment, and the thief of the key acts.

The event of the act names a principal that nobody revoked. But nobody created the principal, either: servers never
delete an admin key or an administrator, so the principal of each event has a row.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from authsec_server.accounts import admin_keys
from authsec_server.principal import Role

sys.path.insert(0, str(Path(__file__).parent))
from test_role_of_a_delegation_exchanged_for_a_moment import OTHER, Place


def test_the_act_is_found(house_on_each: Callable[..., Any]) -> None:
    its = house_on_each()
    place = Place(its, its.delegated_name(), "")
    change = its.authority.database.change
    key, secret = change(lambda tx: admin_keys.create(tx, place.act, name="ci", role=Role.ADMIN))

    def status(name: str) -> int:
        body, sent = {"name": name, "actions": ["customers:delete"]}, {"Authorization": f"Bearer {secret}"}
        return int(its.door().post("/authsec/api/v1/roles", json=body, headers=sent).status_code)

    assert status("Honest") == 201
    change(lambda tx: admin_keys.revoke(tx, place.act, "ci"))
    assert place.findings() == ""
    place.execute(
        "CREATE TABLE kept AS SELECT * FROM admin_keys",
        f"UPDATE admin_keys SET id = '{OTHER}', revoked_at = NULL WHERE id = '{key.id}'",
    )
    assert status("Thief") == 201
    place.execute(
        f"DELETE FROM admin_keys WHERE id = '{OTHER}'",
        f"INSERT INTO admin_keys SELECT * FROM kept WHERE id = '{key.id}'",
        "DROP TABLE kept",
    )
    assert f"is an act of the admin key {OTHER}, but admin_keys has no such row" in place.findings()
