"""The agent's side: `AuthSecClient` gives delegation tokens, from its cache whenever it can."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal, NoReturn, Self, overload

from authsec.authority import Authority
from authsec.cache import TokenCache
from authsec.clock import Clock
from authsec.config import AuthSecConfig, environment, missing_variable
from authsec.credentials import CredentialSource, default_sources
from authsec.delegated import Answer, AnsweringDecorator, Delegated, OnDenied, RaisingDecorator, Result
from authsec.errors import ConfigError
from authsec.mcp_client import McpAuth
from authsec.outgoing.bearer import Bearer, named_origins
from authsec.outgoing.httpx_auth import httpx_auth
from authsec.outgoing.requests_auth import RequestsAuth
from authsec.tokens import DelegationToken, TokenRequest

Names = str | Sequence[str] | None


class AuthSecClient:
    """Delegation tokens for one agent. Make one and share it: any thread, any event loop, forked workers.

    `AuthSecClient(AuthSecConfig(…))`, `AuthSecClient(base_url=…, client_id=…)`, or `AuthSecClient()` with both from
    the environment. `credential` says how the agent proves itself, instead of the places that are looked at by
    themselves (see `authsec.credentials`).

    All methods that ask for a token raise `AuthSecError`: `ConfigError` (nothing was sent), `TransportError`,
    `InvalidResponse`, or `TokenRequestError` with the authority's `reason`. The texts are safe to show to a model.

    A copied or unpickled client starts with an empty cache, so a token never travels with one.
    """

    def __init__(
        self,
        config: AuthSecConfig | None = None,
        *,
        base_url: str | None = None,
        client_id: str | None = None,
        credential: CredentialSource | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.config = _config(config, base_url, client_id)
        clock = clock or Clock()
        self._credential = credential
        self._clock = clock
        self.authority = Authority(self.config, (credential,) if credential else default_sources(), clock=clock)
        self._cache = TokenCache(
            self.authority.fetch, clock=clock, margin=self.config.refresh_margin, timeout=self.config.timeout
        )

    @classmethod
    def from_env_or_exit(cls, *variables: str) -> Self:
        """The client that the environment describes, for a script; not for a module that other programs import.

        Where a setting is missing or wrong, the script ends with status 2, and stderr shows the line to write instead.
        `variables` name what else the script reads from the environment.
        """
        missing = [missing_variable(name) for name in variables if not environment(name)]
        try:
            client = cls()
        except ConfigError as error:
            _exit(str(error), *missing)
        if missing:
            _exit(*missing)
        return client

    def get_delegation_token(self) -> str:
        """The token for all that is delegated, as a string, for your own code; no model is to call what returns it.

        Uses the network only at first and near its end.
        """
        return self.get_token().value

    async def aget_delegation_token(self) -> str:
        """The same for coroutines, from the same cache."""
        return (await self.aget_token()).value

    def get_token(self, scope: Names = None, resource: Names = None, force_refresh: bool = False) -> DelegationToken:
        """A token for some actions (`scope`) or APIs (`resource`), with what the authority says about it.

        Asking for more than is delegated raises `DelegationDenied`; a token is never silently smaller than asked.
        `force_refresh` asks the authority even if there is a living token. After a 401 use `invalidate` instead:
        it makes many callers with the same rejected token ask once.
        """
        return self._cache.get(TokenRequest.of(scope, resource), force_refresh=force_refresh)

    async def aget_token(
        self, scope: Names = None, resource: Names = None, force_refresh: bool = False
    ) -> DelegationToken:
        """`get_token` for coroutines, from the same cache."""
        return await self._cache.aget(TokenRequest.of(scope, resource), force_refresh=force_refresh)

    def invalidate(self, token: str | DelegationToken) -> None:
        """Forget exactly this token, for example after an API answered 401 to it; the next call asks for a new one."""
        self._cache.invalidate(token.value if isinstance(token, DelegationToken) else token)

    def revoke_token(self, token: str | DelegationToken) -> None:
        """End this token at every API that follows revocations: the agent shuts down, say, or has leaked it.

        It is forgotten here first, so the next call asks for a new one. No error: it has ended, or had before.
        """
        value = token.value if isinstance(token, DelegationToken) else token
        self._cache.invalidate(value)
        self.authority.revoke(value)

    async def arevoke_token(self, token: str | DelegationToken) -> None:
        """`revoke_token` for coroutines."""
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
        """Decorator that fills a function's parameter `delegation_token`, hidden from everyone who calls it.

        `@authsec.delegated` and `@authsec.delegated(scope=…)` both work. A denied tool raises, or with
        `on_denied="tell_model"` tells the model in the framework's way, or with `on_denied=function` returns
        `function(text)`; an exception that this returns is raised. A tool is denied where the authority decides against
        the agent, or where the API answers 401 or 403 and the function lets its HTTP client raise that. After a 401 the
        next call has another token. Tokens are withheld from results and exceptions; code that wants a token calls
        `get_delegation_token`. See `authsec.delegated` and docs/frameworks.md.
        """
        wanted = Delegated(client=self, request=TokenRequest.of(scope, resource), on_denied=on_denied)
        return wanted if function is None else wanted(function)

    def requests_auth(
        self, *, allowed_origins: str | Sequence[str], scope: Names = None, resource: Names = None
    ) -> RequestsAuth:
        """For `auth=` of `requests`, or of its `Session`: each request to one of these origins carries a token.

        `allowed_origins` are the APIs that may see it, as `https://crm.example.com`: scheme, host and port are compared
        exactly. Requests to others are sent without a token, and no redirect takes it there. After a 401 the token is
        replaced and the request sent once more, unless its body is streamed. Raises `ConfigError`; requests raise
        `AuthSecError` where no token can be had.
        """
        return RequestsAuth(bearer=self._bearer(allowed_origins, scope, resource))

    def httpx_auth(self, *, allowed_origins: str | Sequence[str], scope: Names = None, resource: Names = None) -> Any:
        """The same for `auth=` of httpx and httpx2, their async clients included."""
        return httpx_auth(self._bearer(allowed_origins, scope, resource))

    def mcp_auth(self, *, allowed_origins: str | Sequence[str], scope: Names = None, resource: Names = None) -> McpAuth:
        """For `httpx_client_factory=` of an agent's MCP client; for its `http_client=` call it: `mcp_auth(…)()`.

        Requests get tokens as with `httpx_auth`. A denial does not end the session: `tools/call` returns a failed tool,
        whose text the model reads. Tokens are withheld from responses. See docs/frameworks.md.
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
    """Tell all problems at once, so that a user who mends one is not told of the next."""
    sys.stderr.write("\n".join(problems) + "\n")
    sys.exit(2)


def _config(config: AuthSecConfig | None, base_url: str | None, client_id: str | None) -> AuthSecConfig:
    if config is None:
        return AuthSecConfig.from_env(base_url=base_url, client_id=client_id)
    if base_url is not None or client_id is not None:
        raise ConfigError("Give AuthSecClient a config, or base_url and client_id, not both.", reason="config_invalid")
    return config


def _restored(config: AuthSecConfig, credential: CredentialSource | None) -> AuthSecClient:
    return AuthSecClient(config, credential=credential)
