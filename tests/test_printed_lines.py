"""What the server and its commands print, pasted into another shell as it stands: it leads to the server that runs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

pytestmark = pytest.mark.sqlite_suffices

INSTALLED = Path(sys.executable).parent
TO_BEGIN = re.compile(r"to begin +(?:with this server's AUTHSEC_SERVER_… variables: )?(.+)")
CODE = "/console/set-up?code="


@pytest.fixture(autouse=True)
def _not_by_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    """These shells are elsewhere, where `uv run` has no project."""
    monkeypatch.delenv("UV_RUN_RECURSION_DEPTH", raising=False)


class Shell:
    """A shell in another folder. Of the server it knows nothing but where the program is."""

    def __init__(self, folder: Path, programs: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AUTHSEC")}
        path = os.pathsep.join([str(programs), str(INSTALLED), os.environ["PATH"]])
        self._folder, self._variables, self._authsec = folder, kept | {"PATH": path}, programs / "authsec"

    def paste(self, line: str, **variables: str) -> str:
        """Paste the line; what it prints."""
        command, told = ["/bin/sh", "-c", line], self._variables | variables
        done = subprocess.run(command, cwd=self._folder, env=told, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @contextmanager
    def started(self, data: Path, *options: str) -> Iterator[tuple[str, str]]:
        """A server that has nothing from its environment: its issuer, and the line to begin with."""
        command = [self._authsec, "serve", "--port", "0", "--data", str(data), *options]
        variables = self._variables | {"AUTHSEC_SERVER_DRAIN_SECONDS": "0"}
        with subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            try:
                said = ""
                while not (line := TO_BEGIN.search(said)):
                    said += (more := process.stderr.readline())
                    assert more, said
                issuer = re.search(r"issuer +(\S+)", said)
                assert issuer is not None
                yield issuer[1], line[1]
            finally:
                process.terminate()


@pytest.fixture(params=["ready", pytest.param("installed", marks=pytest.mark.soak)])
def shell(request: pytest.FixtureRequest, tmp_path: Path, programs: Path) -> Shell:
    """Elsewhere, where no data is found by chance."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return Shell(folder, programs if request.param == "ready" else INSTALLED)


def test_the_first_line_leads_into_the_console(serve: Any, shell: Shell) -> None:
    its = serve()
    line = TO_BEGIN.search(its.log.read_text())
    assert line is not None
    its_own = {name: value for name, value in its.environment.items() if name.startswith("AUTHSEC_SERVER")}
    named = shlex.quote(its.where[-1])  # the URL of a database may hold a password: it is not in the log
    url = shell.paste(line[1].replace("--database URL", f"--database {named}"), **its_own)
    assert url.startswith(its.url + CODE)
    assert "You become the first administrator" in its.http.get(url).text


@pytest.mark.soak
def test_nothing_but_the_data_need_be_named(tmp_path: Path, shell: Shell) -> None:
    """In any shell, in any folder; also where a folder has a space in its name."""
    data = tmp_path / "our data"
    with shell.started(data) as (issuer, line):
        assert shlex.split(line) == ["authsec", "admin", "setup-url", "--data", str(data)]
        url = shell.paste(line)
        assert url.startswith(issuer + CODE)
        assert httpx2.get(url, trust_env=False).is_success
        # Of another authority, to which other lines in this shell may be about.
        assert shell.paste(line, AUTHSEC_SERVER_DATABASE="postgresql://127.0.0.1:1/other").startswith(issuer)


@pytest.mark.soak
def test_after_another_start_addresses_are_the_new_ones(serve: Any) -> None:
    first = serve()
    first.stop()
    second = serve()
    assert second.url != first.url
    assert second.cli("admin", "setup-url").startswith(second.url + CODE)


@pytest.mark.soak
def test_the_url_that_the_server_was_told_is_known_to_other_shells(tmp_path: Path, shell: Shell) -> None:
    with shell.started(tmp_path / "data", "--public-url", "https://authsec.example.com") as (issuer, line):
        assert issuer == "https://authsec.example.com"
        assert shell.paste(line).startswith(issuer + CODE)
        other = "https://other.example.com"
        assert shell.paste(line, AUTHSEC_SERVER_PUBLIC_URL=other).startswith(other + CODE)
        assert shell.paste(f"{line} --public-url {other}").startswith(other + CODE)


def test_what_onboarding_says_next_works(tmp_path: Path, shell: Shell) -> None:
    data = ["--data", str(tmp_path / "data")]
    with shell.started(tmp_path / "data") as (issuer, _):
        shell.paste(shlex.join(["authsec", "roles", "create", "Support", "--action", "customers:read", *data]))
        onboard = ["authsec", "agents", "create", "Helper", "--platform", "unattested", *data]
        lines = shell.paste(shlex.join(onboard)).splitlines()
        exports = [line for line in lines if line.startswith("  export ")]
        assert f'  export AUTHSEC_BASE_URL="{issuer}"' in exports
        (delegate,) = (line for line in lines if "delegations create" in line)
        shell.paste(delegate.replace("ROLE", "support").replace("ACTION", "customers:read"))
        assert "All is well" in shell.paste("\n".join([*exports, "authsec smoke"]))
