"""What stands between AutoGen and the model keeps a copy of everything, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest
from authsec_demo.evidence import Transcript
from authsec_demo.loopback import free_port, serving
from authsec_demo.model_server import Model, live, model_app, scripted
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

HELLO = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}]}).encode()


@contextmanager
def asking(model: Model, transcript: Transcript) -> Iterator[httpx2.Client]:
    with serving(model_app(model, transcript)) as url, httpx2.Client(base_url=url, trust_env=False) as http:
        yield http


def test_the_script_answers_and_every_request_is_kept() -> None:
    transcript = Transcript()
    with asking(scripted, transcript) as http:
        answer = http.post("/v1/chat/completions", content=HELLO)
        refused = http.post("/v1/chat/completions", content=b"not json")
    assert answer.json()["object"] == "chat.completion"
    assert (refused.status_code, refused.json()["error"]["type"]) == (400, "invalid_request_error")
    assert len(transcript) == 2


def test_a_live_model_gets_the_request_unchanged_with_the_callers_key() -> None:
    seen: list[tuple[bytes, str]] = []

    async def upstream(request: Request) -> Response:
        seen.append((await request.body(), request.headers["Authorization"]))
        return JSONResponse({"error": {"message": "slow down"}}, 429)

    transcript = Transcript()
    app = Starlette(routes=[Route("/api/chat/completions", upstream, methods=["POST"])])
    with serving(app) as url, asking(live(f"{url}/api/"), transcript) as http:
        answer = http.post("/v1/chat/completions", content=HELLO, headers={"Authorization": "Bearer sk-test"})
    assert (answer.status_code, answer.json()) == (429, {"error": {"message": "slow down"}})
    assert seen == [(HELLO, "Bearer sk-test")]
    assert len(transcript) == 1


def test_a_live_model_that_is_not_there_is_said_to_be_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    nowhere = f"http://127.0.0.1:{free_port()}"
    with asking(live(nowhere), Transcript()) as http:
        answer = http.post("/v1/chat/completions", content=HELLO)
    assert answer.status_code == 502
    assert answer.json()["error"]["message"] == (
        f"The live model at {nowhere} cannot be reached (ConnectError). OPENAI_BASE_URL is not set."
    )


@pytest.mark.parametrize("leak", ["head.payload.signature", "… payload …", "signature"])
def test_a_token_in_a_message_is_found_whole_and_in_part(leak: str) -> None:
    transcript = Transcript()
    transcript.add(HELLO)
    transcript.add(HELLO.replace(b"hello", leak.encode()))
    assert transcript.revealing(["another.token.here", "head.payload.signature"]) == 1


def test_what_holds_no_token_reveals_none() -> None:
    transcript = Transcript()
    transcript.add(HELLO)
    assert transcript.revealing(["head.payload.signature"]) == 0
