"""What the tests of this package share: a scripted model, the fake authority of `authsec`, and an API that echoes."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from authsec import AuthSecClient
from authsec.testing import ScriptedModel

_HERE = Path(__file__).parent


def _load(path: Path) -> ModuleType:
    """Test folders are no packages, so a module that several tests share is loaded by its path."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fake_authority = _load(_HERE.parents[1] / "authsec" / "tests" / "fake_authority.py")


@pytest.fixture(scope="session")
def autogen() -> ModuleType:
    """The classic AutoGen API. Its import takes two seconds, so only a process that runs these tests imports it."""
    module: ModuleType = pytest.importorskip("autogen", reason="the classic AutoGen API", exc_type=ImportError)
    return module


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("AUTHSEC_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def authority() -> Iterator[Any]:
    running = fake_authority.FakeAuthority()
    yield running
    running.close()


@pytest.fixture
def authsec(authority: Any) -> AuthSecClient:
    return AuthSecClient(base_url=authority.base_url, client_id=fake_authority.CLIENT_ID)


class Model(ScriptedModel):
    """As the classic API is told of one."""

    @property
    def llm_config(self) -> dict[str, Any]:
        entry = {"model": "scripted", "base_url": self.base_url, "api_key": "unused", "price": [0, 0]}
        return {"config_list": [entry], "cache_seed": None}


@pytest.fixture
def model() -> Iterator[Callable[..., Any]]:
    """Start a scripted model with what it shall say."""
    with ExitStack() as running:
        yield lambda *script: running.enter_context(Model(*script))


@pytest.fixture
def api() -> Iterator[str]:
    """An API that answers with the headers it was sent; `/refuse/<status>` refuses as RFC 6750 says."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.close_connection = True
            _, _, status = self.path.partition("/refuse/")
            body = json.dumps({"path": self.path, "headers": dict(self.headers.items())}).encode()
            self.send_response(int(status or 200))
            if status:
                self.send_header(
                    "WWW-Authenticate",
                    'Bearer realm="crm", error="insufficient_scope", scope="customers:delete", '
                    'error_description="The token lacks customers:delete."',
                )
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is called there
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()
