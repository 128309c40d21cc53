"""A script edits what it has not read: somebody's narrowing of an agent is widened again, and nobody has decided that.

So no edit over HTTP goes without saying which revision it was made of. What says it unclearly is not taken for a yes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from authsec_server.web import openapi
from one_of_everything import BODIES, Everything, filled
from starlette.testclient import TestClient

House = Any


@pytest.fixture
def its(house: Callable[..., House]) -> House:
    """An authority, as its operator has it before them."""
    return house(local_operator=True)


def edits(door: TestClient) -> list[tuple[str, str]]:
    """The addresses of what can be edited, and what each edit is called."""
    paths = door.get(openapi.PATH).json()["paths"]
    return [(path, methods["patch"]["operationId"]) for path, methods in paths.items() if "patch" in methods]


def test_no_edit_goes_without_the_revision_that_it_was_made_of(its: House) -> None:
    everything, door = Everything(its, its), its.door()
    found = edits(door)
    assert len(found) >= 6
    for path, name in found:
        things = everything.things()
        where, body = filled(path, things), filled(BODIES[name], things)
        read = door.get(where)
        tag, revision = read.headers["ETag"], read.json()["revision"]
        assert tag.startswith(f'"{revision}-'), name
        for sent, status in (
            ({}, 428),
            ({"If-Match": ""}, 400),
            ({"If-Match": f"W/{tag}"}, 400),
            ({"If-Match": str(revision)}, 400),
            ({"If-Match": f'{tag}, "{revision + 1}"'}, 400),
            ({"If-Match": f'"{revision + 1}"'}, 412),
            ({"if-none-match": tag}, 428),
        ):
            for query in ("", "?dry_run=1"):
                refused = door.patch(where + query, json=body, headers=sent)
                assert refused.status_code == status, (name, sent, refused.text)
        assert door.get(where).json() == read.json(), name
        edited = door.patch(where, json=body, headers={"If-Match": tag})
        following = tag.replace(str(revision), str(revision + 1), 1)
        assert (edited.status_code, edited.headers["ETag"]) == (200, following), (name, edited.text)
        late = door.patch(where, json=body, headers={"If-Match": tag})
        assert (late.status_code, late.json()["changed_fields"]) == (412, sorted(body)), name
        assert late.headers["ETag"] == edited.headers["ETag"]
