"""The FastAPI dependency where the examples do not go: WebSockets, one of several actions, nobody in front of it."""

from __future__ import annotations

from typing import Annotated

import pytest
from authsec import VerifiedToken
from authsec.asgi import BearerAuth
from authsec.fastapi import agent
from fastapi import Depends, FastAPI, WebSocket

from .fake_keys import token, verifier_of
from .speaking_asgi import call, connect


def application() -> FastAPI:
    app = FastAPI()

    @app.get("/tickets", dependencies=[Depends(agent("tickets:read", "tickets:write", any_of=True))])
    def tickets() -> dict[str, str]:
        return {}

    @app.websocket("/talk")
    async def talk(socket: WebSocket, identity: Annotated[VerifiedToken, Depends(agent("customers:read"))]) -> None:
        await socket.accept()
        await socket.send_text(identity.client_id)

    @app.websocket("/talk-only-if")
    async def talk_only_if(socket: WebSocket, identity: Annotated[VerifiedToken, Depends(agent("a:b"))]) -> None:
        raise AssertionError("the request was let through")

    return app


def test_it_serves_whoever_may_and_nobody_else() -> None:
    app = application()
    app.add_middleware(BearerAuth, verifier=verifier_of())
    good = f"Bearer {token()}"
    assert call(app, "/tickets", good).status == 200
    refused = call(app, "/tickets", f"Bearer {token(scope='a:b', permissions=['a:b'])}")
    assert (refused.status, refused.body["missing_actions"]) == (403, ["tickets:read", "tickets:write"])
    assert [message["type"] for message in connect(app, "/talk", good)][:2] == ["websocket.accept", "websocket.send"]
    assert connect(app, "/talk-only-if", good)[-1]["reason"] == "action_not_allowed"


def test_without_the_middleware_it_fails_for_everybody() -> None:
    for authorization in ((), (f"Bearer {token()}",)):
        with pytest.raises(LookupError, match="BearerAuth is not installed"):
            call(application(), "/tickets", *authorization)


def test_what_is_no_action_is_found_when_the_program_starts() -> None:
    for actions in ((), ("customers",), ("Customers:read",)):
        with pytest.raises(ValueError):
            agent(*actions)
