"""Django APIs (bound_requests.py): reads a line of requests from stdin, and writes a line with what becomes of each.

Django takes its settings once a process. So each line has a process of its own, forked from one that has imported all.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import authsec.django  # noqa: F401 - as the import of Django's handlers, it takes most of the time
import django.core.handlers.asgi
import django.core.handlers.wsgi  # noqa: F401
from authsec import TokenVerifier
from authsec.clock import Clock
from authsec.verifier.revocations.policy import NoRevocations
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import JsonResponse
from django.test import Client
from django.urls import re_path

urlpatterns = [re_path(".*", lambda _: JsonResponse({}))]


def headers_of(sent: list[list[str]]) -> dict[str, str]:
    """Headers of one name as a server joins them."""
    joined: dict[str, list[str]] = {}
    for name, value in sent:
        joined.setdefault(name, []).append(value)
    return {name: ",".join(values) for name, values in joined.items()}


def outcome(status: int, body: bytes, challenge: str) -> list[Any]:
    return [status, json.loads(body).get("reason", ""), challenge]


async def asked(application: Callable[..., Any], method: str, path: str, sent: list[list[str]]) -> list[Any]:
    """One request, spoken in ASGI: Django's own client does not pass on the path as it was sent."""
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in sent],
    }
    incoming: list[Any] = [{"type": "http.request", "body": b"", "more_body": False}]
    answer: list[Any] = []

    async def receive() -> Any:
        if incoming:
            return incoming.pop()
        await asyncio.Event().wait()  # the caller waits for the answer
        return None

    async def send(message: Any) -> None:
        answer.append(message)

    await application(scope, receive, send)
    headers = {name.lower().decode(): value.decode() for name, value in answer[0]["headers"]}
    body = b"".join(message.get("body", b"") for message in answer[1:])
    return outcome(answer[0]["status"], body, headers.get("www-authenticate", ""))


async def under_asgi(requests: list[Any]) -> list[Any]:
    application = get_asgi_application()
    return [await asked(application, *request) for request in requests]


def under_wsgi(requests: list[Any]) -> list[Any]:
    get_asgi_application()  # sets Django up
    client = Client()
    answers = [client.generic(method, path, headers=headers_of(sent), RAW_URI=path) for method, path, sent in requests]
    return [
        outcome(answer.status_code, answer.content, answer.headers.get("WWW-Authenticate", "")) for answer in answers
    ]


def outcomes(given: dict[str, Any]) -> list[Any]:
    verifier = TokenVerifier(
        "https://authsec.example.com",
        "https://crm.example.com",
        keys=given["keys"],
        revocations=NoRevocations(),
        clock=Clock(wall=lambda: float(given["now"])),
        **given["settings"],
    )
    settings.configure(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["*"],
        MIDDLEWARE=["authsec.django.BearerAuth"],
        AUTHSEC={"verifier": verifier},
    )
    requests = given["requests"]
    return asyncio.run(under_asgi(requests)) if given["under"] == "asgi" else under_wsgi(requests)


for line in sys.stdin:
    if (child := os.fork()) == 0:
        print(json.dumps(outcomes(json.loads(line))), flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print("null", flush=True)  # stderr says why
