"""`AuthsecClient`: the client of `authsec`, with the name and methods of the published LangChain package."""

from __future__ import annotations

from typing import Any, Self

from authsec import AuthSecClient, AuthSecConfig
from authsec.credentials import CredentialSource


class AuthsecClient(AuthSecClient):
    """An `AuthSecClient` with the further methods that LangChain programs expect.

    The client supports `with` and `close`, but `close` does nothing: no connection outlives a request. Tokens
    stay valid after `close`, because other code may still use them. `revoke_token` ends a token.
    """

    def get_delegation_token(self, *, force_refresh: bool = False) -> str:
        """Return a token for everything that is delegated. `force_refresh` ignores the cached token."""
        return self.get_token(force_refresh=force_refresh).value

    def close(self) -> None:
        """Do nothing. Exists for programs that close every client."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.config, self._credential)


def _restored(config: AuthSecConfig, credential: CredentialSource | None) -> AuthsecClient:
    return AuthsecClient(config, credential=credential)
