"""A chat completions API on loopback that AutoGen uses as its model. The API records each request.

The scripted model answers the requests. With `--live-model`, the API forwards each request body unchanged to
a real model.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from authsec_demo import scripted_model
from authsec_demo.evidence import Transcript

Model = Callable[[Request, bytes], Awaitable[Response]]

_LIVE_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEndpoint:
    """The chat completions API that AutoGen calls: the address, the API key and the name of the model."""

    base_url: str
    api_key: str = field(repr=False)
    name: str
    is_scripted: bool = False


def scripted_endpoint(url: str) -> ModelEndpoint:
    """Return the endpoint of the scripted model at `url`.

    The API key is a placeholder: clients require a key, but the scripted model ignores it.
    """
    return ModelEndpoint(base_url=f"{url}/v1", api_key="none", name=scripted_model.NAME, is_scripted=True)


def model_app(model: Model, transcript: Transcript | None = None) -> Starlette:
    """Return an application that answers `POST /v1/chat/completions` with `model`.

    If there is a `transcript`, the application records each request in it.
    """

    async def chat_completions(request: Request) -> Response:
        body = await request.body()
        if transcript is not None:
            transcript.add(body)
        return await model(request, body)

    return Starlette(routes=[Route("/v1/chat/completions", chat_completions, methods=["POST"])])


async def scripted(request: Request, body: bytes) -> Response:  # noqa: ARG001 - the scripted model ignores headers
    """Answer a chat completion request with the scripted model."""
    try:
        asked = json.loads(body)
    except ValueError:
        asked = None
    if not isinstance(asked, dict):
        return refusal(400, "The body is not a JSON object.")
    return JSONResponse(scripted_model.complete(asked))


def live(base_url: str) -> Model:
    """Return a model that forwards requests to `base_url`, such as https://api.openai.com/v1.

    The forwarded request keeps the caller's API key.
    """

    async def relay(request: Request, body: bytes) -> Response:
        headers = {"Content-Type": "application/json", "Authorization": request.headers.get("Authorization", "")}
        try:
            async with httpx2.AsyncClient(timeout=_LIVE_SECONDS) as http:
                answer = await http.post(f"{base_url.rstrip('/')}/chat/completions", content=body, headers=headers)
        except httpx2.HTTPError as error:
            unset = "" if os.environ.get("OPENAI_BASE_URL", "").strip() else " OPENAI_BASE_URL is not set."
            return refusal(502, f"The live model at {base_url} cannot be reached ({type(error).__name__}).{unset}")
        return Response(answer.content, answer.status_code, media_type=answer.headers.get("Content-Type"))

    return relay


def refusal(status: int, message: str) -> Response:
    """Return an error response in the format of OpenAI's API."""
    return JSONResponse({"error": {"message": message, "type": "invalid_request_error"}}, status)
