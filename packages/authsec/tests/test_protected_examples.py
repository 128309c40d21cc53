"""The examples, each on a real server: whatever the stack, the same requests get the same answers."""

from __future__ import annotations

import asyncio
import importlib.util
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import httpx2
import pytest
import urllib3
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from .fake_feed import FakeFeed, TimeOfDay, feeding
from .fake_keys import AUDIENCE, FakeAuthority, key_set, rsa_key, token
from .serving_asgi import asgi

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
METADATA = "/.well-known/oauth-protected-resource"
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}
REALM = f'Bearer realm="{AUDIENCE}", resource_metadata="{AUDIENCE}{METADATA}"'


@contextmanager
def wsgi(app: Any) -> Iterator[str]:
    class Server(ThreadingMixIn, WSGIServer):
        daemon_threads = True

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = make_server("127.0.0.1", 0, app, server_class=Server, handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeFeed]:
    with feeding(TimeOfDay()) as its:
        monkeypatch.setenv("AUTHSEC_ISSUER", its.authority.url)
        monkeypatch.setenv("MCP_URL", f"{AUDIENCE}/mcp")
        yield its


@pytest.fixture
def issuer(feed: FakeFeed) -> FakeAuthority:
    return feed.authority


def example(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def good(authority: FakeAuthority, **changes: Any) -> str:
    now = int(time.time())
    return "Bearer " + authority.token(**{"exp": now + 60, "nbf": now, "iat": now, **changes})


def calling(tool: str) -> dict[str, Any]:
    arguments = {"name": tool, "arguments": {"customer": "42"}}
    return {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": arguments}


def test_an_mcp_server_that_cannot_verify_says_so(issuer: FakeAuthority) -> None:
    app = example("mcp_server").app
    issuer.pages.clear()
    with asgi(app) as url:
        headers = {
            "Authorization": good(issuer, aud=f"{AUDIENCE}/mcp"),
            "Accept": "application/json, text/event-stream",
        }
        answer = urllib3.request("POST", f"{url}/mcp", headers=headers, json=HELLO, retries=False)
    assert (answer.status, answer.json()["reason"]) == (503, "keys_unavailable")
    assert int(answer.headers["Retry-After"]) > 0


def stays_protected(feed: FakeFeed, status: Callable[[str], int], **claims: Any) -> None:
    """Whatever the authority changes: `status` is what comes of a request with this Authorization header."""
    issuer = feed.authority
    old, other = (good(issuer, jti=name, **claims) for name in ("old", "other"))
    assert (status(old), status(other)) == (200, 200)
    issuer.publish(key_set("next", "current"))  # the authority goes over to another key
    new = good(issuer, kid="next", jti="new", **claims)
    assert (status(new), status(old)) == (200, 200)
    feed.end("token", "old")
    deadline = time.monotonic() + 5
    while status(old) == 200:
        assert time.monotonic() < deadline, "what was revoked is let in"
    foreign = "Bearer " + token(rsa_key("other"), header={"kid": "next"}, iss=issuer.url, **claims)
    assert [status(each) for each in (old, new, other, foreign, new[:-9], new + "A")] == [401, 200, 200, 401, 401, 401]
    issuer.publish(key_set("next"))  # the first key is gone, with it what it signed, as soon as the set is renewed
    feed.end("key", "current")
    while status(other) == 200:
        assert time.monotonic() < deadline, "what a revoked key has signed is let in"
    assert (status(other), status(new)) == (401, 200)


@pytest.mark.parametrize(
    ("name", "serve"),
    [("protect_starlette", asgi), ("protect_fastapi", asgi), ("protect_flask", wsgi), ("protect_django", wsgi)],
)
def test_an_api(
    feed: FakeFeed,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    serve: Callable[[Any], AbstractContextManager[str]],
) -> None:
    issuer, module = feed.authority, example(name)
    monkeypatch.setitem(__import__("sys").modules, name, module)  # where Django looks for the addresses
    with serve(module.app) as url, urllib3.PoolManager() as http:

        def ask(method: str, path: str, *authorization: str) -> Any:
            headers = urllib3.HTTPHeaderDict([("Authorization", value) for value in authorization])
            return http.request(method, url + path, headers=headers, retries=False)

        let_in = ask("GET", "/customers/42", good(issuer))
        assert (let_in.status, let_in.json()["id"]) == (200, "42")

        nobody = ask("GET", "/customers/42")
        assert (nobody.status, nobody.headers["WWW-Authenticate"]) == (401, REALM)
        assert nobody.json()["reason"] == "token_missing"
        assert ask("HEAD", "/customers/42").data == b""
        expired = ask("GET", "/nowhere", good(issuer, exp=int(time.time()) - 60))
        assert (expired.status, expired.json()["reason"]) == (401, "token_expired")
        assert expired.headers["WWW-Authenticate"].startswith(f'{REALM}, error="invalid_token"')

        refused = ask("DELETE", "/customers/42", good(issuer))
        assert refused.status == 403
        assert refused.headers["Cache-Control"] == "no-store"
        body = refused.json()
        needed = f', scope="customers:delete", error_uri="{body["grant_at"]}"'
        assert refused.headers["WWW-Authenticate"].endswith(needed)
        assert (body["missing_actions"], body["grantable"], body["retryable"]) == (["customers:delete"], True, False)
        assert body["grant_at"].startswith(f"{issuer.url}/console/delegations/new?client=")

        for twice in ((good(issuer), good(issuer)), ("Basic dTpw", good(issuer)), ("Bearer a b",)):
            assert ask("GET", "/customers/42", *twice).status == 400

        metadata = ask("GET", METADATA)
        assert (metadata.status, metadata.json()["authorization_servers"]) == (200, [issuer.url])

        stays_protected(feed, lambda authorization: int(ask("GET", "/customers/42", authorization).status))


def test_fastapi_says_what_each_endpoint_needs(issuer: FakeAuthority) -> None:
    document = example("protect_fastapi").app.openapi()
    scheme = document["components"]["securitySchemes"]["AuthSec"]
    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "JWT")
    assert document["paths"]["/customers/{customer}"]["get"]["security"] == [{"AuthSec": ["customers:read"]}]
    assert document["paths"]["/customers/{customer}"]["delete"]["security"] == [{"AuthSec": ["customers:delete"]}]


def test_an_mcp_server(feed: FakeFeed) -> None:
    """With the client of the same package, over HTTP."""

    async def call(url: str, authorization: str, tool: str) -> Any:
        carrying = httpx2.AsyncClient(headers={"Authorization": authorization})
        async with carrying as http, Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client:
            return await client.call_tool(tool, {"customer": "42"})

    issuer, audience = feed.authority, f"{AUDIENCE}/mcp"
    with asgi(example("mcp_server").app) as url, urllib3.PoolManager() as http:
        shown = asyncio.run(call(url, good(issuer, aud=audience), "show_customer"))
        assert not shown.is_error
        assert shown.content[0].text.startswith("Customer 42, asked for by spiffe://")

        def ask(authorization: str, message: Any = HELLO) -> Any:
            headers = {"Authorization": authorization, "Accept": "application/json, text/event-stream"}
            return http.request("POST", f"{url}/mcp", headers=headers, json=message)

        refused = ask(good(issuer, aud=audience), calling("delete_customer"))
        assert (refused.status, refused.json()["missing_actions"]) == (403, ["customers:delete"])
        assert 'scope="customers:read tickets:write customers:delete"' in refused.headers["WWW-Authenticate"]

        ended = good(issuer, aud=audience, exp=int(time.time()) - 60)
        refusals = {"": "token_missing", good(issuer): "audience_mismatch", ended: "token_expired"}
        for authorization, reason in refusals.items():
            answer = ask(authorization)
            assert (answer.status, answer.json()["reason"]) == (401, reason)
            assert f'resource_metadata="{AUDIENCE}{METADATA}/mcp"' in answer.headers["WWW-Authenticate"]
            assert 'scope="customers:read"' in answer.headers["WWW-Authenticate"]
        metadata = http.request("GET", f"{url}{METADATA}/mcp").json()
        assert metadata["resource"] == audience
        assert metadata["authorization_servers"] == [issuer.url]
        stays_protected(feed, lambda authorization: int(ask(authorization).status), aud=audience)
