"""Code that protects an API, for each framework that the SDK supports. The code contains the API's own values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from shlex import quote
from urllib.parse import urlsplit

from authsec_server.apis.model import Api, ApiKind
from authsec_server.clients.k8s_manifest import YOUR_API
from authsec_server.console.clients.oauth_clients import INSTALL_JAVASCRIPT, resource_of
from authsec_server.sdk_wheels import SdkWheels
from authsec_server.sdk_wheels.wheels import AUTHSEC

_MCP = "MCP server"
_INSTALL = 'pip install "./packages/authsec[{extra}]"   # in a clone of AuthSec: by path, never by the bare name'
_ORIGIN = "the scheme, host and port at which agents address this API"
_DPOP = (
    f"Check `dpop_origin` of `TokenVerifier`: it is {_ORIGIN}. In your clone, `docs/protecting-apis.md` has the "
    "details."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """Code to copy, with a title, a note, and the command that installs what the code needs.

    `dpop` says how the API accepts tokens that are bound to a key.
    """

    title: str
    note: str
    code: str
    dpop: str = _DPOP
    install: str = ""


def snippets(issuer: str, api: Api, *, sdk: SdkWheels, needs_dpop: bool = False) -> Sequence[Snippet]:
    """Return one snippet for each framework. `sdk` are the wheels that the commands install.

    With `needs_dpop`, a live trust delegation for the API requires DPoP. The MCP snippet is included only if the
    audience is a URL, because the package `mcp` requires a URL.
    """
    of_python = _install(sdk, "verify")
    made = _snippets(issuer, api, sdk=sdk, needs_dpop=needs_dpop)
    return [each if each.install else replace(each, install=of_python) for each in made]


def _install(sdk: SdkWheels, extra: str) -> str:
    return f'pip install "{sdk.requirement(AUTHSEC, extra)}"' if sdk else _INSTALL.format(extra=extra)


def _snippets(issuer: str, api: Api, *, sdk: SdkWheels, needs_dpop: bool) -> Sequence[Snippet]:
    named = [each.action for each in api.actions]
    action = next((each for each in named if each.endswith("read")), named[0] if named else "customers:read")
    is_address = api.identifier.startswith(("https://", "http://"))
    address = _origin(api.identifier) if is_address else YOUR_API
    bound = f', dpop_origin="{address}"' if needs_dpop else ""
    verifier = f'TokenVerifier(issuer="{issuer}", audience="{api.identifier}"{bound})'
    origin = f" --dpop-origin {quote(address)}" if needs_dpop else ""
    later = "" if needs_dpop else " If a trust delegation requires DPoP, the command also needs `--dpop-origin`."
    return (
        _asgi(verifier, action),
        _fastapi(verifier, action),
        _flask(verifier, action),
        _django(verifier, action),
        *((_mcp(verifier, action),) if is_address else ()),
        Snippet(
            title="Any Python",
            note="Without a framework: the call returns the caller and its actions, or raises an error.",
            code=(
                "from authsec import TokenVerifier\n\n"
                f"verifier = {verifier}\n"
                "identity = verifier.verify(token)\n"
                f'identity.require("{action}")'
            ),
            dpop=f"Check `dpop_origin` of `TokenVerifier`: it is {_ORIGIN}. Also pass a `DpopRequest` to `verify`. "
            "In your clone, `docs/protecting-apis.md` shows both.",
        ),
        _javascript(issuer, api, action),
        Snippet(
            title="Any other language",
            note="A proxy (nginx, Apache, haproxy, Envoy, Traefik, Caddy) asks this command before each request, also "
            "about revocations. In your clone, `docs/verify-server.md` has each proxy's block. A JWT library "
            f"with the keys below verifies signature ({api.signing_algorithm} only), issuer, audience and expiry, but "
            f"accepts a revoked token until the token expires.{later}",
            code=f"authsec verify-server --issuer {quote(issuer)} --audience {quote(api.identifier)}{origin}\n\n"
            f"# For a JWT library: the keys\n# {issuer}/.well-known/jwks.json",
            dpop=f"`--dpop-origin` is {_ORIGIN}. If the command runs already, start it again with the option. "
            "The proxy must also send the method, the URL and the proof: in your clone, `docs/verify-server.md` shows "
            "how. A JWT library alone checks no proofs.",
            install=_install(sdk, "verify-server"),
        ),
    )


def _origin(identifier: str) -> str:
    parts = urlsplit(identifier)
    return f"{parts.scheme}://{parts.netloc}"


def position(api: Api, frameworks: Sequence[Snippet]) -> int:
    """Return the position in `frameworks`, from 1, of the code for an API of this kind."""
    titles = [each.title for each in frameworks]
    return titles.index(_MCP) + 1 if api.kind is ApiKind.MCP_SERVER and _MCP in titles else 1


def _asgi(verifier: str, action: str) -> Snippet:
    return Snippet(
        title="Starlette, any ASGI",
        note="One line refuses requests without a token for this API. Each handler names the action that the "
        "handler requires.",
        code=(
            "from authsec import TokenVerifier\n"
            "from authsec.asgi import BearerAuth, identity_of\n\n"
            f"app.add_middleware(BearerAuth, verifier={verifier})\n\n"
            "async def handler(request):\n"
            f'    identity_of(request).require("{action}")\n'
            "    ..."
        ),
    )


def _fastapi(verifier: str, action: str) -> Snippet:
    return Snippet(
        title="FastAPI",
        note="One line refuses requests without a token for this API. The API's OpenAPI document also shows the "
        "action that each endpoint requires.",
        code=(
            "from authsec import TokenVerifier\n"
            "from authsec.asgi import BearerAuth\n"
            "from authsec.fastapi import agent\n"
            "from fastapi import Depends\n\n"
            f"app.add_middleware(BearerAuth, verifier={verifier})\n\n"
            f'@app.get("/{resource_of(action)}/{{id}}", dependencies=[Depends(agent("{action}"))])\n'
            "def handler(id: int):\n"
            "    ..."
        ),
    )


def _flask(verifier: str, action: str) -> Snippet:
    return Snippet(
        title="Flask",
        note="One line refuses requests without a token for this API. Each view names the action that the view "
        "requires.",
        code=(
            "from authsec import TokenVerifier\n"
            "from authsec.flask import identity_of, protect\n"
            "from flask import request\n\n"
            f"protect(app, verifier={verifier})\n\n"
            f'@app.get("/{resource_of(action)}/<id>")\n'
            "def view(id):\n"
            f'    identity_of(request).require("{action}")\n'
            "    ..."
        ),
    )


def _django(verifier: str, action: str) -> Snippet:
    return Snippet(
        title="Django",
        note="The first two lines belong in the settings, the others in a view.",
        code=(
            f'MIDDLEWARE.insert(0, "authsec.django.BearerAuth")\n'
            f'AUTHSEC = {{"verifier": {verifier}}}  # from authsec import TokenVerifier\n\n'
            "from authsec.django import identity_of\n\n"
            "def view(request):\n"
            f'    identity_of(request).require("{action}")\n'
            "    ..."
        ),
    )


def _mcp(verifier: str, action: str) -> Snippet:
    return Snippet(
        title=_MCP,
        note="The audience must be the server's address with its path. In mcp version 1, the class is named FastMCP. "
        "`scope` has the actions with which a stock client begins. A stock client may lose its session at a tool whose "
        "action is not delegated: in your clone, `docs/protecting-apis.md` shows how to keep the session.",
        code=(
            "from authsec import TokenVerifier\n"
            "from authsec.mcp import BearerAuth, ToolActions, protected_by\n"
            "from mcp.server import MCPServer\n\n"
            f"verifier = {verifier}\n"
            'server = MCPServer("my-server", **protected_by(verifier))\n'
            "tools = ToolActions()\n\n"
            "@server.tool()\n"
            f'@tools.require("{action}")\n'
            "def tool(id: str) -> str:\n"
            "    ...\n\n"
            "guarded = tools.guard(server.streamable_http_app())\n"
            f'app = BearerAuth(guarded, verifier=verifier, scope=["{action}"])'
        ),
    )


def _javascript(issuer: str, api: Api, action: str) -> Snippet:
    return Snippet(
        title="JavaScript",
        note="The last two lines belong in the handler of each request. Save the code as an `.mjs` file. In your "
        "clone, `docs/javascript.md` has a whole server.",
        code=(
            'import { TokenVerifier } from "authsec-js";\n\n'
            f"const verifier = new TokenVerifier({{ issuer: {json.dumps(issuer)}, "
            f"audience: {json.dumps(api.identifier)} }});\n\n"
            "// throws a VerificationError, with the status 401, 403 or 503\n"
            "const agent = await verifier.verifyHeader(request.headers.authorization);\n"
            f"agent.require({json.dumps(action)});"
        ),
        dpop="This verifier checks no DPoP proofs, so it refuses these tokens. Put `authsec verify-server "
        "--dpop-origin` before the API: in your clone, `docs/verify-server.md` shows how.",
        install=INSTALL_JAVASCRIPT,
    )
