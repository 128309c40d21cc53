"""An operator makes themselves an admin: invites one, raises a role, resets one and takes the link, or uses a key."""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.accounts import administrators, sessions
from authsec_server.failures import NotPermitted
from authsec_server.principal import Principal, PrincipalKind, Role

pytestmark = pytest.mark.sqlite_suffices

Entrance = Any
ADMIN_KEY = Principal(
    kind=PrincipalKind.ADMIN_KEY, id="6f1d2a34-0000-4000-8000-000000000001", name="ci", role=Role.ADMIN
)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_who_is_no_admin_changes_nobody(entrance: Entrance, role: Role) -> None:
    ann = entrance.first()
    mallory = entrance.another("mallory@example.com", role, "Mallory")
    act, ann_id, own_id = entrance.act(mallory), ann.administrator.id, mallory.administrator.id
    attempts: list[Any] = [
        lambda tx: administrators.invite(tx, act, email="m2@example.com", name="M", role=Role.ADMIN),
        lambda tx: administrators.invite(tx, act, email="m2@example.com", name="M", role=Role.VIEWER),
        lambda tx: administrators.change_role(tx, act, own_id, Role.ADMIN, revision=1),
        lambda tx: administrators.change_role(tx, act, ann_id, Role.VIEWER, revision=1),
        lambda tx: administrators.rename(tx, act, ann_id, "Mallory", revision=1),
        lambda tx: administrators.change_email(tx, act, ann_id, "m2@example.com", revision=1),
        lambda tx: administrators.disable(tx, act, ann_id),
        lambda tx: administrators.enable(tx, act, ann_id),
        lambda tx: administrators.reset(tx, act, ann_id),
        lambda tx: administrators.reset(tx, act, own_id),
        lambda tx: sessions.end_all(tx, act, ann_id),
        lambda tx: sessions.end(tx, act, ann.session.id),
        lambda tx: administrators.for_a_sign_in(tx, act, ann_id),
        lambda tx: administrators.for_a_password(tx, act, ann_id),
        lambda tx: administrators.for_the_first(tx, act),
    ]
    before = len(entrance.events())
    for attempt in attempts:
        with pytest.raises(NotPermitted):
            entrance.database.change(attempt)
    assert len(entrance.events()) == before
    assert entrance.principal(ann.cookie).role is Role.ADMIN


@pytest.mark.parametrize("kind", ["admin", "admin key"])
def test_only_the_operator_at_the_machine_has_sign_in_links_made(entrance: Entrance, kind: str) -> None:
    """An admin could invite somebody, and that is on record; becoming a colleague is not theirs to do."""
    ann, bob = entrance.first(), entrance.another("bob@example.com")
    act = entrance.act(ann if kind == "admin" else ADMIN_KEY)
    whom = bob.administrator.id
    for attempt in (
        lambda tx: administrators.for_a_sign_in(tx, act, whom),
        lambda tx: administrators.for_a_password(tx, act, whom),
        lambda tx: administrators.for_the_first(tx, act),
    ):
        with pytest.raises(NotPermitted, match="only be created on the server's machine"):
            entrance.database.change(attempt)


def test_over_http_an_admin_key_gets_no_link(house: Any) -> None:
    operator = house(local_operator=True).door()
    key = operator.post("/authsec/api/v1/admin-keys", json={"name": "ci", "role": "admin"}).json()["key"]
    operator.post("/authsec/api/v1/administrators", json={"email": "ann@example.com", "name": "Ann", "role": "admin"})
    door = house().door(Authorization=f"Bearer {key}")
    for body in (
        {"purpose": "first_administrator"},
        {"purpose": "sign_in", "email": "ann@example.com"},
        {"purpose": "set_password", "email": "ann@example.com"},
    ):
        answer = door.post("/authsec/api/v1/setup-links", json=body)
        assert (answer.status_code, answer.json()["reason"]) == (403, "not_permitted")
        assert "code=" not in answer.text
