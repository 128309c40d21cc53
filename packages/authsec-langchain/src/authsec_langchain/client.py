"""`AuthsecClient`: the client of `authsec` under the name, and with the habits, of the published LangChain package."""

from __future__ import annotations

from typing import Any, Self

from authsec import AuthSecClient, AuthSecConfig
from authsec.credentials import CredentialSource


class AuthsecClient(AuthSecClient):
    """Delegation tokens for one agent: all that `AuthSecClient` is, and what programs for LangChain expect besides.

    It can stand in a `with` and be closed. There is nothing to close, as no connection outlives a request: a token that
    others still use stays good, and `revoke_token` is what ends one.
    """

    def get_delegation_token(self, *, force_refresh: bool = False) -> str:
        """The token for all that is delegated, as a string; `force_refresh` asks although there is a living one."""
        return self.get_token(force_refresh=force_refresh).value

    def close(self) -> None:
        """For programs that close what they open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.config, self._credential)


def _restored(config: AuthSecConfig, credential: CredentialSource | None) -> AuthsecClient:
    return AuthsecClient(config, credential=credential)
