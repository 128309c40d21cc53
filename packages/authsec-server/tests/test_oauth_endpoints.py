"""The OAuth endpoints refuse what they do not support as RFC 6749 says, and log nothing of it."""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.tokens import token_endpoint
from authsec_server.web.middleware import ConcurrencyLimit
from authsec_server.web.oauth import AUTHORIZATION_PATH
from authsec_server.web.oauth_errors import TOKEN_PATH
from pages import Page

ISSUER = "http://127.0.0.1:7468"
FORM = "application/x-www-form-urlencoded"
SECRET = "authsec_secret_of_a_client"
ASKED = {"response_type": "code", "client_id": "stock", "redirect_uri": "https://evil.example/back", "state": SECRET}


@pytest.mark.parametrize("grant", ["authorization_code", "password", "refresh_token", "CLIENT_CREDENTIALS"])
def test_the_token_endpoint_supports_no_other_grant(house: Any, grant: str) -> None:
    door = house().door("198.51.100.7")
    answer = door.post(TOKEN_PATH, data={"grant_type": grant, "resource": ["a", "b"]}, auth=("stock", SECRET))
    assert answer.status_code == 400
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "application/json"
    told = answer.json()
    assert (told["error"], told["reason"], told["retryable"]) == ("unsupported_grant_type",) * 2 + (False,)
    assert "client_credentials" in told["error_description"]
    assert set(told["error_description"]) <= set(map(chr, range(0x20, 0x7F))) - {'"', "\\"}  # RFC 6749 section 5.2


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"data": {"client_secret": SECRET}}, 400),
        ({"data": {"grant_type": ""}}, 400),
        ({"data": {"grant_type": ["client_credentials", "password"]}}, 400),
        ({"data": {"grant_type": "client_credentials"}, "params": {"client_secret": SECRET}}, 400),
        ({"params": {"grant_type": "client_credentials"}}, 415),
        ({"json": {"grant_type": "client_credentials"}}, 415),
        ({"data": {"grant_type": "a" * 70_000}}, 413),
        ({"content": b"grant_type=%ff", "headers": {"Content-Type": FORM}}, 400),
    ],
)
def test_a_request_that_is_none(house: Any, request_: dict[str, Any], status: int) -> None:
    answer = house().door().post(TOKEN_PATH, **request_)
    assert (answer.status_code, answer.json()["error"]) == (status, "invalid_request"), answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert SECRET not in answer.text


def test_the_authorization_endpoint_supports_no_response_type(house: Any) -> None:
    answer = house().door().get(AUTHORIZATION_PATH, params=ASKED)
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_response_type")
    assert answer.headers["Cache-Control"] == "no-store"
    assert ISSUER + TOKEN_PATH in answer.json()["error_description"]


def test_a_person_is_told_that_nothing_was_granted(house: Any) -> None:
    door = house().door()
    answer = door.get(AUTHORIZATION_PATH, params=ASKED, headers={"Accept": "text/html,*/*;q=0.8"})
    assert answer.status_code == 400
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Nothing was granted." in Page(answer, door).text


def test_no_other_method_is_possible(house: Any) -> None:
    door = house().door()
    assert door.get(TOKEN_PATH).headers["Allow"] == "POST"
    assert "GET" in door.post(AUTHORIZATION_PATH).headers["Allow"]


def test_nothing_that_was_sent_is_logged(house: Any, capfd: pytest.CaptureFixture[str]) -> None:
    door = house().door()
    form = {"grant_type": "client_credentials", "client_secret": SECRET, "client_assertion": "eyJ.assertion"}
    for headers in ({"Authorization": f"Basic {SECRET}"}, {"Authorization": f"Bearer {SECRET}", "Content-Type": "a/b"}):
        door.post(TOKEN_PATH, params={"client_secret": SECRET}, data=form, headers=headers)
    for accept in ("*/*", "text/html"):
        door.get(AUTHORIZATION_PATH, params=ASKED, headers={"Accept": accept})
    logged = "".join(capfd.readouterr())
    assert logged.count(TOKEN_PATH) == logged.count(AUTHORIZATION_PATH) == 2
    for word in (SECRET, "assertion", "evil.example", "redirect_uri"):
        assert word not in logged


def test_each_error_of_the_token_endpoint_has_a_code_also_if_the_endpoint_did_not_make_it(
    house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    its = house()
    form = {"grant_type": "client_credentials", "client_id": "stock", "client_secret": SECRET}

    def fail(*_args: Any) -> None:
        raise RuntimeError(SECRET)

    answers = {
        "invalid_request 405": its.door().get(TOKEN_PATH),
        "invalid_request 421": its.door(Host="evil.example").post(TOKEN_PATH, data=form),
    }
    monkeypatch.setattr(token_endpoint, "parse", fail)
    answers["server_error 500"] = its.door().post(TOKEN_PATH, data=form)
    with monkeypatch.context() as patched:
        patched.setattr(ConcurrencyLimit, "acquire", lambda _: False)
        answers["temporarily_unavailable 503"] = its.door().post(TOKEN_PATH, data=form)
    for expected, answer in answers.items():
        told = answer.json()
        assert f"{told['error']} {answer.status_code}" == expected
        assert told["error_description"]
        assert {"reason", "details", "retryable", "request_id"} <= told.keys()
        assert SECRET not in answer.text
