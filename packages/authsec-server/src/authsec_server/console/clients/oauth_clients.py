"""The Connect tab for clients without the Python SDK: JavaScript, any OAuth client, and MCP clients. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from authsec_server.web.oauth import Grant
from authsec_server.web.oauth_errors import TOKEN_PATH

INSTALL_JAVASCRIPT: Final = """\
npm config set install-links=true --location=project
npm install ../authsec/packages/authsec-js"""
"""The commands in the folder of a program, next to the clone. Without the first one, npm links the package, and a later
`npm install` removes `jose`."""

MAKE_KEY: Final = """\
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {key_file}
openssl pkey -in {key_file} -pubout -out {key_file}.pub"""
"""The commands that make a key pair without anything of ours."""

YOUR_SERVER: Final = "https://your-server.example.com/mcp"
_FOR_TYPESCRIPT: Final = frozenset({"RS256", "ES256", "ES384", "ES512"})

_EC_ALGORITHMS: Final[Mapping[str, str]] = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}

_JAVASCRIPT: Final = """\
import {{ AuthSecClient }} from "authsec-js";

const api = process.env.DOWNSTREAM_URL;
const authsec = new AuthSecClient({bound}); // reads AUTHSEC_BASE_URL, AUTHSEC_AGENT_CLIENT_ID and the proof
const request = authsec.authorizedFetch({{ {options} }});
const response = await request(`${{api}}/{path}/42`);
if (!response.ok) throw new Error(`The API answered ${{response.status}}.`);
console.log(await response.text());
"""

_TYPESCRIPT_MCP: Final = """\
import {{ readFileSync }} from "node:fs";
import {{ Client }} from "@modelcontextprotocol/sdk/client/index.js";
import {{ {provider} }} from "@modelcontextprotocol/sdk/client/auth-extensions.js";
import {{ StreamableHTTPClientTransport }} from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const authProvider = new {provider}({{
  clientId: {client_id},
{credential}
  expectedIssuer: {issuer},
}});
const client = new Client({{ name: "agent", version: "1.0.0" }});
await client.connect(new StreamableHTTPClientTransport(new URL({server}), {{ authProvider }}));
console.log(await client.listTools());
"""

_PYTHON_MCP: Final = """\
import asyncio
from pathlib import Path

import httpx2
from mcp import ClientSession
from mcp.client.auth.extensions.client_credentials import {names}
from mcp.client.streamable_http import streamable_http_client

SERVER = {server}


class Storage:
    \"\"\"Keeps the token in memory. The client is registered, so no client information is stored.\"\"\"

    tokens = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return None

    async def set_client_info(self, client_info):
        pass


{provider}


async def main():
    async with (
        httpx2.AsyncClient(auth=provider) as http,
        streamable_http_client(SERVER, http_client=http) as streams,
        ClientSession(*streams[:2]) as session,
    ):
        await session.initialize()
        print(await session.list_tools())


asyncio.run(main())
"""

_PYTHON_BY_KEY: Final = """\
signed = SignedJWTParameters(
    issuer={client_id},
    subject={client_id},
    signing_key=Path("{key_file}").read_text(),
    signing_algorithm="{algorithm}",
)
provider = PrivateKeyJWTOAuthProvider(
    server_url=SERVER,
    storage=Storage(),
    client_id={client_id},
    issuer={issuer},
    assertion_provider=signed.create_assertion_provider(),
)"""

_PYTHON_WITH_FILE: Final = """\
provider = ClientCredentialsOAuthProvider(
    server_url=SERVER,
    storage=Storage(),
    client_id={client_id},
    client_secret=Path("{secret_file}").read_text().strip(),
    issuer={issuer},
)"""


def resource_of(scope: str) -> str:
    """Return the resource of the example's action, which is the path of the example's request to the API."""
    return scope.partition(":")[0] or "customers"


def is_address(audience: str) -> bool:
    """Return whether the audience is a URL, and not a registered name."""
    return audience.startswith(("https://", "http://"))


def _listed(audiences: Iterable[str]) -> str:
    return ", ".join(f"`{each}`" for each in audiences)


def signing_algorithm(jwk: Mapping[str, Any]) -> str:
    """Return the algorithm (RFC 7518, RFC 8037) by which OAuth libraries sign with the key of this public JWK."""
    if jwk["kty"] == "RSA":
        return "RS256"
    return _EC_ALGORITHMS.get(jwk.get("crv", ""), "EdDSA")


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthSetting:
    """One setting of an OAuth client, by its name in OAuth. `note` explains the value."""

    name: str
    value: str
    note: str = ""


_FOUND: Final = "Most libraries find the token endpoint by the issuer."
_ON_HTTP: Final = {
    False: "",
    True: " Many refuse plain http: use the library's switch for http, or set `token_endpoint` instead.",
}
_BOUND: Final = OAuthSetting(
    name="dpop_bound_access_tokens",
    value="true",
    note="The library sends a DPoP proof (RFC 9449) with each request, also to the API.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthClient:
    """The values for a client that knows OAuth and nothing of ours.

    `algorithm` is that of the client's key, or empty without a key. `is_workload` is whether a platform's token proves
    the client. `scope`, `audience`, `resource` and `audiences` are those of `Connection`. With `is_bound`, the tokens
    are bound to a key (DPoP).

    The settings are about one API, `api`. `actions` are those that are delegated for this API. `needs_resource` is
    whether the request must name the API. `servers` are the audiences of the MCP servers.
    """

    issuer: str
    client_id: str
    key_file: str
    secret_file: str
    algorithm: str = ""
    has_secret: bool = False
    is_workload: bool = False
    scope: str = ""
    audience: str = ""
    resource: str = ""
    is_bound: bool = False
    actions: Sequence[str] = ()
    audiences: Sequence[str] = ()
    api: str = ""
    needs_resource: bool = False
    servers: Sequence[str] = ()

    @property
    def token_endpoint(self) -> str:
        return self.issuer + TOKEN_PATH

    @property
    def settings(self) -> Sequence[OAuthSetting]:
        """Return the settings of an OAuth library, in the order in which most libraries ask for them."""
        return [
            OAuthSetting(name="issuer", value=self.issuer, note=_FOUND + _ON_HTTP[self.issuer.startswith("http:")]),
            OAuthSetting(
                name="token_endpoint", value=self.token_endpoint, note="For a library without discovery (RFC 8414)."
            ),
            OAuthSetting(name="grant_type", value=Grant.CLIENT_CREDENTIALS.value),
            OAuthSetting(name="client_id", value=self.client_id),
            *self._authentication,
            *([_BOUND] if self.is_bound else []),
            *self._narrowing,
        ]

    @property
    def mcp_settings(self) -> Sequence[OAuthSetting]:
        """Return the settings of an MCP client, which finds the token endpoint by itself."""
        note = "The trust delegation names the same address, with its path, as its API."
        if others := _listed(each for each in self.servers if each != self.server):
            note += f" Other MCP servers of this client: {others}."
        return [
            *([] if self.lacks_server else [OAuthSetting(name="server URL", value=self.server, note=note)]),
            OAuthSetting(
                name="issuer", value=self.issuer, note="The client sends its credential to this issuer alone."
            ),
            OAuthSetting(name="client_id", value=self.client_id),
            *self._authentication,
            *([_BOUND] if self.is_bound else []),
        ]

    @property
    def _narrowing(self) -> Sequence[OAuthSetting]:
        """Return the settings that narrow the token: an API, and the actions that are delegated for the API."""
        others = _listed(each for each in self.audiences if each != self.api)
        whole = "Optional. Without `scope`, the token has all of these."
        alone = "Optional. Needed when the client also has a trust delegation for another API."
        if others:
            whole = f"Optional. These actions are delegated for `{self.api}`."
            must = (
                "Required: the client has several APIs." if self.needs_resource else "The token is for this API alone."
            )
            alone = f"{must} For another API, change `scope` too. Other APIs: {others}."
        scope = OAuthSetting(name="scope", value=" ".join(self.actions), note=whole)
        resource = OAuthSetting(name="resource", value=self.api, note=alone)
        return [*([scope] if self.actions else []), *([resource] if self.api else [])]

    @property
    def _authentication(self) -> Sequence[OAuthSetting]:
        method = "token_endpoint_auth_method"
        if self.algorithm:
            note = f"The assertion's `aud` is the issuer alone. The private key is in `{self.key_file}`."
            return [
                OAuthSetting(name=method, value="private_key_jwt", note=note),
                OAuthSetting(name="token_endpoint_auth_signing_alg", value=self.algorithm),
            ]
        if self.has_secret:
            note = f"`client_secret_post` also works. The secret is in `{self.secret_file}`."
            return [OAuthSetting(name=method, value="client_secret_basic", note=note)]
        if self.is_workload:
            note = "The `client_assertion` is the workload's own token, of the type `jwt-bearer`."
            return [OAuthSetting(name=method, value="private_key_jwt", note=note)]
        return []

    @property
    def server(self) -> str:
        """Return the address of the first MCP server, or a placeholder."""
        return next((each for each in self.servers if is_address(each)), YOUR_SERVER)

    @property
    def lacks_server(self) -> bool:
        """Return whether all delegations of the client are for APIs that are no MCP servers."""
        return bool(self.audiences) and not self.servers

    @property
    def javascript(self) -> str:
        """Return a program with authsec-js that calls the API."""
        options = ["allowedOrigins: new URL(api).origin"]
        wanted = {"scope": self.scope, "resource": self.resource}
        options += [f"{name}: {json.dumps(value)}" for name, value in wanted.items() if value]
        bound = "{ dpop: true }" if self.is_bound else ""
        return _JAVASCRIPT.format(options=", ".join(options), bound=bound, path=resource_of(self.scope))

    @property
    def has_credential(self) -> bool:
        """Return whether the client has a key or a secret, which every OAuth library can use."""
        return bool(self.algorithm) or self.has_secret

    @property
    def fits_typescript(self) -> bool:
        """Return whether the TypeScript MCP SDK can use the credential. It cannot sign with an Ed25519 key."""
        return self.algorithm in _FOR_TYPESCRIPT or (self.has_secret and not self.algorithm)

    @property
    def typescript_mcp(self) -> str:
        """Return a program with the TypeScript MCP SDK. The SDK must support the kind of credential of the client."""
        if self.algorithm:
            provider = "PrivateKeyJwtProvider"
            credential = f'  privateKey: readFileSync("{self.key_file}", "utf8"),\n  algorithm: "{self.algorithm}",'
        else:
            provider = "ClientCredentialsProvider"
            credential = f'  clientSecret: readFileSync("{self.secret_file}", "utf8").trim(),'
        return _TYPESCRIPT_MCP.format(
            provider=provider,
            credential=credential,
            client_id=json.dumps(self.client_id),
            issuer=json.dumps(self.issuer),
            server=json.dumps(self.server),
        )

    @property
    def python_mcp(self) -> str:
        """Return a program with the Python MCP SDK, version 2."""
        names = (
            "PrivateKeyJWTOAuthProvider, SignedJWTParameters" if self.algorithm else "ClientCredentialsOAuthProvider"
        )
        template = _PYTHON_BY_KEY if self.algorithm else _PYTHON_WITH_FILE
        provider = template.format(
            client_id=json.dumps(self.client_id),
            issuer=json.dumps(self.issuer),
            key_file=self.key_file,
            secret_file=self.secret_file,
            algorithm=self.algorithm,
        )
        return _PYTHON_MCP.format(names=names, provider=provider, server=json.dumps(self.server))
