"""An MCP server of `mcp` 1.30, protected by `authsec.mcp`, asked over HTTP by the client of the same package.

The rest of the suite runs with version 2, which cannot be installed beside it.
"""

from __future__ import annotations

import json
from pathlib import Path

from .conftest import ForeignPython

SDK = Path(__file__).resolve().parents[2] / "packages" / "authsec" / "src"

PROGRAM = """
import asyncio, json, logging, sys, threading, time
sys.path.insert(0, sys.argv[1])
import httpx, uvicorn
from authsec import TokenVerifier
from authsec.jose import PrivateKey, sign_compact
from authsec.mcp import BearerAuth, protected_by, require
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from mcp.server.fastmcp import FastMCP

ISSUER, AUDIENCE = "https://authsec.example.com", "https://crm.example.com/mcp"
key, now = PrivateKey.generate_rsa(), int(time.time())
keys = {"keys": [{**key.public.to_jwk(), "kid": "k", "use": "sig", "alg": "RS256"}]}

def token(**changes):
    claims = {
        "iss": ISSUER, "sub": "spiffe://example.com/agent/a", "aud": AUDIENCE, "exp": now + 60, "nbf": now, "iat": now,
        "jti": "j", "client_id": "a", "scope": "customers:read", "permissions": ["customers:read"], "roles": ["r"],
        "delegation_ids": ["d"], "authority_version": 1, "attestation": {"method": "none"}, **changes,
    }
    return "Bearer " + sign_compact({"typ": "at+jwt", "kid": "k"}, claims, key)

verifier = TokenVerifier(ISSUER, AUDIENCE, keys=keys, revocations="until_exp")
server = FastMCP("crm", log_level="ERROR", **protected_by(verifier))
logging.disable()

@server.tool()
def show() -> str:
    return require("customers:read").agent

@server.tool()
def delete() -> str:
    return require("customers:delete").agent

app = BearerAuth(server.streamable_http_app(), verifier=verifier)
def serve(app):
    served = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    threading.Thread(target=served.run, daemon=True).start()
    while not served.started:
        time.sleep(0.005)
    return f"http://127.0.0.1:{served.servers[0].sockets[0].getsockname()[1]}/mcp"

url = serve(server.streamable_http_app())
away = TokenVerifier("http://127.0.0.1:9", AUDIENCE, revocations="until_exp")
other = FastMCP("crm", log_level="ERROR", **protected_by(away))
around = serve(BearerAuth(other.streamable_http_app(), verifier=away))

async def call():
    async with streamablehttp_client(url, headers={"Authorization": token()}) as (reader, writer, _):
        async with ClientSession(reader, writer) as client:
            await client.initialize()
            return [(await client.call_tool(name, {})).content[0].text for name in ("show", "delete")]

told = asyncio.run(call())
refused = [httpx.post(url, json={}, headers=headers) for headers in (
    {}, {"Authorization": token(exp=now - 60)}, {"Authorization": token(aud="https://other.example.com")},
)]
unverified = httpx.post(around, json={}, headers={"Authorization": token(iss="http://127.0.0.1:9")})
statuses = [answer.status_code for answer in (*refused, unverified)]
print(json.dumps([told, statuses, refused[0].headers["www-authenticate"]]))
"""


def test_it_lets_in_agents_and_tells_them_what_they_may_not(foreign_python: ForeignPython) -> None:
    done = foreign_python.run(PROGRAM, str(SDK))
    assert done.stdout, done.stderr
    (shown, refused), statuses, challenge = json.loads(done.stdout)
    assert shown == "spiffe://example.com/agent/a"
    assert "does not allow customers:delete" in refused
    assert "https://authsec.example.com/console/delegations/new?client=a" in refused
    assert statuses == [401, 401, 401, 503]
    assert 'resource_metadata="https://crm.example.com/.well-known/oauth-protected-resource/mcp"' in challenge
