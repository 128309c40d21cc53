"""Real proxies before an API that is in no Python: each asks a real `authsec verify-server`, as deploy/ has it do."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

ROOT = Path(__file__).resolve().parents[2]
DEPLOY, EXAMPLES = ROOT / "deploy", ROOT / "examples"
AUTHSEC = Path(sys.executable).with_name("authsec")
WITH_A_CLOCK = Path(__file__).with_name("server_with_a_clock.py")
AUDIENCE = "https://crm.example.com"
READ, DELETE = "customers:read", "customers:delete"
PROGRAMS = {"nginx": "nginx", "apache": "apache2", "haproxy": "haproxy"}

# Beside what the example protects: what needs another action (in any case of letters, also under what needs less), what
# its operator forgot to say, what is open. And names with an underscore come through, which nginx by itself drops.
_NGINX = """
        underscores_in_headers on;
        location / {{
            set $authsec_require any_agent;
            include ../deploy/nginx/authsec_protect.conf;
            proxy_pass {api};
        }}
        location ~* ^/(customers/)?delete(/|$) {{
            set $authsec_require customers:delete;
            include ../deploy/nginx/authsec_protect.conf;
            proxy_pass {api};
        }}
        location /forgotten/ {{
            include ../deploy/nginx/authsec_protect.conf;
            proxy_pass {api};
        }}
        location /spaced/ {{
            set $authsec_require "customers:read customers:delete";
            include ../deploy/nginx/authsec_protect.conf;
            proxy_pass {api};
        }}
        location /cut-off/ {{
            set $authsec_require "customers:read#customers:delete";
            include ../deploy/nginx/authsec_protect.conf;
            proxy_pass {api};
        }}
        location /open/ {{
            proxy_pass {api};
        }}

        location /customers/ {{"""
_APACHE = """
ServerRoot {folder}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {folder}/pid
DefaultRuntimeDir {folder}
ErrorLog {folder}/error.log
{modules}
{user}
Include {folder}/authsec.conf
<VirtualHost *>
    <Location "/">
        SetEnvIf Request_URI ^ AUTHSEC_VERIFY=require=any_agent
        Include {folder}/authsec_protect.conf
    </Location>
    <Location "/customers/">
        SetEnvIf Request_URI ^ AUTHSEC_VERIFY=require=customers:read
    </Location>
    <LocationMatch "(?i)^/(customers/)?delete(/|$)">
        SetEnvIf Request_URI ^ AUTHSEC_VERIFY=require=customers:delete
    </LocationMatch>
    <Location "/forgotten/">
        SetEnvIf Request_URI ^ !AUTHSEC_VERIFY
    </Location>
    <Location "/open/">
        Include {folder}/authsec_open.conf
    </Location>
    ProxyPass / {api}/
</VirtualHost>
"""
_MODULES = "mpm_event alias authn_core authz_core authz_user authnz_fcgi headers macro setenvif proxy proxy_http"
_HAPROXY = """
    http-request set-var(txn.authsec) str("require=customers:delete") if { path,url_dec -m reg -i ^(/.+)?/delete }
    http-request set-var(txn.authsec) str("require=") if { path_beg /forgotten/ }
    acl is_public path_beg /open/
"""


@dataclass(kw_only=True)
class Estate:
    """A proxy of each kind before one API, the server that they ask, and the authority behind it."""

    authority: Any
    verify_server: subprocess.Popen[str]
    asked_at: str
    log: Path
    urls: Mapping[str, str] = field(default_factory=dict)
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def agent(self, name: str, *actions: str) -> tuple[str, str]:
        """A new agent's token for the API, and the id of the delegation that it rests on."""
        agent = self.authority.agent(name)
        delegation = self.authority.delegate("support", agent, *actions, audiences=[AUDIENCE])
        return self.token(agent), delegation

    def token(self, agent: Any) -> str:
        token: str = self.authority.ask(agent).json()["token"]
        return token

    def ask(self, proxy: str, path: str, *tokens: str) -> httpx2.Response:
        headers = [("Authorization", f"Bearer {token}") for token in tokens]
        return httpx2.get(f"{self.urls[proxy]}{path}", headers=headers, trust_env=False, timeout=20)

    def eventually(self, condition: Callable[[], bool]) -> float:
        """Wait until it holds; how many seconds that took."""
        return _eventually(condition)

    def health(self) -> httpx2.Response:
        return httpx2.get(f"{self.asked_at}/healthz", trust_env=False, timeout=20)


def _eventually(condition: Callable[[], bool], seconds: float = 10) -> float:
    """Wait until it holds; how long that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it did not happen"
        time.sleep(0.01)
    return time.monotonic() - began


@pytest.fixture(scope="session")
def estates(serving: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], AbstractContextManager[Estate]]:
    """Makes whole estates, of all the proxies that are installed."""
    return lambda: _estate(tmp_path_factory.mktemp("estate"), serving)


@pytest.fixture(scope="module")
def estate(estates: Any) -> Iterator[Estate]:
    """One for all tests of a module that break nothing."""
    with estates() as made:
        yield made


@pytest.fixture(params=sorted(PROGRAMS))
def proxy(request: pytest.FixtureRequest) -> str:
    """Each kind of proxy by name. Without its program a test is skipped, but not in CI, which installs it."""
    name: str = request.param
    if _program(name) is None:
        told = f"{PROGRAMS[name]} is not installed here (apt-get install {PROGRAMS[name]})"
        pytest.fail(told) if "CI" in os.environ else pytest.skip(told)
    return name


def _program(name: str) -> str | None:
    return shutil.which(PROGRAMS[name], path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")


@contextmanager
def _estate(folder: Path, serving: Any) -> Iterator[Estate]:
    with ExitStack() as stack:
        authority = stack.enter_context(serving(folder, ""))()
        authority.post("apis", name="CRM", identifier=AUDIENCE)
        authority.role("Support", READ, DELETE)
        seen: list[tuple[str, dict[str, str]]] = []
        api = stack.enter_context(_api(seen))
        log = folder / "verify-server.log"
        process = stack.enter_context(_verify_server(authority, log))
        _eventually(lambda: "It protects" in log.read_text())
        asked_at, fastcgi = re.findall(r"(?:http|fcgi)://(127\.0\.0\.1:\d+)", log.read_text())[:2]
        made = Estate(authority=authority, verify_server=process, asked_at=f"http://{asked_at}", log=log, seen=seen)
        _eventually(lambda: made.health().status_code == 200)
        starts = {"nginx": _nginx, "apache": _apache, "haproxy": _haproxy}
        made.urls = {
            name: stack.enter_context(start(folder / name, api, asked_at, fastcgi))
            for name, start in starts.items()
            if _program(name)
        }
        yield made


@contextmanager
def _verify_server(authority: Any, log: Path) -> Iterator[subprocess.Popen[str]]:
    words = ["--issuer", authority.url, "--audience", AUDIENCE, "--listen", "127.0.0.1:0", "--fastcgi", "127.0.0.1:0"]
    with log.open("w") as stderr:
        command = [sys.executable, WITH_A_CLOCK, "verify-server", *words]
        process = subprocess.Popen(command, env=authority.environment, stderr=stderr, text=True)
    with _ending(process):
        yield process


@contextmanager
def _ending(process: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(20)


@contextmanager
def _api(seen: list[tuple[str, dict[str, str]]]) -> Iterator[str]:
    """The API: notes each request, and answers with the headers that it got."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body in one piece, or the second waits for the first to be acknowledged

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            got = {name.lower(): value for name, value in self.headers.items()}
            seen.append((self.path, got))
            body = json.dumps(got).encode()
            self.send_response({"own-refusal": 403, "own-failure": 500}.get(self.path.rpartition("/")[2], 200))
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        do_POST = do_GET  # noqa: N815 - as it is called there

        def log_message(self, *_: object) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Proxies that end break their connections off."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def _nginx(folder: Path, api: str, http: str, _fastcgi: str) -> Iterator[str]:
    """The example, with the API of these tests in place of its own."""
    port = _free_port()
    _copy(DEPLOY / "nginx", folder / "deploy" / "nginx", {"127.0.0.1:8094": http})
    changes = {
        "127.0.0.1:8080": f"127.0.0.1:{port}",
        "http://127.0.0.1:8081": api,
        "127.0.0.1:8081": f"127.0.0.1:{_free_port()}",
        "\n        location /customers/ {": _NGINX.format(api=api),
        "daemon off;": "daemon off; master_process off;",
    }
    _copy(EXAMPLES, folder / "examples", changes, "protect_nginx.conf")
    with _running(["nginx", "-p", folder, "-c", folder / "examples" / "protect_nginx.conf"], port, folder) as url:
        yield url


@contextmanager
def _apache(folder: Path, api: str, http: str, fastcgi: str) -> Iterator[str]:
    _copy(DEPLOY / "apache", folder, {"127.0.0.1:8094": http, "127.0.0.1:8095": fastcgi})
    port = _free_port()
    installed = Path("/usr/lib/apache2/modules")
    modules = "\n".join(f"LoadModule {name}_module {installed}/mod_{name}.so" for name in _MODULES.split())
    user = "User www-data\nGroup www-data" if os.getuid() == 0 else ""  # it refuses to serve as root
    text = _APACHE.format(folder=folder, port=port, api=api, modules=modules, user=user)
    (folder / "httpd.conf").write_text(text)
    with _running(["apache2", "-DFOREGROUND", "-f", folder / "httpd.conf"], port, folder) as url:
        yield url


@contextmanager
def _haproxy(folder: Path, api: str, http: str, _fastcgi: str) -> Iterator[str]:
    port = _free_port()
    _copy(DEPLOY / "haproxy", folder, {
        "127.0.0.1:8094": http, ":8443": f"127.0.0.1:{port}", "127.0.0.1:8080": api.removeprefix("http://"),
        "/etc/haproxy/": f"{folder}/", "    acl is_public path /healthz\n": _HAPROXY,
    })  # fmt: skip
    with _running(["haproxy", "-db", "-f", folder / "authsec.cfg"], port, folder) as url:
        yield url


def _copy(source: Path, folder: Path, changes: Mapping[str, str], names: str = "*") -> None:
    """The files as they are shipped, but for addresses and paths."""
    folder.mkdir(parents=True)
    for file in source.glob(names):
        text = file.read_text("utf-8")
        for old, new in changes.items():
            text = text.replace(old, new)
        (folder / file.name).write_text(text)


@contextmanager
def _running(command: list[Any], port: int, folder: Path) -> Iterator[str]:
    log = folder / "stderr.log"
    environment = os.environ | {"PATH": f"{os.environ['PATH']}{os.pathsep}/usr/sbin"}
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, text=True, env=environment, cwd=folder)
    with _ending(process):
        _eventually(lambda: _listens(port) or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield f"http://127.0.0.1:{port}"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
