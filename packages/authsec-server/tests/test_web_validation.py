"""What callers send in another form than is asked for is told in the same words everywhere, without what they sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from authsec_server.app import routes
from authsec_server.clients.model import MAX_PROOFS
from authsec_server.configuration.document import Document
from authsec_server.web.bodies import Body
from authsec_server.web.validation import misfits
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

SECRET = "hunter2"
API = "/authsec/api/v1"


@pytest.mark.parametrize(
    ("path", "body", "field", "error", "details"),
    [
        ("roles", {}, "name", "name is missing.", ""),
        ("roles", {"nam": "Ops"}, "nam", "Unknown field 'nam'.", "The nearest is name."),
        ("roles", {"zzz": 1}, "zzz", "Unknown field 'zzz'.", "Known fields: name, description, actions, slug"),
        ("roles", [], "body", "The body must be a map, but is a list.", ""),
        ("roles", {"name": "A", "actions": "a:b"}, "actions", "actions must be a list of strings, but is a text.", ""),
        ("roles", {"name": None, "actions": []}, "name", "name must be a text, but is empty.", ""),
        ("roles", {"name": "A", "actions": [7]}, "actions.0", "actions.0 must be a text, but is a number.", ""),
        ("clients", {"name": "A", "platform": "key", "labels": []}, "labels",
         "labels must be a map, but is a list.", ""),
        ("clients", {"name": "A", "platform": "key", "kind": 1}, "kind",
         "kind must be 'ai_agent' or 'mcp_server'.", ""),
        ("apis", {"name": "A", "identifier": "a", "actions": [{"acton": "a:b"}]}, "actions.0.acton",
         "Unknown field 'acton'.", "The nearest is action."),
        ("admin-keys", {"name": "a", "role": "viewer", "expires_in": -1}, "expires_in",
         "expires_in must be at least 0.", ""),
        ("configuration", {"configuration": {"agents": {"x": {"proofs": [{"platform": "key"}] * 99}}}},
         "configuration.agents.x.proofs", f"proofs must have a length of at most {MAX_PROOFS + 1}.", ""),
        ("configuration", {"configuration": {"agents": {"x": {"proofs": [{}]}}}},
         "configuration.agents.x.proofs.0.platform", "platform is missing.", ""),
        ("configuration", {"configuration": {"delegations": {"x": {"agent": "a", "role": "b", "actions": [],
         "max_duration": [SECRET]}}}}, "configuration.delegations.x.max_duration",
         "max_duration must be a text or a whole number, but is a list.", "")
    ],
)  # fmt: skip
def test_a_body_of_another_form_is_told(admin: Any, path: str, body: Any, field: str, error: str, details: str) -> None:
    answer = admin.post(f"{API}/{path}", json=body)
    told = answer.json()
    assert (answer.status_code, told["field"], told["error"], told["details"]) == (400, field, error, details)


def shapes(root: type[Body] = Body) -> Iterator[type[Body]]:
    """Every shape that a body may have; the API's operations import them all."""
    assert routes
    for each in root.__subclasses__():
        yield each
        yield from shapes(each)


VALUES = st.recursive(
    st.sampled_from([SECRET, 7, 1.5, True, None]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "x"]), inner, max_size=2),
    max_leaves=5,
)


@given(data=st.data())
def test_what_was_sent_is_never_repeated_and_no_library_speaks(data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from([*shapes()]))
    names = st.sampled_from([*shape.model_fields, "x"])
    try:
        shape.model_validate(data.draw(st.dictionaries(names, VALUES, max_size=4) | VALUES))
    except ValidationError as refused:
        found = [*misfits(refused, shape)]
        assert found
        for each in found:
            told = f"{each.field} {each.message} {each.remedy} {each!r}"
            assert SECRET not in told
            assert not any(word in told for word in ("Input should", "Field required", "valid", "of another type"))


def test_every_problem_of_a_document_is_found_once() -> None:
    wrong = {"roles": {"x": {"actions": 1, "nam": ""}}, "agents": {"y": {}}, "issuers": []}
    with pytest.raises(ValidationError) as refused:
        Document.model_validate(wrong)
    assert {each.field: each.message for each in misfits(refused.value, Document)} == {
        "roles.x.nam": "Unknown field 'nam'.",
        "issuers": "issuers must be a map, but is a list.",
        "roles.x.actions": "actions must be a list of strings, but is a number.",
        "agents.y.proofs": "proofs is missing.",
    }
