"""The OpenAPI document is true: schemathesis asks what it allows, and what it does not, and compares the answers to it.

Every case goes to a whole authority with a database of its own, and every second one names a thing that is there.
`uv run pytest -m soak -k ten_thousand` asks more often.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from authsec_server.web import openapi
from authsec_server.web.operations import API
from databases import settings_for
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st
from one_of_everything import BODIES, Everything, filled
from schemathesis import GenerationMode
from schemathesis.python import asgi
from starlette.routing import Route

House = Any
Operation = Any
SITE = "http://127.0.0.1:7468"
HEADLINE = re.compile(r"[A-Z][a-z]+ .*[^.]")  # one line without a full stop
QUICK, SOAK = 2, 10_000  # of each operation; of all
# A schema says what a value looks like, not which one is taken, fits another, or is the newest.
CONFIG = {
    "generation": {"with-security-parameters": False},  # the check `ignored_auth` asks each without its key
    "checks": {
        "positive_data_acceptance": {"expected-statuses": ["2xx", "400", "401", "403", "404", "409", "412", "429"]},
        "missing_required_header": {"expected-statuses": ["400", "401", "428"]},
    },
}


@pytest.fixture
def its(house: Callable[..., House]) -> House:
    """An authority, which is asked for its document."""
    return house()


@pytest.fixture
def everything(house: Callable[..., House], database_url: str, tmp_path: Path) -> Everything:
    """What is asked, with an admin key, and what about: made at the machine. Once per kind of database."""
    settings = settings_for(database_url, tmp_path)
    return Everything(house(**settings), house(local_operator=True, **settings))


def test_every_route_of_the_admin_api_is_declared_and_nothing_else(its: House) -> None:
    declared = {
        (method.upper(), path)
        for path, methods in its.door().get(openapi.PATH).json()["paths"].items()
        for method in methods
    }
    routes = [each for each in its.authority.app.routes if isinstance(each, Route) and each.path.startswith(API)]
    there = {(method, each.path) for each in routes for method in each.methods or () if method != "HEAD"}
    assert there == declared


def test_the_document_reads_well(its: House) -> None:
    document = its.door().get(openapi.PATH).json()
    operations = [each for methods in document["paths"].values() for each in methods.values()]
    names = [each["operationId"] for each in operations]
    assert len(set(names)) == len(names)
    assert [each["operationId"] for each in operations if not HEADLINE.fullmatch(each["summary"])] == []
    shapes = document["components"]["schemas"]
    assert [each for each in shapes if "__" in each or "-" in each] == [], "two shapes have one name"
    assert [each for each, shape in shapes.items() if shape["type"] == "object" and not shape.get("description")] == []


@pytest.mark.sqlite_suffices
def test_every_operation_answers_as_the_document_says(everything: Everything, database_url: str) -> None:
    """Each sixth one on either database: what the databases do differently, the rooms' tests ask of both."""
    ask_each(everything, QUICK, slice(database_url.startswith("sqlite"), None, 6))


@pytest.mark.soak
def test_ten_thousand_answers_are_as_the_document_says(everything: Everything) -> None:
    ask_each(everything, -(-SOAK // len(everything.its.door().get(openapi.PATH).json()["paths"])), slice(None))


def ask_each(everything: Everything, most: int, which: slice) -> None:
    """Ask each of those operations so often."""
    key = everything.things().post("admin-keys", name="Fuzz", role="admin")["key"]
    its = everything.its
    document = its.door().get(openapi.PATH).json()
    schema = schemathesis.openapi.from_dict(document, config=schemathesis.Config.from_dict(CONFIG))
    schema.app, schema.config.base_url = without_lifespan(its.authority.app), SITE
    with asgi.get_client(schema.app) as client:
        client.headers.update({"Authorization": f"Bearer {key}"})
        for operation in [each.ok() for each in schema.get_all_operations()][which]:
            ask(operation, client, everything, most)


def without_lifespan(app: Any) -> Any:
    """The app, whose background work is not begun: the tool would leave it running after the database is closed."""

    async def answered(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await app(scope, receive, send)

    return answered


def ask(operation: Operation, client: Any, everything: Everything, most: int) -> None:
    """Ask one operation: whatever fits the document or does not, and what is there."""
    things = everything.things()
    path = {each.name: things[each.name] for each in operation.path_parameters}
    known = {"path_parameters": path} if path else {}
    cases = [operation.as_strategy(mode, **given) for mode in GenerationMode for given in ({}, known)]
    body = BODIES.get(operation.definition.raw["operationId"])
    if body is not None:

        def anew(case: Any) -> Any:
            case.body = filled(body, everything.things())  # or the second would be a conflict
            return case

        cases += 2 * [operation.as_strategy(GenerationMode.POSITIVE, body=filled(body, things), **known).map(anew)]

    @seed(7)
    @settings(
        max_examples=most,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
    @given(case=st.one_of(*cases).filter(sent_whole))
    def check(case: Any) -> None:
        everything.later()
        case.call_and_validate(base_url=SITE, session=client)

    check()


def sent_whole(case: Any) -> bool:
    """Whether all of its query is sent: an empty list leaves no trace in an address."""
    return all(value not in (None, [], {}) for value in dict(case.query or {}).values())
