"""The wheels of this checkout, an authority that is installed from them, and what its console shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import httpx2
import pytest
from pages import Page, get

from ..environments import do_without, variables

ROOT = Path(__file__).resolve().parents[2]
UV = os.environ.get("UV") or shutil.which("uv") or "uv"
PASSWORD = "correct horse battery staple"
BIN = "Scripts" if os.name == "nt" else "bin"


def run(*command: str | Path, cwd: Path, seconds: float = 300, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a program that sees nothing of this checkout."""
    environment = variables() | more
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=seconds, check=False
    )


@dataclass(frozen=True)
class Wheels:
    """A folder with the wheels of all packages."""

    folder: Path

    def of(self, package: str) -> Path:
        """The wheel of a package, by its name in file names."""
        (found,) = self.folder.glob(f"{package}-[0-9]*.whl")
        return found


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Wheels:
    """What docs/install.md builds. Without a package index the tests are skipped, and say so; in CI they fail."""
    folder = tmp_path_factory.mktemp("wheels")
    done = run(UV, "build", "--all-packages", "--force-pep517", "--out-dir", folder, cwd=ROOT)
    assert "build_backend" not in done.stderr, done.stderr  # ours failed, and no index
    if done.returncode:
        do_without(done.stderr)
    return Wheels(folder)


def installed(folder: Path, *packages: Path) -> Path:
    """A virtual environment with these packages, made by pip: the folder of its programs."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    done = run(folder / BIN / "python", "-m", "pip", "install", "--quiet", *packages, cwd=folder)
    if done.returncode:
        do_without(done.stderr)
    return folder / BIN


class Authority:
    """A server in an empty folder, and the browser of its first administrator."""

    def __init__(self, program: Sequence[str | Path], folder: Path) -> None:
        self.program, self.folder = program, folder
        self._log = folder / "serve.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*program, "serve", "--port", "0"], cwd=folder, env=variables(), stdout=log, stderr=log
            )
        self.url = self._address()
        self.http = httpx2.Client(base_url=self.url, trust_env=False, timeout=30)

    def authsec(self, *words: str) -> str:
        """Run a command on the server's machine; what it prints."""
        done = run(*self.program, *words, cwd=self.folder)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def sign_in(self) -> None:
        """Become the first administrator."""
        (link,) = re.findall(r"http://\S+/console/set-up\?code=\S+", self.authsec("admin", "setup-url"))
        form = self.page(link.removeprefix(self.url)).form()
        assert form.send(name="Ada", email="ada@example.com", password=PASSWORD, again=PASSWORD).status == 303

    def page(self, path: str) -> Page:
        """A page of the console."""
        return get(self.http, path)  # type: ignore[arg-type]

    def codes(self, path: str) -> list[str]:
        """The blocks of code on a page of the console, as they are copied."""
        html = self.page(path).html
        return [unescape(part.partition("</code>")[0]) for part in html.split('<pre tabindex="0"><code>')[1:]]

    def end(self) -> None:
        """End the server, however far it got."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(30)
        self._process.kill()
        self._process.wait()

    def _address(self) -> str:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self._process.poll() is None:
            if found := re.search(r"issuer +(http://\S+)", self._log.read_text("utf-8")):
                with suppress(httpx2.HTTPError):
                    if httpx2.get(f"{found[1]}/readyz", trust_env=False).status_code == 200:
                        return found[1]
            time.sleep(0.1)
        self.end()
        raise AssertionError(self._log.read_text("utf-8"))


@pytest.fixture(scope="session")
def authority(wheels: Wheels, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    """An authority that pip has installed from two wheels."""
    folder = tmp_path_factory.mktemp("authority")
    programs = installed(folder / "venv", wheels.of("authsec"), wheels.of("authsec_server"))
    started = Authority([programs / "authsec"], folder)
    try:
        started.sign_in()
        yield started
    finally:
        started.http.close()
        started.end()
