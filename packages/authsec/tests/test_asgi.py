"""The middleware: once on a real server as its user would run it, and the corners by speaking ASGI to it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3
import uvicorn
from authsec import ConfigError, InsufficientScope, InvalidToken, KeysUnavailable, TokenVerifier, VerificationError
from authsec.asgi import BearerAuth, agent_of, answer_refusal, identity_of
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from .fake_keys import (
    AUDIENCE,
    ISSUER,
    NOW,
    UNFOLLOWED,
    FakeAuthority,
    FakeClock,
    key_set,
    serving,
    token,
    verifier_of,
)
from .fake_keys import METADATA as AUTHORITY_METADATA
from .speaking_asgi import call, connect, speak

METADATA = "/.well-known/oauth-protected-resource"
REALM = f'Bearer realm="{AUDIENCE}", resource_metadata="{AUDIENCE}{METADATA}"'


async def show(request: Request) -> JSONResponse:
    identity = identity_of(request)
    identity.require("customers:read")
    return JSONResponse({"agent": identity.agent, "same": identity_of(request.scope) is identity})


async def delete(request: Request) -> JSONResponse:
    identity_of(request).require("customers:delete", "customers:read")
    return JSONResponse({})


async def close(request: Request) -> JSONResponse:
    identity_of(request).require_any("tickets:close", "tickets:delete")
    return JSONResponse({})


def sync_delete(request: Request) -> JSONResponse:
    identity_of(request).require("customers:delete")
    return JSONResponse({})


async def health(request: Request) -> JSONResponse:
    return JSONResponse({"healthy": True})


async def careless(request: Request) -> JSONResponse:
    return JSONResponse({"agent": identity_of(request).agent})


async def too_late(request: Request) -> StreamingResponse:
    async def pieces() -> Any:
        yield b"{"
        identity_of(request).require("customers:delete")

    return StreamingResponse(pieces())


async def talk(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(identity_of(websocket).agent)
    identity_of(websocket).require("customers:delete")


async def talk_only_if(websocket: WebSocket) -> None:
    identity_of(websocket).require("customers:delete")


async def hang_up(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close()
    identity_of(websocket).require("customers:delete")


ROUTES = [
    Route("/customers/{id}", show),
    Route("/customers/{id}", delete, methods=["DELETE"]),
    Route("/tickets/{id}", close, methods=["DELETE"]),
    Route("/sync/{id}", sync_delete, methods=["DELETE"]),
    Route("/late", too_late),
    Route("/healthz", health),
    Route("/careless", careless),
    WebSocketRoute("/talk", talk),
    WebSocketRoute("/talk-only-if", talk_only_if),
    WebSocketRoute("/hang-up", hang_up),
]
GRANT_AT = (
    "https://authsec.example.com/console/delegations/new?client=3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88"
    "&role=support&actions=customers%3Adelete&audiences=https%3A%2F%2Fcrm.example.com"
)
PUBLIC = ("/healthz", "/careless")


def application(verifier: TokenVerifier | None = None, **settings: Any) -> Starlette:
    settings = {"verifier": verifier or verifier_of(), "public_paths": PUBLIC, **settings}
    return Starlette(routes=ROUTES, middleware=[Middleware(BearerAuth, **settings)])


def bearer(**changes: Any) -> str:
    return f"Bearer {token(**changes)}"


def test_a_verified_agent_is_let_in() -> None:
    answer = call(application(), "/customers/42", bearer())
    assert answer.status == 200
    assert answer.body == {"agent": "spiffe://example.com/agent/3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88", "same": True}


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer "])
def test_the_scheme_is_compared_without_case(scheme: str) -> None:
    assert call(application(), "/customers/42", f"{scheme} {token()}").status == 200


@pytest.mark.parametrize("authorization", [(), ("Basic dXNlcjpwYXNz",), ("",), ("DPoPx abc",), ("Bearerish abc",)])
def test_without_a_bearer_token_the_challenge_names_no_error(authorization: tuple[str, ...]) -> None:
    answer = call(application(), "/customers/42", *authorization)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == REALM
    assert answer.headers["cache-control"] == "no-store"
    assert answer.body == {
        "error": "This API needs a delegation token.",
        "reason": "token_missing",
        "details": "Send the header Authorization: Bearer <delegation token>.",
        "retryable": False,
    }


def test_an_invalid_token() -> None:
    answer = call(application(), "/customers/42", bearer(exp=NOW - 60))
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == (
        f'{REALM}, error="invalid_token", error_description="The token has expired.", reason="token_expired"'
    )
    assert answer.body == {
        "error": "The token has expired.",
        "reason": "token_expired",
        "details": "Get a new delegation token from the authority https://authsec.example.com.",
        "retryable": False,
    }


@pytest.mark.parametrize("path", ["/customers/42", "/sync/42"])
def test_a_good_token_without_the_action(path: str) -> None:
    answer = call(application(), path, bearer(), method="DELETE")
    assert answer.status == 403
    scope = "customers:delete customers:read" if path == "/customers/42" else "customers:delete"
    text = "This agent's token does not allow customers:delete. The token allows customers:read, tickets:write."
    assert answer.headers["www-authenticate"] == (
        f'{REALM}, error="insufficient_scope", error_description="{text}", scope="{scope}", '
        f'error_uri="{answer.body["grant_at"]}"'
    )
    assert answer.body == {
        "error": text,
        "reason": "action_not_allowed",
        "details": (
            "This agent needs a trust delegation that allows customers:delete. Retrying does not help. If no role "
            "has such an action, this API may have misspelt the action."
        ),
        "retryable": False,
        "missing_actions": ["customers:delete"],
        "granted_actions": ["customers:read", "tickets:write"],
        "allowed_scope": "customers:read" if path == "/customers/42" else "",
        "grantable": True,
        "grant_at": GRANT_AT,
        "for_model": (
            "You are not allowed customers:delete at https://crm.example.com. Do not try again: continue without "
            f"it, or tell the person you work for that it can be granted at {GRANT_AT}."
        ),
    }


def test_where_one_of_several_actions_would_do_the_challenge_names_one_that_suffices() -> None:
    answer = call(application(), "/tickets/7", bearer(), method="DELETE")
    assert answer.status == 403
    assert ', scope="tickets:close", ' in answer.headers["www-authenticate"]
    assert answer.body["missing_actions"] == ["tickets:close", "tickets:delete"]
    assert "&actions=tickets%3Aclose&audiences=" in answer.body["grant_at"]  # one of them suffices


def test_keys_unavailable() -> None:
    with serving() as authority:
        authority.pages.clear()
        answer = call(application(authority.verifier(FakeClock())), "/customers/42", f"Bearer {authority.token()}")
        assert answer.status == 503
        assert answer.headers["retry-after"] == "2"
        assert "www-authenticate" not in answer.headers
        assert answer.body["reason"] == "keys_unavailable"
        assert answer.body["retryable"] is True
        assert authority.url not in json.dumps(answer.body)


def test_a_wrong_issuer_is_no_passing_failure() -> None:
    with serving() as authority:
        authority.publish({"issuer": f"{authority.url}/"}, AUTHORITY_METADATA)
        answer = call(application(authority.verifier(FakeClock())), "/customers/42", f"Bearer {authority.token()}")
        assert (answer.status, answer.body["reason"], answer.body["retryable"]) == (503, "keys_unavailable", False)
        assert answer.body["details"].endswith("The API's operator must correct the issuer in the API's settings.")
        assert "retry-after" not in answer.headers
        assert authority.url not in json.dumps(answer.body)


@pytest.mark.parametrize("value", ["Bearer", "Bearer ", "Bearer a b", "Bearer a, Bearer b", "Bearer a,b"])
def test_a_header_with_more_than_one_reading(value: str) -> None:
    answer = call(application(), "/customers/42", value)
    assert answer.status == 400
    assert 'error="invalid_request"' in answer.headers["www-authenticate"]
    assert answer.body["reason"] == "invalid_request"


@pytest.mark.parametrize("value", ["Bearer", "Bearer ", "bearer   "])
def test_an_empty_token_is_told_as_a_command_that_failed(value: str) -> None:
    """As `curl -H "Authorization: Bearer $(authsec token)"` sends it where the token is refused."""
    answer = call(application(), "/customers/42", value)
    assert (answer.status, answer.body["error"]) == (400, "The bearer token is empty.")
    assert answer.body["details"] == (
        "The command that prints the token has probably failed: read its error output. "
        "Send one header: Authorization: Bearer <delegation token>."
    )
    challenge = answer.headers["www-authenticate"]
    assert 'error="invalid_request", error_description="The bearer token is empty."' in challenge
    other = call(application(), "/customers/42", "Bearer a b")
    assert "command" not in other.body["details"]


def test_octets_that_are_no_text() -> None:
    assert call(application(), "/customers/42", "Bearer \xff\xfe").body["reason"] == "token_malformed"


def test_public_paths_are_whole_paths() -> None:
    app = application()
    assert call(app, "/healthz").status == 200
    assert call(app, "/healthz", "Bearer nonsense").status == 200
    for path in ("/healthz/", "/healthz/x", "/HEALTHZ", "//healthz", "/customers/../healthz"):
        assert call(app, path).status == 401
    assert call(application(public_paths=()), "/healthz").status == 401


def test_one_path_instead_of_a_list_of_paths_opens_nothing() -> None:
    with pytest.raises(ConfigError, match="list of paths"):
        BearerAuth(application(), verifier=verifier_of(), public_paths="/healthz")


@pytest.mark.parametrize("authorization", [(), (bearer(),)])
def test_on_a_public_path_there_is_no_identity(authorization: tuple[str, ...]) -> None:
    with pytest.raises(LookupError, match="public"):
        call(application(), "/careless", *authorization)


def test_the_realm_cannot_leave_its_quotes() -> None:
    realm = 'x", error="none\r\nSet-Cookie: a=b é\\'
    answer = call(application(realm=realm, publish_metadata=False), "/customers/42")
    assert answer.headers["www-authenticate"] == 'Bearer realm="x?, error=?none??Set-Cookie: a=b ??"'


def test_a_framework_middleware_in_between() -> None:
    class Pass(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Callable[[Request], Any]) -> Any:
            return await call_next(request)

    auth = Middleware(BearerAuth, verifier=verifier_of())
    for middleware in ([auth, Middleware(Pass)], [Middleware(Pass), auth]):
        app = Starlette(routes=ROUTES, middleware=middleware)
        assert call(app, "/customers/42", bearer(), method="DELETE").status == 403


def test_around_a_whole_application_the_handler_answers() -> None:
    handlers: Any = {InsufficientScope: answer_refusal}
    app = BearerAuth(Starlette(routes=ROUTES, exception_handlers=handlers), verifier=verifier_of())
    answer = call(app, "/customers/42", bearer(), method="DELETE")
    assert answer.status == 403
    assert answer.headers["www-authenticate"].startswith('Bearer error="insufficient_scope"')


def test_the_handler_serves_endpoints_that_verify_by_themselves() -> None:
    async def endpoint(request: Request) -> JSONResponse:
        verifier_of().verify(request.headers["x-token"])
        return JSONResponse({})

    handlers: Any = {VerificationError: answer_refusal}
    app = Starlette(routes=[Route("/", endpoint)], exception_handlers=handlers)
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": [(b"x-token", b"nonsense")]}
    sent = speak(app, scope, [])
    assert sent[0]["status"] == 401


def test_an_error_about_another_token_is_not_about_this_request() -> None:
    """An endpoint that verifies a second token must not send the caller to fetch a new first one."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        verifier_of().verify("nonsense")

    with pytest.raises(InvalidToken):
        call(BearerAuth(app, verifier=verifier_of()), "/", bearer())


def test_an_answer_that_has_begun_is_broken_off() -> None:
    with pytest.raises(InsufficientScope):
        call(application(), "/late", bearer())


def test_lifespan_passes_and_what_is_unknown_does_not() -> None:
    reached = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["type"])

    guarded = BearerAuth(app, verifier=verifier_of(), public_paths=["/open"])
    speak(guarded, {"type": "lifespan"}, [])
    with pytest.raises(RuntimeError, match="webtransport"):
        speak(guarded, {"type": "webtransport", "path": "/open", "headers": []}, [])
    assert reached == ["lifespan"]


def test_a_websocket_needs_a_token_before_it_is_accepted() -> None:
    assert connect(application(), "/talk") == [{"type": "websocket.close", "code": 1008, "reason": "token_missing"}]
    refused = connect(application(), "/talk", bearer(exp=NOW - 60))
    assert refused == [{"type": "websocket.close", "code": 1008, "reason": "token_expired"}]


def test_a_server_that_can_answer_a_handshake_answers_in_full() -> None:
    sent = connect(application(), "/talk", extensions={"websocket.http.response": {}})
    assert [message["type"] for message in sent] == ["websocket.http.response.start", "websocket.http.response.body"]
    assert sent[0]["status"] == 401
    assert (b"www-authenticate", REALM.encode()) in sent[0]["headers"]


def test_a_websocket_whose_agent_may_not() -> None:
    assert connect(application(), "/talk-only-if", bearer()) == [
        {"type": "websocket.close", "code": 1008, "reason": "action_not_allowed"}
    ]
    talked = connect(application(), "/talk", bearer())
    assert [message["type"] for message in talked] == ["websocket.accept", "websocket.send", "websocket.close"]
    assert talked[-1] == {"type": "websocket.close", "code": 1008, "reason": "action_not_allowed"}
    with pytest.raises(InsufficientScope):
        connect(application(), "/hang-up", bearer())


def test_the_metadata_are_published_where_the_challenge_says() -> None:
    """RFC 9728 §3.1: the well-known part comes before the path of the identifier."""
    verifier = TokenVerifier(ISSUER, f"{AUDIENCE}/v1/", keys=key_set())
    app = application(verifier, actions=["customers:read"])
    assert f'resource_metadata="{AUDIENCE}{METADATA}/v1"' in call(app, "/customers/42").headers["www-authenticate"]
    answer = call(app, f"{METADATA}/v1")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.body == {
        "resource": f"{AUDIENCE}/v1/",
        "authorization_servers": [ISSUER],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["customers:read"],
    }
    assert call(app, METADATA).status == 401


@pytest.mark.parametrize("audience", ["authsec-api", "https://crm.example.com/?a=b", "https://me@crm.example.com"])
def test_an_audience_that_is_no_plain_address_has_no_metadata(audience: str) -> None:
    app = application(TokenVerifier(ISSUER, audience, keys=key_set()))
    assert call(app, METADATA).headers["www-authenticate"] == f'Bearer realm="{audience}"'


async def both(request: Request) -> JSONResponse:
    agent = agent_of(request)
    return JSONResponse({"agent": None if agent is None else agent.client_id})


def test_what_is_left_to_the_apis_own_authentication_has_no_agent() -> None:
    routes = [Route("/both", both), Route("/customers/{id}", show)]
    auth = Middleware(BearerAuth, verifier=verifier_of(), other_issuers="pass")
    app = Starlette(routes=routes, middleware=[auth])
    for authorization in ((), (bearer(iss="https://users.example.com"),), ("Bearer opaque",), ("Basic dXNlcjpwYXNz",)):
        assert call(app, "/both", *authorization).body == {"agent": None}
        refused = call(app, "/customers/42", *authorization)
        assert (refused.status, refused.body["reason"]) == (401, "token_missing")
        assert refused.headers["www-authenticate"] == REALM
    assert call(app, "/both", bearer()).body == {"agent": "3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88"}
    assert call(app, "/both", bearer(exp=NOW - 60)).body["reason"] == "token_expired"


def test_settings_that_protect_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="refuse"):
        BearerAuth(application(), verifier=verifier_of(), other_issuers="ignore")


@pytest.fixture
def authority() -> Iterator[FakeAuthority]:
    with serving() as served:
        yield served


@pytest.fixture
def api(authority: FakeAuthority) -> Iterator[str]:
    """The application on a real server, with keys from a real authority."""
    app = application(TokenVerifier(authority.url, AUDIENCE, **UNFOLLOWED))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def test_over_real_sockets(authority: FakeAuthority, api: str) -> None:
    now = int(time.time())
    good = {"Authorization": f"Bearer {authority.token(exp=now + 60, nbf=now, iat=now)}"}
    with urllib3.PoolManager() as http:
        assert http.request("GET", f"{api}/customers/42", headers=good).status == 200
        refused = http.request("DELETE", f"{api}/customers/42", headers=good)
        assert (refused.status, refused.json()["missing_actions"]) == (403, ["customers:delete"])
        assert http.request("GET", f"{api}/customers/42").headers["WWW-Authenticate"] == REALM
        head = http.request("HEAD", f"{api}/customers/42")
        assert (head.status, head.data) == (401, b"")
        assert http.request("GET", f"{api}/healthz").json() == {"healthy": True}
    assert authority.key_sets_fetched == 1


def test_errors_carry_their_status() -> None:
    assert KeysUnavailable("away", retry_after=1).status == 503
