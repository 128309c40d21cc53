"""Applications that are mounted in another one: each refusal reaches the caller, and metadata are where it says."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from authsec import InsufficientScope, TokenVerifier, VerifiedToken
from authsec.asgi import BearerAuth, MetadataEndpoint, identity_of
from authsec.fastapi import agent
from fastapi import Depends, FastAPI, Request, WebSocket
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute

from .fake_keys import AUDIENCE, ISSUER, key_set, token, verifier_of
from .speaking_asgi import Answer, call, connect, speak

GOOD = f"Bearer {token()}"
DESK = f"{AUDIENCE}/desk"
DESK_METADATA = "/.well-known/oauth-protected-resource/desk"


def desk_verifier() -> TokenVerifier:
    return TokenVerifier(ISSUER, DESK, keys=key_set(), revocations="until_exp")


async def delete(request: Any) -> JSONResponse:
    identity_of(request).require("customers:delete")
    raise AssertionError("the request was let through")


async def pass_on(request: Request, call_next: Any) -> Any:
    return await call_next(request)


def fastapi_desk() -> FastAPI:
    desk = FastAPI()

    @desk.get("/delete")
    def by_dependency(_: Annotated[VerifiedToken, Depends(agent("customers:delete"))]) -> None:
        raise AssertionError("the request was let through")

    @desk.get("/inside")
    def inside(request: Request) -> None:
        identity_of(request).require("customers:delete")

    return desk


def starlette_desk(**settings: Any) -> Starlette:
    return Starlette(routes=[Route("/delete", delete), Route("/inside", delete)], **settings)


def parent_of(desk: Any) -> FastAPI:
    app = FastAPI()
    app.mount("/desk", desk)
    app.add_middleware(BearerAuth, verifier=verifier_of())
    return app


def is_refused(answer: Answer) -> bool:
    challenge = answer.headers["www-authenticate"]
    return (answer.status, answer.body["reason"]) == (403, "action_not_allowed") and f'realm="{AUDIENCE}"' in challenge


@pytest.mark.parametrize("path", ["/desk/delete", "/desk/inside"])
@pytest.mark.parametrize(
    "desk",
    [
        fastapi_desk(),
        starlette_desk(),
        starlette_desk(debug=True),
        starlette_desk(middleware=[Middleware(BaseHTTPMiddleware, dispatch=pass_on)]),
        starlette_desk(exception_handlers={Exception: lambda _, error: PlainTextResponse(str(error), 502)}),
        Starlette(routes=[Mount("/", fastapi_desk())]),
    ],
)
def test_an_action_that_a_mounted_application_misses_is_a_403(desk: Any, path: str) -> None:
    assert is_refused(call(parent_of(desk), path, GOOD))


@pytest.mark.parametrize("between", [Middleware(BaseHTTPMiddleware, dispatch=pass_on), Middleware(GZipMiddleware)])
def test_middleware_between_the_two_applications(between: Middleware) -> None:
    app = Starlette(
        routes=[Mount("/desk", fastapi_desk())], middleware=[Middleware(BearerAuth, verifier=verifier_of()), between]
    )
    assert is_refused(call(app, "/desk/delete", GOOD))


def test_around_a_whole_application_no_handler_is_needed() -> None:
    assert is_refused(call(BearerAuth(starlette_desk(), verifier=verifier_of()), "/delete", GOOD))


def test_a_websocket_of_a_mounted_application() -> None:
    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        identity_of(socket).require("customers:delete")

    app = parent_of(Starlette(routes=[WebSocketRoute("/talk", talk)]))
    assert [message["type"] for message in connect(app, "/desk/talk", GOOD)] == ["websocket.accept", "websocket.close"]


def test_the_applications_own_handler_answers_first() -> None:
    def own(_: Any, error: Exception) -> JSONResponse:
        return JSONResponse({"own": True}, 403)

    desk = starlette_desk(exception_handlers={InsufficientScope: own})
    assert call(parent_of(desk), "/desk/delete", GOOD).body == {"own": True}


def test_another_failure_keeps_its_own_500() -> None:
    async def fail(_: Request) -> None:
        raise ZeroDivisionError("the endpoint's own mistake")

    answers: list[Any] = []

    async def record(message: Any) -> None:
        answers.append(message)

    app = parent_of(Starlette(routes=[Route("/fail", fail)]))

    async def around(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(ZeroDivisionError):
            await app(scope, receive, record)
        for message in answers:
            await send(message)

    sent = speak(around, scope_of("/desk/fail"), [{"type": "http.request", "body": b"", "more_body": False}])
    assert (sent[0]["status"], sent[1]["body"]) == (500, b"Internal Server Error")


def test_an_answer_of_500_in_several_parts_is_whole() -> None:
    async def stream(_: Request) -> StreamingResponse:
        return StreamingResponse(iter(["one ", "two ", "three"]), status_code=503)

    app = parent_of(Starlette(routes=[Route("/stream", stream)]))
    sent = speak(app, scope_of("/desk/stream"), [{"type": "http.request", "body": b"", "more_body": False}])
    assert (sent[0]["status"], b"".join(message["body"] for message in sent[1:])) == (503, b"one two three")


def scope_of(path: str) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "query_string": b"",
        "headers": [(b"authorization", GOOD.encode())],
    }


def with_its_own_middleware() -> Starlette:
    return starlette_desk(middleware=[Middleware(BearerAuth, verifier=desk_verifier())])


def test_metadata_of_a_mounted_application_are_served_by_the_outer_one(caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()
    app.mount("/desk", with_its_own_middleware())
    app.add_middleware(MetadataEndpoint, verifier=desk_verifier(), actions=["customers:read"])
    refused = call(app, "/desk/delete")
    assert f'resource_metadata="https://crm.example.com{DESK_METADATA}"' in refused.headers["www-authenticate"]
    metadata = call(app, DESK_METADATA)
    assert (metadata.status, metadata.body["resource"]) == (200, DESK)
    assert metadata.body["scopes_supported"] == ["customers:read"]
    assert call(app, f"{DESK_METADATA}/x").status == 404
    assert caplog.messages == []


def test_metadata_that_nobody_serves_are_named_once_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    app = Starlette(routes=[Mount("/desk", with_its_own_middleware())])
    for _ in range(3):
        assert call(app, "/desk/delete").status == 401
    (line,) = [record.getMessage() for record in caplog.records if record.name == "authsec.asgi"]
    assert f"the metadata URL https://crm.example.com{DESK_METADATA} is outside the mount /desk" in line
    assert "MetadataEndpoint" in line


@pytest.mark.parametrize("root_path", ["", "/desk"])
def test_an_application_that_is_not_mounted_logs_nothing(root_path: str, caplog: pytest.LogCaptureFixture) -> None:
    desk = with_its_own_middleware()
    scope = scope_of(f"{root_path}/delete") | {"root_path": root_path, "headers": []}
    speak(desk, scope, [{"type": "http.request", "body": b"", "more_body": False}])
    assert caplog.messages == []
