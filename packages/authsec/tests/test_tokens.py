"""What may be asked for, and which answers count as a delegation token."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from authsec import ConfigError, DelegationToken, InvalidResponse
from authsec.tokens import TokenRequest, token_from_answer
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 5, 21, 6, 25, 36, tzinfo=UTC)
CLIENT_ID = "3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88"
DATE = "Thu, 21 May 2026 06:25:36 GMT"
GOOD: dict[str, Any] = {"token": "aaa.bbb.ccc", "expires_at": "2026-05-21T07:25:36Z", "expires_in": 3600}


def read(date: str | None = DATE, without: str = "", **changes: Any) -> DelegationToken:
    answer = {name: value for name, value in {**GOOD, **changes}.items() if name != without}
    return token_from_answer(answer, client_id=CLIENT_ID, date=date, now=NOW)


def test_the_answer_of_the_contract() -> None:
    token = read(
        client_id=CLIENT_ID, spiffe_id="spiffe://x/agent/1", permissions=["customers:read"], audience=["crm", "erp"]
    )
    assert token == DelegationToken(
        value="aaa.bbb.ccc",
        expires_at=NOW + timedelta(hours=1),
        expires_in=3600,
        permissions=("customers:read",),
        audience=("crm", "erp"),
        spiffe_id="spiffe://x/agent/1",
    )


def test_an_older_authority_sends_token_and_expires_at_only() -> None:
    token = read(without="expires_in")
    assert (token.expires_in, token.permissions, token.audience, token.spiffe_id) == (3600, (), (), None)


@pytest.mark.parametrize("off_by", [timedelta(hours=-3), timedelta(hours=3)])
def test_life_is_measured_by_the_clock_of_the_authority(off_by: timedelta) -> None:
    answer = {"token": "a.b.c", "expires_at": "2026-05-21T07:25:36Z"}
    assert token_from_answer(answer, client_id=CLIENT_ID, date=DATE, now=NOW + off_by).expires_in == 3600


def test_an_answer_with_expires_in_only_is_dated_from_now() -> None:
    assert read(without="expires_at").expires_at == NOW + timedelta(hours=1)


def test_other_spellings_of_a_time_and_of_one_audience() -> None:
    token = read(expires_at="2026-05-21T09:25:36+02:00", audience="crm")
    assert token.expires_at == NOW + timedelta(hours=1)
    assert token.audience == ("crm",)


@pytest.mark.parametrize(
    "changes",
    [
        {"without": "token"},
        {"token": None},
        {"token": ["a.b.c"]},
        {"token": "a.b"},
        {"token": "a.b.c.d"},
        {"token": "a.b."},
        {"token": "a.b.c\r\nX-Admin: 1"},
        {"token": "a.b.c "},
        {"expires_in": 0},
        {"expires_in": -5},
        {"expires_in": "3600"},
        {"expires_in": 3600.5},
        {"expires_in": True},
        {"expires_in": 10**12},
        {"expires_at": "tomorrow"},
        {"expires_at": 1779348336},
        {"expires_at": "2026-05-21T07:25:36"},
        {"without": "expires_in", "date": None},
        {"without": "expires_in", "date": "yesterday"},
        {"without": "expires_in", "expires_at": "2026-05-21T06:25:36Z"},
        {"client_id": "11111111-1111-4111-8111-111111111111"},
        {"client_id": None},
        {"permissions": {"customers:read": True}},
        {"permissions": [1]},
    ],
    ids=str,
)
def test_what_is_not_a_token_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidResponse) as caught:
        read(**changes)
    assert caught.value.reason == "invalid_response"


def test_a_token_is_hidden_and_stays_in_memory() -> None:
    token = read()
    made = DelegationToken(value="aaa.bbb.ccc", expires_at=NOW, expires_in=1)  # of text that does not hide itself
    assert "aaa" not in f"{token!r}{token}{made!r}{made}"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(token, protocol)
    assert copy.copy(token) is copy.deepcopy(token) is token


@pytest.mark.parametrize(
    ("scope", "query"),
    [
        (None, []),
        ("customers:read", [("scope", "customers:read")]),
        (" b:w  a:r ", [("scope", "a:r b:w")]),
        (["b:w", "a:r", "b:w"], [("scope", "a:r b:w")]),
        (("a:r b:w", "c:x"), [("scope", "a:r b:w c:x")]),
    ],
)
def test_scopes(scope: Any, query: list[tuple[str, str]]) -> None:
    assert TokenRequest.of(scope, None).query == query


def test_resources_are_repeated_in_the_query() -> None:
    assert TokenRequest.of("a:r", ["https://b.example", "crm"]).query == [
        ("scope", "a:r"),
        ("resource", "crm"),
        ("resource", "https://b.example"),
    ]
    assert TokenRequest.of(None, "crm") == TokenRequest.of(None, ["crm", "crm"])


@pytest.mark.parametrize(
    "scope", ["", " ", [], [""], "customers", "customers:*", "Customers:read", "a:b:c", "a:b\n", "*"]
)
def test_a_scope_that_cannot_be_granted_is_refused(scope: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        TokenRequest.of(scope, None)
    assert caught.value.reason == "invalid_scope"


@pytest.mark.parametrize("resource", ["", [], [""], "a b", "crm\n"])
def test_a_resource_that_cannot_be_one_is_refused(resource: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        TokenRequest.of(None, resource)
    assert caught.value.reason == "invalid_target"


@given(st.lists(st.from_regex(r"[a-z]{1,3}:[a-z]{1,3}", fullmatch=True), min_size=1))
def test_order_and_repetition_of_actions_never_matter(actions: list[str]) -> None:
    assert TokenRequest.of(actions, None) == TokenRequest.of(" ".join(reversed([*actions, actions[0]])), None)


@given(st.lists(st.text()))
def test_no_list_of_actions_ever_means_all_of_them(actions: list[str]) -> None:
    """DESIGN §1.7: only leaving the scope out asks for everything; an empty list asks for nothing and is an error."""
    try:
        request = TokenRequest.of(actions, None)
    except ConfigError:  # the error that it may be
        return
    assert request.query
