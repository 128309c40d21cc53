"""Protected APIs, on both databases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from authsec_server.apis import service
from authsec_server.apis.model import Action, Api, ApiKind
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Named
from authsec_server.db import Database
from authsec_server.failures import Conflict, Invalid, NotFound, NotPermitted
from authsec_server.principal import Act, Role

pytestmark = pytest.mark.sqlite_suffices

READ = Action(action="customers:read", description="Read a customer")
DELETE = Action(action="customers:delete", description="Delete a customer")


def create(database: Database, act: Act, **what: Any) -> Api:
    values = {"name": "Customers", "identifier": "https://api.example.com/customers", **what}
    return database.change(lambda tx: service.create(tx, act, **values))


def test_an_api_is_found_by_id_and_slug(database: Database, act: Act) -> None:
    api = create(database, act, actions=[READ, DELETE], kind=ApiKind.MCP_SERVER, slug="crm", description="The CRM")
    assert api.actions == (DELETE, READ)
    for handle in (api.id, "crm"):
        assert database.read(lambda tx, handle=handle: service.get(tx, act, handle)) == api
    assert database.read(lambda tx: service.page(tx, act)) == ([api], None)


def test_an_api_may_describe_nothing(database: Database, act: Act) -> None:
    api = create(database, act)
    assert database.read(lambda tx: service.get(tx, act, api.id)).actions == ()
    assert database.read(service.described) == {}


def test_audiences_resolve_by_slug_and_identifier_and_by_nothing_else(database: Database, act: Act) -> None:
    api = create(database, act)
    for text in ("customers", api.identifier):
        assert database.read(lambda tx, text=text: service.resolve(tx, text)) == api.identifier
    for text in ("Customers", api.id, "other", "", "\0", api.identifier + "/", "x" * 10_000):
        assert database.read(lambda tx, text=text: service.resolve(tx, text)) is None
    assert database.read(service.identifiers) == {api.identifier}


def test_described_actions_of_all_apis(database: Database, act: Act) -> None:
    create(database, act, actions=[READ])
    create(database, act, name="Archive", identifier="archive", actions=[replace(READ, description="Older"), DELETE])
    assert database.read(service.described) == {"customers:read": "Older", "customers:delete": "Delete a customer"}


def test_whoever_needs_a_few_does_not_wait_for_all(database: Database, act: Act) -> None:
    for number in range(3):
        its = {
            "name": f"API {number}",
            "identifier": f"api-{number}",
            "actions": [Action(action=f"a:{number}", description="x")],
        }
        database.change(lambda tx, its=its: service.create(tx, act, **its))
    assert database.read(lambda tx: service.described(tx, among={"a:1", "b:1"})) == {"a:1": "x"}
    assert database.read(lambda tx: service.identifiers(tx, among={"api-2", "other"})) == {"api-2"}
    assert database.read(lambda tx: service.identifiers(tx, among=())) == set()
    more_than_a_statement_takes = [f"b:{number}" for number in range(70_000)] + ["a:1"]
    assert "a:1" in database.read(lambda tx: service.described(tx, among=more_than_a_statement_takes))
    assert "api-2" in database.read(lambda tx: service.identifiers(tx, among=[*more_than_a_statement_takes, "api-2"]))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"identifier": "other"}, "slug customers already belongs to the API 'Customers'"),
        ({"slug": "other"}, "identifier https://api.example.com/customers already belongs to the API 'Customers'"),
        # An audience must never be read in two ways:
        ({"slug": "other", "identifier": "customers"}, "identifier customers already belongs to"),
        ({"slug": "crm", "identifier": "other"}, "slug crm already belongs to the API 'CRM'"),
    ],
)
def test_no_two_apis_share_a_name(database: Database, act: Act, what: dict[str, str], message: str) -> None:
    create(database, act)
    create(database, act, name="CRM", slug="customer-relations", identifier="crm")
    with pytest.raises(Conflict, match=message):
        create(database, act, **what)


def test_registering_is_in_the_audit_log(database: Database, act: Act) -> None:
    api = create(database, act, actions=[READ])
    (recorded,) = database.read(lambda tx: audit.page(tx, act.principal).items)
    assert recorded.event.kind is EventKind.API_CREATED
    assert recorded.event.subject == Named(id=api.id, name="Customers")
    assert recorded.event.detail["identifier"] == "https://api.example.com/customers"
    assert recorded.event.detail["actions"] == ["customers:read"]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"name": "\0"}, "name"),
    ({"identifier": "https://api.example.com/#x"}, "identifier"),
    ({"identifier": ""}, "identifier"),
    ({"slug": "Customers"}, "slug"),
    ({"description": "\x07"}, "description"),
    ({"actions": [Action(action="customers", description="x")]}, "actions.0.action"),
    ({"actions": [READ, Action(action="customers:list", description="")]}, "actions.1.description"),
]


def test_every_error_names_its_field_and_leaves_nothing(database: Database, act: Act) -> None:
    for what, field in REFUSED:
        with pytest.raises(Invalid) as caught:
            create(database, act, **what)
        assert caught.value.field == field, what
    assert database.read(lambda tx: service.page(tx, act)) == ([], None)
    assert database.read(lambda tx: audit.page(tx, act.principal).items) == ()


def test_an_unknown_api_is_not_found(database: Database, act: Act) -> None:
    for handle in ["nobody", "\0", "x" * 10_000, "6f1d2a34-0000-4000-8000-000000000001"]:
        with pytest.raises(NotFound, match="There is no API"):
            database.read(lambda tx, handle=handle: service.get(tx, act, handle))


def test_pages_follow_each_other(database: Database, act: Act) -> None:
    for name in ("charlie", "alpha", "bravo"):
        create(database, act, name=name, identifier=f"https://{name}.example.com")
    first, after = database.read(lambda tx: service.page(tx, act, limit=2))
    assert after is not None
    second, end = database.read(lambda tx: service.page(tx, act, after=after, limit=2))
    assert [api.slug for api in first + second] == ["alpha", "bravo", "charlie"]
    assert end is None


def test_a_viewer_only_reads(database: Database, act: Act) -> None:
    viewer = replace(act, principal=replace(act.principal, role=Role.VIEWER))
    assert database.read(lambda tx: service.page(tx, viewer)) == ([], None)
    with pytest.raises(NotPermitted):
        create(database, viewer)
