"""What the tests of this package share: the fake authority, and an environment that nothing leaks into."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from authsec import AuthSecClient


def _load(name: str) -> ModuleType:
    """Test folders are no packages, so a module that several tests share is loaded by its path."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fake_authority = _load("fake_authority")
_load("workload_tokens")
certificates = _load("certificates")


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("AUTHSEC_", "SPIFFE_", "ACTIONS_", "GITHUB_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def authority() -> Iterator[Any]:
    running = fake_authority.FakeAuthority()
    yield running
    running.close()


@pytest.fixture
def client(authority: Any) -> AuthSecClient:
    return AuthSecClient(base_url=authority.base_url, client_id=fake_authority.CLIENT_ID)


@pytest.fixture
def make_client(authority: Any) -> Callable[..., AuthSecClient]:
    """A client of the fake authority with other settings (those of AuthSecConfig), credential or clock."""
    from authsec import AuthSecConfig

    def make(*, credential: Any = None, clock: Any = None, **settings: Any) -> AuthSecClient:
        config = AuthSecConfig(**{"base_url": authority.base_url, "client_id": fake_authority.CLIENT_ID, **settings})
        return AuthSecClient(config, credential=credential, clock=clock)

    return make


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    """A certificate of authority.example."""
    made: Path = certificates.certificate(tmp_path, "authority.example")
    return made


@pytest.fixture
def secure(pem: Path) -> Iterator[Any]:
    """An authority with that certificate."""
    with certificates.authority_with(pem) as running:
        yield running


@pytest.fixture
def proxied(secure: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The secure authority as https://authority.example, by way of a proxy."""
    with fake_authority.connect_proxy(secure.port) as (address, seen):
        monkeypatch.setenv("HTTPS_PROXY", address)
        yield seen


@pytest.fixture(scope="module")
def sockets() -> Iterator[Path]:
    """A folder with a socket for each way in which the Workload API may answer."""
    with tempfile.TemporaryDirectory(prefix="authsec-spiffe-") as folder:  # short: a socket's path has 107 bytes
        command = [sys.executable, Path(__file__).with_name("workload_api_server.py"), folder]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            yield Path(folder)
            server.communicate()
