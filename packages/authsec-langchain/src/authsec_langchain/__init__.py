"""AuthSec for LangChain: tools call APIs with delegation tokens, and neither the model nor a trace gets a token.

`AuthsecMiddleware` is for agents of LangChain 1 (`create_agent`). `AuthsecCallbackHandler` is for programs
that accept only callbacks. With either, a tool gets its token from `delegation_token()` when it sends the
request.
"""

from __future__ import annotations

from authsec import AuthSecConfig as AuthsecConfig
from authsec import AuthSecError as AuthsecError

from authsec_langchain.callback import AuthsecCallbackHandler
from authsec_langchain.calls import adelegation_token, delegation_token
from authsec_langchain.client import AuthsecClient
from authsec_langchain.middleware import AuthsecMiddleware

DelegationError = AuthsecError
"""The published LangChain package raises this error if an agent gets no token. Here it is an `AuthsecError`."""

__all__ = [
    "AuthsecCallbackHandler",
    "AuthsecClient",
    "AuthsecConfig",
    "AuthsecError",
    "AuthsecMiddleware",
    "DelegationError",
    "adelegation_token",
    "delegation_token",
]
