"""The WSGI middleware in its corners, by calling it as a server would; tests of the examples run it on real ones."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import flask
import pytest
from authsec import AgentRequired, ConfigError, InsufficientScope
from authsec.flask import agent_of as agent_of_flask
from authsec.flask import protect
from authsec.wsgi import BearerAuth, agent_of, identity_of

from .fake_keys import AUDIENCE, FakeClock, serving, token, verifier_of


@dataclass
class Answer:
    status: str
    headers: dict[str, str]
    body: Any


def call(app: Any, path: str, authorization: str | None = None, **environ: str) -> Answer:
    asked = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": path, **environ}
    if authorization is not None:
        asked["HTTP_AUTHORIZATION"] = authorization
    begun: list[Any] = []
    content = b"".join(app(asked, lambda *arguments: begun.append(arguments)))
    status, headers = begun[-1][:2]
    return Answer(status, dict(headers), json.loads(content))


def application(environ: Any, start_response: Any) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/late":
        start_response("200 OK", [])
    if environ["PATH_INFO"] == "/both":
        agent = agent_of(environ)
    elif environ["PATH_INFO"] == "/healthz":
        agent = None
    else:
        agent = identity_of(environ)
        agent.require("customers:read" if environ["PATH_INFO"] == "/customers" else "customers:delete")
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"agent": agent and agent.client_id}).encode()]


def guarded(**settings: Any) -> BearerAuth:
    return BearerAuth(application, **{"verifier": verifier_of(), **settings})


def test_who_comes_in_and_who_does_not() -> None:
    good = f"Bearer {token()}"
    assert call(guarded(), "/customers", good).body["agent"].startswith("3f0c9a1e")
    assert call(guarded(), "/customers").status == "401 Unauthorized"
    refused = call(guarded(), "/delete", good)
    assert refused.status == "403 Forbidden"
    assert refused.body["for_model"].startswith("You are not allowed customers:delete at https://crm.example.com.")
    assert refused.headers["content-length"] == str(len(json.dumps(refused.body)))
    with pytest.raises(InsufficientScope):  # the answer has begun
        call(guarded(), "/late", good)


def test_it_keeps_to_the_protocol() -> None:
    """On both sides, as the standard library's validator sees it."""
    app = validator(BearerAuth(validator(application), verifier=verifier_of()))
    for authorization, status in ((None, "401"), (f"Bearer {token()}", "200"), (f"Bearer {token(jti=None)}", "401")):
        environ: dict[str, Any] = {"HTTP_AUTHORIZATION": authorization} if authorization else {}
        setup_testing_defaults(environ)
        environ |= {"PATH_INFO": "/customers", "QUERY_STRING": ""}
        begun: list[str] = []

        def start_response(told: str, headers: Any, exc_info: Any = None, begun: list[str] = begun) -> Any:
            begun.append(told)
            return begun.append  # the writer of PEP 3333, which nobody calls

        answer = app(environ, start_response)
        assert b"".join(answer)
        answer.close()  # type: ignore[attr-defined] # the validator insists
        assert begun[0].startswith(status)


def test_public_paths_are_whole_paths() -> None:
    app = guarded(public_paths=["/healthz", "/späť"])
    assert call(app, "/healthz").status == "200 OK"
    for path in ("/healthz/", "/HEALTHZ", "//healthz", "/x/../healthz", ""):
        assert call(app, path).status == "401 Unauthorized"
    assert call(app, "/healthz", SCRIPT_NAME="/v1").status == "401 Unauthorized"
    with pytest.raises(LookupError, match="public"):  # the path as PEP 3333 carries it
        call(app, "/späť".encode().decode("latin-1"))
    with pytest.raises(ConfigError, match="list of paths"):
        guarded(public_paths="/healthz")


def test_keys_unavailable() -> None:
    with serving() as authority:
        authority.pages.clear()
        answer = call(guarded(verifier=authority.verifier(FakeClock())), "/customers", f"Bearer {authority.token()}")
        assert (answer.status, answer.headers["retry-after"]) == ("503 Service Unavailable", "2")
        assert authority.url not in json.dumps(answer.body)


def test_what_is_left_to_the_apis_own_authentication_has_no_agent() -> None:
    app = guarded(other_issuers="pass")
    for authorization in (None, "Basic dTpw", "Bearer opaque", f"Bearer {token(iss='https://users.example.com')}"):
        assert call(app, "/both", authorization).body == {"agent": None}
        assert call(app, "/customers", authorization).body["reason"] == "token_missing"
    assert call(app, "/both", f"Bearer {token(aud='https://other.example.com')}").status == "401 Unauthorized"


@pytest.fixture
def passing() -> Iterator[Any]:
    app = flask.Flask("crm")
    protect(app, verifier=verifier_of(), other_issuers="pass")

    @app.get("/both")
    def both() -> dict[str, bool]:
        return {"agent": agent_of_flask(flask.request) is not None}

    @app.get("/agents")
    def agents() -> dict[str, bool]:
        raise AgentRequired

    @app.get("/broken")
    def broken() -> dict[str, bool]:
        raise LookupError("a mistake of the API's own")

    with app.test_client() as client:
        yield client


def test_flask_answers_for_its_views_and_for_nothing_else(passing: Any) -> None:
    assert passing.get("/both").json == {"agent": False}
    refused = passing.get("/agents")
    assert (refused.status_code, refused.json["reason"]) == (401, "token_missing")
    assert refused.headers["WWW-Authenticate"].startswith(f'Bearer realm="{AUDIENCE}"')
    assert passing.get("/broken").status_code == 500
    assert passing.get("/both", headers={"Authorization": f"Bearer {token(jti=None)}"}).status_code == 401
