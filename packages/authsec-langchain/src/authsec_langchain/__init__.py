"""AuthSec for LangChain: tools that call APIs with delegation tokens, which neither the model nor a trace ever holds.

`AuthsecMiddleware` is for agents of LangChain 1 (`create_agent`); `AuthsecCallbackHandler` for what takes callbacks
only. Either way a tool takes its token where it needs it, by `delegation_token()`.
"""

from __future__ import annotations

from authsec import AuthSecConfig as AuthsecConfig
from authsec import AuthSecError as AuthsecError

from authsec_langchain.callback import AuthsecCallbackHandler
from authsec_langchain.calls import adelegation_token, delegation_token
from authsec_langchain.client import AuthsecClient
from authsec_langchain.middleware import AuthsecMiddleware

DelegationError = AuthsecError
"""The published package's name for a token that could not be had; here each of those is an `AuthsecError`."""

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
