"""One framework (`--framework`), a scripted model, a throwaway authority, a protected MCP server."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from types import ModuleType

import pytest
from authsec import AuthSecClient
from authsec.testing import ThrowawayAuthority
from crm_server import AUDIENCE, CrmServer, crm_server

pytest_plugins = ["authsec.testing"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--framework", required=True)


@pytest.fixture
def framework(request: pytest.FixtureRequest) -> ModuleType:
    """The module that drives it."""
    return importlib.import_module(f"driving_{request.config.getoption('--framework')}")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("AUTHSEC_", "OPENAI_", "LANG")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def authsec(authsec_authority: ThrowawayAuthority) -> AuthSecClient:
    authsec_authority.delegate("customers:read")
    return authsec_authority.client()


@pytest.fixture
def crm(authsec_authority: ThrowawayAuthority) -> Iterator[CrmServer]:
    with crm_server(authsec_authority.verifier(AUDIENCE)) as running:
        yield running
