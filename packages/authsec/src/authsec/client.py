"""The agent's client: `AuthSecClient` returns delegation tokens, from its cache whenever possible."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal, NoReturn, Self, overload

from authsec.authority import Authority, proof_key_of
from authsec.cache import Names, TokenCache
from authsec.clock import Clock
from authsec.config import AuthSecConfig, environment, missing_variable
from authsec.credentials import CredentialSource, default_sources
from authsec.delegated import Answer, AnsweringDecorator, Delegated, OnDenied, RaisingDecorator, Result
from authsec.errors import ConfigError
from authsec.mcp_client import McpAuth
from authsec.outgoing.bearer import Bearer, named_origins
from authsec.outgoing.httpx_auth import httpx_auth
from authsec.outgoing.requests_auth import RequestsAuth
from authsec.tokens import DelegationToken, HiddenText, TokenRequest


class AuthSecClient:
    """Gets delegation tokens for one agent. Make one client; threads, event loops and forked workers can share it.

    Build it as `AuthSecClient(AuthSecConfig(…))` or `AuthSecClient(base_url=…, client_id=…)`. `AuthSecClient()`
    reads both values from the environment. `credential` is the source of the agent's proof of identity. Without
    `credential`, the client searches the default sources (see `authsec.credentials`).

    With `dpop=True`, tokens are bound to a key of this process (`AuthSecConfig.dpop`). `requests_auth`, `httpx_auth`
    and `mcp_auth` sign a proof for each request; `headers` does so for other HTTP clients.

    All methods that request a token raise an `AuthSecError`: `ConfigError` (nothing was sent), `TransportError`,
    `InvalidResponse`, or `TokenRequestError` with the authority's `reason`. A model may read the error texts.

    A copied or unpickled client starts with an empty cache, so a copy never contains a token.
    """

    def __init__(
        self,
        config: AuthSecConfig | None = None,
        *,
        base_url: str | None = None,
        client_id: str | None = None,
        dpop: bool | None = None,
        credential: CredentialSource | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.config = _config(config, base_url, client_id, dpop)
        clock = clock or Clock()
        self._credential = credential
        self._clock = clock
        self._proof_key = proof_key_of(self.config, clock)
        sources = (credential,) if credential else default_sources()
        self.authority = Authority(self.config, sources, clock=clock, proof_key=self._proof_key)
        self._cache = TokenCache(
            self.authority.fetch, clock=clock, margin=self.config.refresh_margin, timeout=self.config.timeout
        )

    @classmethod
    def from_env_or_exit(cls, *variables: str, dpop: bool | None = None) -> Self:
        """Build the client from the environment, or exit with status 2 if a setting is missing or wrong.

        Use this method in a script, not in a module that other programs import. On an error, stderr shows the line to
        write instead. `variables` are the names of the other variables that the script needs.
        `dpop` is the parameter of the client.
        """
        missing = [missing_variable(name) for name in variables if not environment(name)]
        try:
            client = cls(dpop=dpop)
        except ConfigError as error:
            _exit(str(error), *missing)
        if missing:
            _exit(*missing)
        return client

    def get_delegation_token(self) -> str:
        """Return a token for all delegated actions and APIs, as a string.

        Use this method in your own code. Never let a model call a function that returns the token. The client sends a
        request only for the first token and when the token is close to its expiry.
        """
        return self.get_token().value

    async def aget_delegation_token(self) -> str:
        """Return the token as `get_delegation_token` does, for coroutines, from the same cache."""
        return (await self.aget_token()).value

    def get_token(self, scope: Names = None, resource: Names = None, force_refresh: bool = False) -> DelegationToken:
        """Return a token for some actions (`scope`) or APIs (`resource`), with the authority's facts about the token.

        If the agent requests more than is delegated, the method raises `DelegationDenied`. It never returns a token
        with less than requested. `force_refresh` requests a new token even if the cache has a valid one. After a 401,
        use `invalidate` instead: then many callers with the same rejected token send only one request.
        """
        return self._cache.get(scope, resource, force_refresh=force_refresh)

    async def aget_token(
        self, scope: Names = None, resource: Names = None, force_refresh: bool = False
    ) -> DelegationToken:
        """Return a token as `get_token` does, for coroutines, from the same cache."""
        return await self._cache.aget(scope, resource, force_refresh=force_refresh)

    def headers(self, token: str | DelegationToken, method: str, url: str) -> dict[str, str]:
        """Return the headers that authorize one request with this token, for an HTTP client of your own.

        A token that is bound to a key needs new headers for each request, also for a retry. Send the headers to this
        `url` only.
        """
        value = token.value if isinstance(token, DelegationToken) else token
        if self._proof_key is None:
            return {"Authorization": HiddenText(f"Bearer {value}")}
        proof = self._proof_key.proof(method, url, access_token=value)
        return {"Authorization": HiddenText(f"DPoP {value}"), "DPoP": HiddenText(proof)}

    def invalidate(self, token: str | DelegationToken) -> None:
        """Drop this token from the cache, for example after an API's 401. The next call then requests a new token.

        A newer token in the cache stays.
        """
        self._cache.invalidate(token.value if isinstance(token, DelegationToken) else token)

    def revoke_token(self, token: str | DelegationToken) -> None:
        """Revoke this token at every API that checks revocations, for example at shutdown or after a leak.

        The client first drops the token, so the next call requests a new one. If the method returns without an error,
        the token is revoked or was already expired or revoked.
        """
        value = token.value if isinstance(token, DelegationToken) else token
        self._cache.invalidate(value)
        self.authority.revoke(value)

    async def arevoke_token(self, token: str | DelegationToken) -> None:
        """Revoke this token as `revoke_token` does, for coroutines."""
        await asyncio.to_thread(self.revoke_token, token)

    @overload
    def delegated(
        self, function: Callable[..., Result], /, *, scope: Names = None, resource: Names = None
    ) -> Callable[..., Result]: ...
    @overload
    def delegated(
        self, /, *, scope: Names = None, resource: Names = None, on_denied: Literal["raise"] = "raise"
    ) -> RaisingDecorator: ...
    @overload
    def delegated(
        self, /, *, scope: Names = None, resource: Names = None, on_denied: Literal["tell_model"]
    ) -> AnsweringDecorator[str]: ...
    @overload
    def delegated(
        self, /, *, scope: Names = None, resource: Names = None, on_denied: Callable[[str], Answer]
    ) -> AnsweringDecorator[Answer]: ...
    def delegated(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        scope: Names = None,
        resource: Names = None,
        on_denied: OnDenied = "raise",
    ) -> Any:
        """Decorate a function: pass a token as `delegation_token`, and hide this parameter from all callers.

        `@authsec.delegated` and `@authsec.delegated(scope=…)` both work. `on_denied` selects what happens after a
        denial:

        - By default the error is raised.
        - `"tell_model"` returns the denial to the model, in the framework's form.
        - A function is called with the text of the denial. Its result is returned, or raised if it is an exception.

        A tool is denied if the authority refuses the agent. It is also denied if the API answers 401 or 403, and the
        function raises the HTTP client's error. After a 401 the next call gets another token. Tokens are removed from
        results and exceptions; code that needs a token calls `get_delegation_token`. See `authsec.delegated` and
        docs/frameworks.md.
        """
        wanted = Delegated(client=self, request=TokenRequest.of(scope, resource), on_denied=on_denied)
        return wanted if function is None else wanted(function)

    def requests_auth(
        self, *, allowed_origins: str | Sequence[str], scope: Names = None, resource: Names = None
    ) -> RequestsAuth:
        """Return an `auth=` for `requests` or its `Session`: each request to an allowed origin carries a token.

        `allowed_origins` lists the APIs that may receive the token, for example `https://crm.example.com`. Scheme,
        host and port must be equal. Requests and redirects to other origins carry no token. After a 401 the request
        is sent once more with a new token, unless its body is streamed. Raises `ConfigError` for invalid origins. A
        request raises `AuthSecError` if the agent gets no token.
        """
        return RequestsAuth(bearer=self._bearer(allowed_origins, scope, resource))

    def httpx_auth(self, *, allowed_origins: str | Sequence[str], scope: Names = None, resource: Names = None) -> Any:
        """Return an `auth=` for httpx and httpx2, sync and async, with the behaviour of `requests_auth`."""
        return httpx_auth(self._bearer(allowed_origins, scope, resource))

    def mcp_auth(self, *, allowed_origins: str | Sequence[str], scope: Names = None, resource: Names = None) -> McpAuth:
        """Return an `httpx_client_factory=` for an agent's MCP client.

        If the MCP client has the parameter `http_client=` instead, call the factory: `http_client=mcp_auth(…)()`.

        Requests carry tokens as with `httpx_auth`. A denial does not end the session: `tools/call` returns a failed
        tool, and the model reads the tool's text. Tokens are removed from responses. See docs/frameworks.md.
        """
        return McpAuth(bearer=self._bearer(allowed_origins, scope, resource))

    def _bearer(self, allowed_origins: str | Sequence[str], scope: Names, resource: Names) -> Bearer:
        return Bearer(
            client=self,
            origins=named_origins(allowed_origins, self.config.allow_http_hosts),
            wanted=TokenRequest.of(scope, resource),
            clock=self._clock,
        )

    def __repr__(self) -> str:
        return f"AuthSecClient(base_url={self.config.base_url!r}, client_id={self.config.client_id!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.config, self._credential)


def _exit(*problems: str) -> NoReturn:
    """Print all problems together and exit, so that a user can fix them all in one go."""
    sys.stderr.write("\n".join(problems) + "\n")
    sys.exit(2)


def _config(
    config: AuthSecConfig | None, base_url: str | None, client_id: str | None, dpop: bool | None
) -> AuthSecConfig:
    if config is None:
        return AuthSecConfig.from_env(base_url=base_url, client_id=client_id, dpop=dpop)
    if base_url is not None or client_id is not None or dpop is not None:
        raise ConfigError(
            "Give AuthSecClient a config, or base_url, client_id and dpop, not both.", reason="config_invalid"
        )
    return config


def _restored(config: AuthSecConfig, credential: CredentialSource | None) -> AuthSecClient:
    return AuthSecClient(config, credential=credential)
