"""The pytest fixtures: one throwaway authority per test, and some of its methods as functions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Final

import pytest

from authsec.testing.authority import ThrowawayAuthority
from authsec.testing.scripted_model import ScriptedModel

# Variables with these prefixes may configure real agents and APIs, so tests remove them.
_OF_OTHERS: Final = ("AUTHSEC_", "ACTIONS_ID_TOKEN_", "SPIFFE_")


@pytest.fixture
def authsec_authority(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThrowawayAuthority]:
    """Start a throwaway authority for this test, and set the environment variables so that agents use it."""
    for name in [name for name in os.environ if name.startswith(_OF_OTHERS)]:
        monkeypatch.delenv(name)
    with ThrowawayAuthority() as authority:
        for name, value in authority.environment.items():
            monkeypatch.setenv(name, value)
        yield authority


@pytest.fixture
def issue_token(authsec_authority: ThrowawayAuthority) -> Callable[..., str]:
    """Return a function: `issue_token(permissions=["customers:read"])` issues a token of the test's authority."""
    return authsec_authority.issue_token


@pytest.fixture
def revoke(authsec_authority: ThrowawayAuthority) -> Callable[..., None]:
    """Return a function: `revoke(token)` revokes a token of the test's authority."""
    return authsec_authority.revoke


@pytest.fixture
def deny(authsec_authority: ThrowawayAuthority) -> Callable[..., None]:
    """Return a function: `deny("client_disabled")` makes the test's authority refuse every token request."""
    return authsec_authority.deny


@pytest.fixture
def scripted_model(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ScriptedModel]]:
    """Return a function: `scripted_model(call("fetch", id="42"), say("Done."))` starts a model with this script.

    The environment variable `OPENAI_BASE_URL` then contains the model's address.
    """
    with ExitStack() as running:

        def start(*script: dict[str, Any]) -> ScriptedModel:
            model = running.enter_context(ScriptedModel(*script))
            monkeypatch.setenv("OPENAI_BASE_URL", model.base_url)
            monkeypatch.setenv("OPENAI_API_KEY", "unused")
            return model

        yield start
