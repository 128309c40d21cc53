"""Editing, finding and deleting roles, on both databases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from authsec_server.audit.model import EventKind, Named
from authsec_server.delegations import service as delegations
from authsec_server.failures import Conflict, Invalid, NotFound, NotPermitted, Outdated
from authsec_server.principal import Role
from authsec_server.revocations.model import SubjectKind
from authsec_server.roles import service
from authsec_server.roles.model import RoleDefinition

pytestmark = pytest.mark.sqlite_suffices

NEW = {"name": "Support", "description": "", "actions": ("customers:delete", "customers:read")}


def edit(estate: Any, role: RoleDefinition, **what: Any) -> RoleDefinition:
    edited: RoleDefinition = estate.do(
        lambda tx, act: service.edit(tx, act, role.id, revision=role.revision, changes=NEW | what)
    )
    return edited


def test_an_edit_is_kept_and_recorded_by_what_it_changed(estate: Any) -> None:
    role = estate.role()
    edited = edit(estate, role, name="Helpdesk", actions=("customers:read", "orders:read"))
    assert (edited.name, edited.slug, edited.actions) == ("Helpdesk", "support", ("customers:read", "orders:read"))
    assert (edited.revision, edited.changed_at, edited.changed_by) == (2, estate.act.now, "local operator")
    assert estate.see(lambda tx, act: service.get(tx, act, role.id)) == edited
    (event,) = estate.events("role.edited")
    assert event.roles == (Named(id=role.id, name="Helpdesk"),)
    assert event.detail == {
        "revision": 2,
        "before": {"name": "Support", "actions": ["customers:delete", "customers:read"]},
        "after": {"name": "Helpdesk", "actions": ["customers:read", "orders:read"]},
        "ended": [{"kind": "role", "id": "support"}],
    }


def test_an_unchanged_edit_that_names_no_actions_writes_nothing(estate: Any) -> None:
    role = estate.role()
    changes = {"name": role.name, "description": role.description}
    assert estate.do(lambda tx, act: service.edit(tx, act, role.id, revision=1, changes=changes)) == role
    assert estate.events("role.edited") == []
    assert estate.endings() == []


def test_removing_an_action_ends_the_roles_tokens_and_adding_one_does_not(estate: Any) -> None:
    role = estate.role()
    wider = edit(estate, role, actions=("customers:delete", "customers:read", "orders:read"))
    assert estate.endings() == []
    edit(estate, wider, actions=("customers:read", "orders:read", "orders:refund"))
    ((kind, subject, _),) = estate.endings()
    assert (kind, subject) == (SubjectKind.ROLE, role.slug)


def test_whoever_read_an_older_revision_is_told_by_whom_it_was_changed(estate: Any) -> None:
    role = estate.role()
    edit(estate, role, description="For the pilot")
    with pytest.raises(Outdated, match="This role was changed meanwhile by local operator") as caught:
        edit(estate, role, name="Mine")
    assert (caught.value.by, caught.value.at) == ("local operator", estate.act.now)
    assert estate.see(lambda tx, act: service.get(tx, act, role.id)).name == "Support"


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name"),
    ({"description": "\0"}, "description"),
    ({"actions": ()}, "actions"),
    ({"actions": ("customers:*",)}, "actions.0"),
]


def test_every_error_names_its_field_and_leaves_the_role_as_it_was(estate: Any) -> None:
    role = estate.role()
    for what, field in REFUSED:
        with pytest.raises(Invalid) as caught:
            edit(estate, role, **what)
        assert caught.value.field == field
    assert estate.see(lambda tx, act: service.get(tx, act, role.id)) == role


def test_an_edit_of_a_field_that_no_role_has_is_refused(estate: Any) -> None:
    role = estate.role()
    with pytest.raises(TypeError, match=r"No such field: nmae\. The fields are name, description, actions\."):
        edit(estate, role, nmae="Helpdesk")


def test_a_viewer_edits_and_deletes_nothing(estate: Any) -> None:
    role = estate.role()
    estate.act = replace(estate.act, principal=replace(estate.act.principal, role=Role.VIEWER))
    with pytest.raises(NotPermitted):
        edit(estate, role, name="Mine")
    with pytest.raises(NotPermitted):
        estate.do(lambda tx, act: delegations.delete_role(tx, act, role.id))


def test_roles_are_found_by_a_part_of_their_names(estate: Any) -> None:
    support, percent = estate.role("Customer Support"), estate.role("100% Refunds")
    estate.role("Night Shift")

    def found(text: str) -> list[str]:
        return [role.id for role in estate.see(lambda tx, act: service.search(tx, act, text))]

    assert found("SUPPORT") == [support.id]
    assert found("tomer-sup") == [support.id]
    assert found(support.id[:9]) == found(support.id[:9].upper()) == [support.id]
    assert found("%") == [percent.id], "a wildcard means itself"
    assert found("_") == found("\0") == found("nobody") == found("") == []


def test_a_filtered_list_has_pages_too(estate: Any) -> None:
    for number in range(5):
        estate.role(f"Support {number}")
    estate.role("Night Shift")
    first, following = estate.see(lambda tx, act: service.page(tx, act, text="support", limit=3))
    rest, end = estate.see(lambda tx, act: service.page(tx, act, text="support", after=following, limit=3))
    assert [role.slug for role in (*first, *rest)] == [f"support-{number}" for number in range(5)]
    assert end is None


def test_a_role_in_use_is_not_deleted_and_its_users_are_named(estate: Any) -> None:
    role, _ = estate.role(), estate.agent()
    resolved = estate.delegate()
    estate.do(lambda tx, act: delegations.disable(tx, act, resolved.delegation.id, estate.terms))
    with pytest.raises(Conflict, match="One trust delegation uses the role 'Support'") as caught:
        estate.do(lambda tx, act: delegations.delete_role(tx, act, role.id))
    assert f"Support → Helper ({resolved.delegation.id})" in caught.value.message
    for minutes in range(1, 8):
        estate.delegate(max_duration=60 * minutes)
    with pytest.raises(Conflict, match=r"8 trust delegations use the role 'Support': .* and 3 more"):
        estate.do(lambda tx, act: delegations.delete_role(tx, act, role.id))
    assert estate.see(lambda tx, act: service.get(tx, act, role.id)) == role


def test_what_is_over_goes_with_the_role(estate: Any) -> None:
    role, _ = estate.role(), estate.agent()
    over = estate.delegate().delegation.id
    estate.do(lambda tx, act: delegations.revoke(tx, act, over, estate.terms))
    assert estate.do(lambda tx, act: delegations.delete_role(tx, act, "support")) == role
    for gone in (
        lambda tx, act: service.get(tx, act, role.id),
        lambda tx, act: delegations.get(tx, act, over, estate.terms),
    ):
        with pytest.raises(NotFound):
            estate.see(gone)
    (event,) = estate.events("role.deleted")
    assert event.kind is EventKind.ROLE_DELETED
    assert event.roles == (Named(id=role.id, name="Support"),)
    assert event.delegations == (Named(id=over, name="Support → Helper"),)
    assert event.detail == {"slug": "support", "actions": ["customers:delete", "customers:read"]}
    assert estate.endings()[-1][:2] == (SubjectKind.ROLE, role.slug)
    estate.role()  # its slug is free
