"""An API behind a proxy that removes a prefix: metadata and public paths match whichever way the prefix is set."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import urllib3
from authsec import TokenVerifier
from authsec.asgi import BearerAuth
from authsec.wsgi import BearerAuth as WsgiBearerAuth
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from .fake_keys import AUDIENCE, ISSUER, key_set
from .serving_asgi import asgi
from .speaking_asgi import call, speak
from .test_wsgi import call as call_wsgi

PREFIX = "/billing"
METADATA = f"/.well-known/oauth-protected-resource{PREFIX}"


async def said(request: Request) -> JSONResponse:
    return JSONResponse({"path": request.url.path})


PATHS = ("/healthz", "/customers", "/billing/healthz", "/customers/healthz")
AUTH = Middleware(
    BearerAuth,
    verifier=TokenVerifier(ISSUER, AUDIENCE + PREFIX, keys=key_set()),
    public_paths=["/healthz"],
)


def starlette() -> Any:
    return Starlette(routes=[Route(path, said) for path in PATHS], middleware=[AUTH])


def with_root_path() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, and still in use
        app = FastAPI(root_path=PREFIX, middleware=[AUTH])
    for path in PATHS:
        app.add_route(path, said)
    return app


@pytest.mark.parametrize(
    ("make", "root_path"), [(starlette, PREFIX), (starlette, f"{PREFIX}/"), (with_root_path, ""), (starlette, "")]
)
def test_behind_a_proxy_that_removes_the_prefix(make: Callable[[], Any], root_path: str) -> None:
    with asgi(make(), root_path=root_path) as api, urllib3.PoolManager() as http:

        def status(path: str) -> int:
            return http.request("GET", api + path).status

        assert (status(METADATA), status("/healthz")) == (200, 200)
        for path in ("/customers", "/customers/healthz", "/healthz/", "//healthz", "/billing/billing/healthz"):
            assert status(path) == 401, path


def test_a_mounted_api() -> None:
    app = Starlette(routes=[Mount(PREFIX, starlette())])
    assert call(app, f"{PREFIX}/healthz").status == 200
    assert call(app, PREFIX + METADATA).status == 200
    for path in ("/customers", "/customers/healthz", "/billing/healthz"):
        assert call(app, PREFIX + path).status == 401, path


@pytest.mark.parametrize("prefix", ["/{tenant}", "/{tenant:path}"])
def test_a_prefix_that_the_caller_chooses_opens_no_path(prefix: str) -> None:
    app = Starlette(routes=[Mount(prefix, starlette())])
    assert call(app, "/customers/healthz").status == 401
    assert call(app, f"/customers/x{METADATA}").status == 401


@pytest.mark.parametrize(
    ("root_path", "path"),
    [("/bill", "/billing/healthz"), ("/billing", "/billing/billing/healthz"), ("/healthz", "/healthz/customers")],
)
def test_only_the_whole_prefix_is_removed_and_only_once(root_path: str, path: str) -> None:
    scope = {"type": "http", "method": "GET", "path": path, "root_path": root_path, "headers": []}
    assert speak(starlette(), scope, [])[0]["status"] == 401


def test_a_public_path_with_the_prefix_opens_no_second_path() -> None:
    auth = BearerAuth(starlette(), verifier=AUTH.kwargs["verifier"], public_paths=["/billing/healthz"])
    scope = {"type": "http", "method": "GET", "path": "/billing/billing/healthz", "root_path": PREFIX, "headers": []}
    assert speak(auth, scope, [])[0]["status"] == 401


def test_metadata_of_a_wsgi_application_with_a_prefix() -> None:
    def echo(environ: Any, start_response: Any) -> list[bytes]:
        raise AssertionError("the request was let through")

    verifier = TokenVerifier(ISSUER, AUDIENCE + PREFIX, keys=key_set())
    app = WsgiBearerAuth(echo, verifier=verifier, public_paths=["/healthz"])
    assert call_wsgi(app, METADATA, SCRIPT_NAME=PREFIX).status == "200 OK"
    for path in ("/customers", "/healthz", f"{PREFIX}{METADATA}"):
        assert call_wsgi(app, path, SCRIPT_NAME=PREFIX).status == "401 Unauthorized", path
