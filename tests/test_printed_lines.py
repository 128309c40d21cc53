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

AUTHSEC = Path(sys.executable).with_name("authsec")
TO_BEGIN = re.compile(r"to begin +(?:with this server's AUTHSEC_SERVER_… variables: )?(.+)")
CODE = "/console/set-up?code="


@pytest.fixture(autouse=True)
def _not_by_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    """These shells are elsewhere, where `uv run` has no project."""
    monkeypatch.delenv("UV_RUN_RECURSION_DEPTH", raising=False)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder in which no data is found by chance."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


def bare() -> dict[str, str]:
    """The variables of a shell that knows nothing of the server but where the program is."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AUTHSEC")}
    return kept | {"PATH": f"{AUTHSEC.parent}{os.pathsep}{os.environ['PATH']}"}


def paste(line: str, folder: Path, **variables: str) -> str:
    """Paste the line into a shell in that folder; what it prints."""
    command = ["/bin/sh", "-c", line]
    shell = subprocess.run(command, cwd=folder, env=bare() | variables, capture_output=True, text=True, timeout=60)
    assert shell.returncode == 0, shell.stderr
    return shell.stdout.strip()


@contextmanager
def started(data: Path, *options: str) -> Iterator[tuple[str, str]]:
    """A server that has nothing from its environment: its issuer, and the line to begin with."""
    command = [AUTHSEC, "serve", "--port", "0", "--data", str(data), *options]
    with subprocess.Popen(command, env=bare(), stderr=subprocess.PIPE, text=True) as process:
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


def test_the_first_line_leads_into_the_console(serve: Any, elsewhere: Path) -> None:
    its = serve()
    line = TO_BEGIN.search(its.log.read_text())
    assert line is not None
    its_own = {name: value for name, value in its.environment.items() if name.startswith("AUTHSEC_SERVER")}
    named = shlex.quote(its.where[-1])  # the URL of a database may hold a password: it is not in the log
    url = paste(line[1].replace("--database URL", f"--database {named}"), elsewhere, **its_own)
    assert url.startswith(its.url + CODE)
    assert "You become the first administrator" in its.http.get(url).text


def test_nothing_but_the_data_need_be_named(tmp_path: Path, elsewhere: Path) -> None:
    """In any shell, in any folder; also where a folder has a space in its name."""
    data = tmp_path / "our data"
    with started(data) as (issuer, line):
        assert shlex.split(line) == ["authsec", "admin", "setup-url", "--data", str(data)]
        url = paste(line, elsewhere)
        assert url.startswith(issuer + CODE)
        assert httpx2.get(url, trust_env=False).is_success
        # Of another authority, to which other lines in this shell may be about.
        assert paste(line, elsewhere, AUTHSEC_SERVER_DATABASE="postgresql://127.0.0.1:1/other").startswith(issuer)


def test_after_another_start_addresses_are_the_new_ones(serve: Any) -> None:
    first = serve()
    first.stop()
    second = serve()
    assert second.url != first.url
    assert second.cli("admin", "setup-url").startswith(second.url + CODE)


def test_the_url_that_the_server_was_told_is_known_to_other_shells(tmp_path: Path, elsewhere: Path) -> None:
    with started(tmp_path / "data", "--public-url", "https://authsec.example.com") as (issuer, line):
        assert issuer == "https://authsec.example.com"
        assert paste(line, elsewhere).startswith(issuer + CODE)
        other = "https://other.example.com"
        assert paste(line, elsewhere, AUTHSEC_SERVER_PUBLIC_URL=other).startswith(other + CODE)
        assert paste(f"{line} --public-url {other}", elsewhere).startswith(other + CODE)


def test_what_onboarding_says_next_works(tmp_path: Path, elsewhere: Path) -> None:
    data = ["--data", str(tmp_path / "data")]
    with started(tmp_path / "data") as (issuer, _):
        paste(shlex.join(["authsec", "roles", "create", "Support", "--action", "customers:read", *data]), elsewhere)
        onboard = ["authsec", "agents", "create", "Helper", "--platform", "unattested", *data]
        lines = paste(shlex.join(onboard), elsewhere).splitlines()
        exports = [line for line in lines if line.startswith("  export ")]
        assert f'  export AUTHSEC_BASE_URL="{issuer}"' in exports
        (delegate,) = (line for line in lines if "delegations create" in line)
        paste(delegate.replace("ROLE", "support").replace("ACTION", "customers:read"), elsewhere)
        assert "All is well" in paste("\n".join([*exports, "authsec smoke"]), elsewhere)
