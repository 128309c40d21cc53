"""An accident: what somebody has read is deleted, and made anew under the same slug, before they edit it.

Both begin with revision 1. So the edit would be one of another thing, which nobody had looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

House = Any
API = "/authsec/api/v1"
THINGS: dict[str, tuple[dict[str, Any], str]] = {
    "roles": ({"name": "Support", "actions": ["a:b"]}, "support"),
    "apis": ({"name": "Orders", "identifier": "orders"}, "orders"),
    "clients": ({"name": "Helper", "platform": "unattested"}, "helper"),
    "issuers": (
        {
            "name": "CI",
            "kind": "oidc",
            "issuer": "https://ci.example.com",
            "keys_from": "discovery",
            "preset": "gitlab",
        },
        "ci",
    ),
}


@pytest.mark.parametrize("noun", THINGS)
def test_an_edit_of_what_is_gone_changes_nothing_of_what_came_after_it(house: Callable[..., House], noun: str) -> None:
    body, slug = THINGS[noun]
    door = house(local_operator=True).door()
    where = f"{API}/{noun}/{slug}"
    read = door.post(f"{API}/{noun}", json=body)
    door.delete(where).raise_for_status()
    anew = door.post(f"{API}/{noun}", json=body)
    assert (read.status_code, anew.status_code) == (201, 201)
    tag = {"If-Match": read.headers["ETag"]}
    for method, sent in (("PATCH", {"json": {"name": "Renamed"}}), ("DELETE", {})):
        for query in ("", "?dry_run=1"):
            late = door.request(method, where + query, headers=tag, **sent)
            told = late.json()
            assert (late.status_code, told["reason"], told["changed_fields"]) == (412, "outdated", []), told
            assert "A new object has the same name" in told["error"]
            assert late.headers["ETag"] == anew.headers["ETag"] != read.headers["ETag"]
    shown = door.get(where).json()
    assert (shown["name"], shown["revision"]) == (body["name"], 1)
    assert door.patch(where, json={"name": "Renamed"}, headers={"If-Match": anew.headers["ETag"]}).status_code == 200
