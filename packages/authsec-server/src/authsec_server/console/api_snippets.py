"""Code that protects an API, for each framework that the SDK supports. The code contains the API's own values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from authsec_server.apis.model import Api

_INSTALL = 'pip install "./packages/authsec[verify]"   # in a clone of AuthSec: by path, never by the bare name'


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """Code to copy, with a title and a note."""

    title: str
    note: str
    code: str


def snippets(issuer: str, api: Api) -> Sequence[Snippet]:
    """Return the install command and one snippet for each framework.

    The MCP snippet is included only if the audience is a URL, because the package `mcp` requires a URL.
    """
    action = api.actions[0].action if api.actions else "customers:read"
    verifier = f'TokenVerifier(issuer="{issuer}", audience="{api.identifier}")'
    is_address = api.identifier.startswith(("https://", "http://"))
    return (
        Snippet(title="Install", note="Run this command where the API runs.", code=_INSTALL),
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
        ),
        Snippet(
            title="Any other language",
            note="With any JWT library and these keys, verify the signature "
            f"({api.signing_algorithm} only), the issuer, the audience and the expiry. A JWT library does not check "
            "revocations: it accepts a revoked token until the token expires.",
            code=f"issuer    {issuer}\naudience  {api.identifier}\nkeys      {issuer}/.well-known/jwks.json",
        ),
    )


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
            f'@app.get("/customers/{{id}}", dependencies=[Depends(agent("{action}"))])\n'
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
            '@app.get("/customers/<id>")\n'
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
        title="MCP server",
        note="The audience must be the server's address with its path. In mcp version 1, the class is named FastMCP.",
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
            "app = BearerAuth(tools.guard(server.streamable_http_app()), verifier=verifier)"
        ),
    )
