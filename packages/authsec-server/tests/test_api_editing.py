"""Editing, finding and deleting APIs, on both databases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from authsec_server.apis import service
from authsec_server.apis.model import Action, Api, Described
from authsec_server.audit.model import EventKind, Named
from authsec_server.failures import Conflict, Invalid, NotFound, NotPermitted, Outdated
from authsec_server.principal import Role

pytestmark = pytest.mark.sqlite_suffices

URL = "https://api.example.com/customers"
READ = Action(action="customers:read", description="See customers")


@pytest.fixture
def api(estate: Any) -> Api:
    """What is edited."""
    created: Api = estate.do(lambda tx, act: service.create(tx, act, name="Customers", identifier=URL, actions=[READ]))
    return created


def edit(estate: Any, api: Api, **what: Any) -> Api:
    values = {
        "name": api.name,
        "identifier": api.identifier,
        "description": api.description,
        "actions": api.actions,
        **what,
    }
    edited: Api = estate.do(lambda tx, act: service.edit(tx, act, api.id, revision=api.revision, changes=values))
    return edited


def test_an_edit_is_kept_and_recorded_by_what_it_changed(estate: Any, api: Api) -> None:
    delete = Action(action="customers:delete", description="Remove customers")
    edited = edit(estate, api, identifier="customers-api", actions=[READ, delete])
    assert (edited.identifier, edited.actions) == ("customers-api", (delete, READ))
    assert (edited.slug, edited.kind, edited.revision) == ("customers", api.kind, 2)
    assert estate.see(lambda tx, act: service.get(tx, act, "customers")) == edited
    assert estate.see(lambda tx, _act: service.resolve(tx, "customers")) == "customers-api"
    assert estate.see(lambda tx, _act: service.resolve(tx, URL)) is None
    (event,) = estate.events("api.edited")
    assert event.subject == Named(id=api.id, name="Customers")
    assert event.detail["before"] == {"identifier": URL, "actions": {"customers:read": "See customers"}}
    assert event.detail["after"]["actions"] == {
        "customers:delete": "Remove customers",
        "customers:read": "See customers",
    }


def test_an_unchanged_edit_writes_nothing_unless_it_names_authority(estate: Any, api: Api) -> None:
    """An identifier is the audience of tokens: its edit is recorded even if the row has the value already."""
    described = {"name": api.name, "description": api.description, "actions": api.actions}
    assert estate.do(lambda tx, act: service.edit(tx, act, api.id, revision=1, changes=described)) == api
    assert estate.events("api.edited") == []
    assert edit(estate, api).revision == 2
    assert len(estate.events("api.edited")) == 1


def test_whoever_read_an_older_revision_is_told(estate: Any, api: Api) -> None:
    edit(estate, api, description="Theirs")
    with pytest.raises(Outdated, match="This API was changed meanwhile by local operator"):
        edit(estate, api, description="Mine")


def test_another_apis_audience_is_not_taken(estate: Any, api: Api) -> None:
    other = estate.do(lambda tx, act: service.create(tx, act, name="Orders", identifier="orders-api"))
    for taken in ("orders-api", "orders"):
        with pytest.raises(Conflict, match="belongs to the API 'Orders'"):
            edit(estate, api, identifier=taken)
    assert estate.see(lambda tx, act: service.get(tx, act, other.id)) == other


def test_every_error_names_its_field(estate: Any, api: Api) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"name": ""}, "name"),
        ({"identifier": "https://x/#y"}, "identifier"),
        ({"description": "\0"}, "description"),
        ({"actions": [READ, READ]}, "actions.1.action"),
    ]
    for what, field in wrong:
        with pytest.raises(Invalid) as caught:
            edit(estate, api, **what)
        assert caught.value.field == field
    assert estate.see(lambda tx, act: service.get(tx, act, api.id)) == api


def test_a_deleted_api_is_gone_with_its_words(estate: Any, api: Api) -> None:
    assert estate.do(lambda tx, act: service.delete(tx, act, "customers")) == api
    with pytest.raises(NotFound):
        estate.see(lambda tx, act: service.get(tx, act, api.id))
    assert estate.see(lambda tx, _act: service.described(tx)) == {}
    (event,) = estate.events("api.deleted")
    assert event.kind is EventKind.API_DELETED
    assert event.detail["identifier"] == URL
    assert estate.endings() == [], "its tokens are the delegations' to end"


def test_a_viewer_edits_and_deletes_nothing(estate: Any, api: Api) -> None:
    estate.act = replace(estate.act, principal=replace(estate.act.principal, role=Role.VIEWER))
    with pytest.raises(NotPermitted):
        edit(estate, api, name="Mine")
    with pytest.raises(NotPermitted):
        estate.do(lambda tx, act: service.delete(tx, act, api.id))


def test_apis_are_found_by_name_slug_and_audience(estate: Any, api: Api) -> None:
    estate.do(lambda tx, act: service.create(tx, act, name="Orders", identifier="orders-api"))

    def found(text: str) -> list[str]:
        return [each.slug for each in estate.see(lambda tx, act: service.search(tx, act, text))]

    assert found("CUSTOM") == found("example.com") == found(api.id[:8]) == ["customers"]
    assert found("er") == ["customers", "orders"]
    assert found("%") == found("") == found("\0") == []


def test_an_action_means_something_at_each_api_that_describes_it(estate: Any, api: Api) -> None:
    archive = Action(action="customers:read", description="Read the archive")
    other = estate.do(
        lambda tx, act: service.create(tx, act, name="Archive", identifier="archive-api", actions=[archive])
    )
    found = estate.see(lambda tx, act: service.describing(tx, act, ["customers:read", "customers:delete"]))
    assert found == {
        "customers:read": (
            Described(api_id=other.id, api_name="Archive", description="Read the archive"),
            Described(api_id=api.id, api_name="Customers", description="See customers"),
        )
    }
