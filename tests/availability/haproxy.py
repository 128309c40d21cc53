"""haproxy before two servers of the authority, with the file of deploy changed in addresses only."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from free_ports import free_port

SHIPPED = Path(__file__).resolve().parents[2] / "deploy" / "haproxy.cfg"
_SYSTEM = f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin"
_TLS = "bind :443 ssl crt /etc/haproxy/authsec.pem"
STARTING = 20.0  # seconds


def program(name: str, package: str) -> str:
    """The path of a program of the system. Without the program, the test is skipped, and fails in CI."""
    if path := shutil.which(name, path=_SYSTEM):
        return path
    told = f"{name} is not installed here (apt-get install {package})"
    if "CI" in os.environ:
        pytest.fail(told)
    pytest.skip(told)


def configuration(port: int, servers: Sequence[int], certificate: Path | None = None) -> str:
    """The shipped file for these ports. With a certificate, haproxy ends TLS."""
    bind = f"bind 127.0.0.1:{port}"
    tls = f"{bind} ssl crt {certificate}" if certificate else f"{bind} #"
    changes = {_TLS: tls} | {f"10.0.0.{11 + n}:7468": f"127.0.0.1:{each}" for n, each in enumerate(servers)}
    text = SHIPPED.read_text("utf-8")
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@contextmanager
def haproxy(folder: Path, servers: Sequence[int], certificate: Path | None = None, port: int = 0) -> Iterator[int]:
    """A running haproxy before the servers at these ports, which need not run yet; the port of haproxy."""
    path, port = program("haproxy", "haproxy"), port or free_port()
    file, log = folder / "haproxy.cfg", folder / "haproxy.log"
    file.write_text(configuration(port, servers, certificate))
    with log.open("w") as output:
        process = subprocess.Popen([path, "-db", "-f", file], stdout=output, stderr=output, cwd=folder)
    try:
        _await(process, port, log)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until haproxy listens, with a server or without."""
    deadline = time.monotonic() + STARTING
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, f"haproxy does not listen:\n{log.read_text()}"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
