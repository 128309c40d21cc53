"""Roles, on both databases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Named
from authsec_server.db import Database
from authsec_server.failures import Conflict, Invalid, NotFound, NotPermitted
from authsec_server.principal import Act, Role
from authsec_server.roles import service
from authsec_server.roles.model import RoleDefinition, parse_actions
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.sqlite_suffices


def create(database: Database, act: Act, name: str = "Support", *actions: str) -> RoleDefinition:
    return database.change(lambda tx: service.create(tx, act, name=name, actions=actions or ("customers:read",)))


def test_a_role_is_found_by_id_and_slug(database: Database, act: Act) -> None:
    role = create(database, act, "Customer Support", "tickets:write", "customers:read", "customers:read")
    assert role.slug == "customer-support"
    assert role.actions == ("customers:read", "tickets:write")
    for handle in (role.id, role.slug):
        assert database.read(lambda tx, handle=handle: service.get(tx, act, handle)) == role
    assert database.read(lambda tx: service.by_ids(tx, [role.id, "nobody"])) == {role.id: role}


def test_its_creation_is_in_the_audit_log(database: Database, act: Act) -> None:
    role = create(database, act)
    (recorded,) = database.read(lambda tx: audit.page(tx, act.principal).items)
    assert recorded.event.kind is EventKind.ROLE_CREATED
    assert recorded.event.roles == (Named(id=role.id, name="Support"),)
    assert recorded.event.detail == {
        "slug": "support",
        "name": "Support",
        "description": "",
        "actions": ["customers:read"],
    }
    assert recorded.event.authority_version == 1


def test_a_taken_slug_names_who_has_it(database: Database, act: Act) -> None:
    role = create(database, act)
    with pytest.raises(Conflict, match=f"slug support already belongs to the role 'Support' \\({role.id}\\)"):
        create(database, act, "support")
    assert len(database.read(lambda tx: service.page(tx, act))[0]) == 1
    assert len(database.read(lambda tx: audit.page(tx, act.principal).items)) == 1


def test_an_unknown_role_is_not_found(database: Database, act: Act) -> None:
    for handle in ["nobody", "", "\0", "A B", "x" * 10_000, "6f1d2a34-0000-4000-8000-000000000001"]:
        with pytest.raises(NotFound, match="There is no role") as caught:
            database.read(lambda tx, handle=handle: service.get(tx, act, handle))
        assert len(caught.value.message) < 200


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name"),
    ({"name": "\x1b[2J"}, "name"),
    ({"name": "a\0b"}, "name"),
    ({"name": "x" * 10_000}, "name"),
    ({"name": "日本"}, "slug"),
    ({"slug": "Support"}, "slug"),
    ({"slug": ""}, "slug"),
    ({"slug": "6f1d2a34-0000-4000-8000-000000000001"}, "slug"),
    ({"description": "\u202e"}, "description"),
    ({"actions": []}, "actions"),
    ({"actions": ["customers:read", "customers:*"]}, "actions.1"),
    ({"actions": [f"customers:a{number}" for number in range(201)]}, "actions"),
]


def test_every_error_names_its_field_and_leaves_nothing(database: Database, act: Act) -> None:
    for what, field in REFUSED:
        values = {"name": "Support", "actions": ["customers:read"], **what}
        with pytest.raises(Invalid) as caught:
            database.change(lambda tx, values=values: service.create(tx, act, **values))
        assert caught.value.field == field, what
    assert database.read(lambda tx: service.page(tx, act)) == ([], None)
    assert database.read(lambda tx: audit.page(tx, act.principal).items) == ()


def test_pages_hold_everything_once(database: Database, act: Act) -> None:
    for name in ("delta", "alpha", "charlie", "bravo", "echo"):
        create(database, act, name, "a:one", "a:two")
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        found, after = database.read(lambda tx, after=after: service.page(tx, act, after=after, limit=2))
        assert len(found) <= 2
        assert all(role.actions == ("a:one", "a:two") for role in found)
        seen += [role.slug for role in found]
    assert seen == ["alpha", "bravo", "charlie", "delta", "echo"]


def test_the_last_page_is_known_as_such(database: Database, act: Act) -> None:
    create(database, act, "alpha")
    create(database, act, "bravo")
    assert database.read(lambda tx: service.page(tx, act, limit=2))[1] is None


def test_a_viewer_only_reads(database: Database, act: Act) -> None:
    viewer = replace(act, principal=replace(act.principal, role=Role.VIEWER))
    role = create(database, act)
    assert database.read(lambda tx: service.get(tx, viewer, role.id)) == role
    with pytest.raises(NotPermitted):
        create(database, viewer, "Other")


@given(st.lists(st.sampled_from(["a:b", "a:c", "b:a", "z:z"]), min_size=1))
def test_actions_are_a_sorted_set(actions: list[str]) -> None:
    assert parse_actions(actions) == tuple(sorted(set(actions)))
