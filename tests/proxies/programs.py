"""How each proxy is started: with its files of deploy, changed in addresses only, and with a site for the tests."""

from __future__ import annotations

import http
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from free_ports import free_port

from ..environments import python_with

HERE, ROOT = Path(__file__).parent, Path(__file__).resolve().parents[2]
DEPLOY, EXAMPLES = ROOT / "deploy", ROOT / "examples"
PACKAGES = HERE / "packages.txt"
_APACHE_MODULES = Path("/usr/lib/apache2/modules")
_SYSTEM = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where the API and the two doors of verify-server are, as host:port."""

    api: str
    http: str
    fastcgi: str

    @property
    def shipped(self) -> dict[str, str]:
        """What takes the place of the addresses in deploy."""
        return {"127.0.0.1:8094": self.http, "127.0.0.1:8095": self.fastcgi, "127.0.0.1:8080": self.api}


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A proxy's program: from the system, or from the environment of packages.txt."""

    title: str
    command: str
    configure: Callable[[Path, int, Addresses], list[Any]]
    how_to_install: str
    inside: str = ""  # where it is in the environment of its package
    version_words: tuple[str, ...] = ("-v",)

    def path(self) -> str | None:
        """Where it is; None if it is not installed."""
        if not self.inside:
            return shutil.which(self.command, path=_SYSTEM)
        packages = _packages()
        return next(map(str, packages.glob(self.inside)), None) if packages else None

    def version(self) -> str:
        path = self.path()
        assert path is not None
        done = subprocess.run([path, *self.version_words], capture_output=True, text=True, check=True)
        (version, *_) = re.findall(r"\d+\.\d+\.\d+", done.stdout + done.stderr)
        return str(version)


@contextmanager
def running(installed: Mapping[str, str], folder: Path, addresses: Addresses) -> Iterator[dict[str, str]]:
    """Start these proxies side by side; the URL of each."""
    with ExitStack() as stack:
        started = {}
        for name, path in installed.items():
            started[name] = process, _ = _start(name, path, folder / name, addresses)
            stack.callback(_end, process)
        for name, (process, port) in started.items():
            _await(process, port, folder / name / "stderr.log")
        yield {name: f"http://127.0.0.1:{port}" for name, (_, port) in started.items()}


def _start(name: str, path: str, folder: Path, addresses: Addresses) -> tuple[subprocess.Popen[str], int]:
    port = free_port()
    folder.mkdir()
    words = PROGRAMS[name].configure(folder, port, addresses)
    environment = os.environ | {"PATH": _SYSTEM, "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with (folder / "stderr.log").open("w") as output:
        command = [path, *words]
        process = subprocess.Popen(command, stdout=output, stderr=output, text=True, env=environment, cwd=folder)
    return process, port


def _await(process: subprocess.Popen[str], port: int, log: Path) -> None:
    deadline = time.monotonic() + 30
    while not _listens(port):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, f"it does not listen on {port}:\n{log.read_text()}"
        time.sleep(0.02)
    assert process.poll() is None, log.read_text()  # another program has the port
    while _has_no_routes(port) and time.monotonic() < deadline:
        time.sleep(0.02)


def _has_no_routes(port: int) -> bool:
    """Traefik listens before it has read its routes, and answers 404 until then."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/customers/42")
        return connection.getresponse().status == http.HTTPStatus.NOT_FOUND
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:  # Traefik waits for connections that a test has left open
        process.kill()
        process.wait(20)


def _nginx(folder: Path, port: int, addresses: Addresses) -> list[Any]:
    """The example, with the API of these tests in place of its own."""
    site = _site("nginx.conf", API=addresses.api)
    _copy(DEPLOY / "nginx", folder / "deploy" / "nginx", addresses.shipped)
    changes = {
        "127.0.0.1:8080": f"127.0.0.1:{port}",
        "http://127.0.0.1:8081": f"http://{addresses.api}",
        "127.0.0.1:8081": f"127.0.0.1:{free_port()}",
        "\n        location /customers/ {": f"{site}\n        location /customers/ {{",
        "daemon off;": "daemon off; master_process off;",
    }
    _copy(EXAMPLES, folder / "examples", changes, "protect_nginx.conf")
    return ["-p", folder, "-c", folder / "examples" / "protect_nginx.conf"]


def _apache(folder: Path, port: int, addresses: Addresses) -> list[Any]:
    _copy(DEPLOY / "apache", folder, addresses.shipped)
    user = "User www-data\nGroup www-data" if os.getuid() == 0 else ""  # it refuses to serve as root
    places = {"FOLDER": folder, "PORT": port, "API": addresses.api, "USER": user, "MODULES": _APACHE_MODULES}
    (folder / "httpd.conf").write_text(_site("apache.conf", **places))
    return ["-DFOREGROUND", "-f", folder / "httpd.conf"]


def _haproxy(folder: Path, port: int, addresses: Addresses) -> list[Any]:
    changes = {":8443": f"127.0.0.1:{port}", "/etc/haproxy/": f"{folder}/"}
    rules = {"    acl is_public path /healthz\n": _site("haproxy.cfg")}
    _copy(DEPLOY / "haproxy", folder, addresses.shipped | changes | rules)
    return ["-db", "-f", folder / "authsec.cfg"]


def _envoy(folder: Path, port: int, addresses: Addresses) -> list[Any]:
    """The shipped file with more routes; each asks as the shipped one for customers does."""
    ports = {
        f"port_value: {old.rpartition(':')[2]}": f"port_value: {new.rpartition(':')[2]}"
        for old, new in addresses.shipped.items()
    }
    # Envoy would keep a connection open for a second after an error, for callers that read slowly.
    at_once = {"stat_prefix: api\n": f"stat_prefix: api\n{' ' * 16}delayed_close_timeout: 0s\n"}
    listening = {"port_value: 8443": f"port_value: {port}", "0.0.0.0": "127.0.0.1"} | at_once
    first, last = "                        # All of several:", "                        # The rest is not let through."
    routes = {first: f"{_site('envoy_first.yaml')}{first}", last: f"{_site('envoy_last.yaml')}{last}"}
    _copy(DEPLOY / "envoy", folder, addresses.shipped | ports | listening | routes)
    return ["-c", folder / "envoy.yaml", "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warn"]


def _traefik(folder: Path, port: int, addresses: Addresses) -> list[Any]:
    _copy(DEPLOY / "traefik", folder, addresses.shipped)
    shipped = yaml.safe_load((folder / "authsec.yml").read_text())
    ours = yaml.safe_load(_site("traefik.yml", HTTP=addresses.http))
    for kind in ("middlewares", "routers"):
        shipped["http"][kind] |= ours["http"][kind]
    (folder / "dynamic.yml").write_text(yaml.safe_dump(shipped))
    static = [f"--entryPoints.web.address=127.0.0.1:{port}", f"--providers.file.filename={folder / 'dynamic.yml'}"]
    return [*static, "--global.checkNewVersion=false", "--global.sendAnonymousUsage=false"]


def _caddy(folder: Path, port: int, addresses: Addresses) -> list[Any]:
    _copy(DEPLOY / "caddy", folder, addresses.shipped)
    (folder / "Caddyfile").write_text(_site("Caddyfile", FOLDER=folder, PORT=port, API=addresses.api))
    return ["run", "--config", folder / "Caddyfile", "--adapter", "caddyfile"]


_PACKAGE = "see CONTRIBUTING.md: a package index has to be reachable"
PROGRAMS = {
    "apache": Program(
        title="Apache", command="apache2", configure=_apache, how_to_install="apt-get install apache2-bin"
    ),
    "caddy": Program(
        title="Caddy", command="caddy", configure=_caddy, how_to_install=_PACKAGE, inside="bin/caddy",
        version_words=("version",),
    ),
    "envoy": Program(
        title="Envoy", command="envoy", configure=_envoy, how_to_install=_PACKAGE,
        # Its script in bin names the folder in which the environment was built.
        inside="lib/python*/site-packages/envoy/_bin/envoy",
        version_words=("--version",),
    ),
    "haproxy": Program(
        title="haproxy", command="haproxy", configure=_haproxy, how_to_install="apt-get install haproxy"
    ),
    "nginx": Program(title="nginx", command="nginx", configure=_nginx, how_to_install="apt-get install nginx"),
    "traefik": Program(
        title="Traefik", command="traefik", configure=_traefik, how_to_install=_PACKAGE, inside="bin/traefik",
        version_words=("version",),
    ),
}  # fmt: skip


@cache
def _packages() -> Path | None:
    """The environment of the programs that come as packages; None without a package index."""
    try:
        return python_with(PACKAGES).parents[1]
    except (pytest.skip.Exception, pytest.fail.Exception):
        return None


def _site(name: str, **places: object) -> str:
    """A file of sites/, with a value for each @NAME@."""
    text = (HERE / "sites" / name).read_text("utf-8")
    for place, value in places.items():
        text = text.replace(f"@{place}@", str(value))
    return text


def _copy(source: Path, folder: Path, changes: Mapping[str, str], names: str = "*") -> None:
    """The files as they are shipped, but for addresses and paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in source.glob(names):
        text = file.read_text("utf-8")
        for old, new in changes.items():
            text = text.replace(old, new)
        (folder / file.name).write_text(text)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
