"""What the tests of this package share: an agent whose model says what its script says, and a real small authority."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from authsec.testing import ThrowawayAuthority, authsec_authority, deny
from authsec_langchain import AuthsecClient, AuthsecMiddleware
from langchain.agents import create_agent

from .scripted import SCOPES, ScriptedModel

__all__ = ["authsec_authority", "deny"]  # fixtures


@pytest.fixture
def client(authsec_authority: ThrowawayAuthority) -> AuthsecClient:
    return AuthsecClient()


@pytest.fixture
def make_agent(client: AuthsecClient) -> Callable[..., tuple[Any, ScriptedModel]]:
    """An agent of `tools` whose model calls each of them once, and its model."""

    def make(*tools: Any, scopes: Any = SCOPES, graph: Any = None, **how: Any) -> tuple[Any, ScriptedModel]:
        model = ScriptedModel(names=tuple(tool.name for tool in tools))
        middleware = [AuthsecMiddleware(client, scopes, **how)]
        return create_agent(model, list(tools), middleware=middleware, **(graph or {})), model

    return make
