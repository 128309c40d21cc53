"""The walk-through of the docs at the command line, and the short path of the README: their own blocks."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
WALK_THROUGH = (ROOT / "docs/walk-through.md").read_text("utf-8")
AUTHORITY, DEMO_API = "http://127.0.0.1:7468", "http://127.0.0.1:7469"
A_WHILE = 120


def block(beginning: str, page: str = WALK_THROUGH) -> str:
    """The one shell block of the page that begins so."""
    blocks = re.findall(r"^```bash\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (found,) = (lines for lines in blocks if lines.startswith(beginning))
    return found


def exports(lines: str) -> list[str]:
    """The lines that set variables, as a shell reads them."""
    return [
        " ".join(shlex.split(line, comments=True)) for line in lines.splitlines() if line.strip().startswith("export ")
    ]


class Clone:
    """A reader's clone, in which `uv run` finds the programs of a folder."""

    def __init__(self, folder: Path, programs: Path) -> None:
        beside = folder / "beside"
        beside.mkdir()
        uv = beside / "uv"
        uv.write_text('#!/bin/sh\ntest "$1" = run && shift && UV_RUN_RECURSION_DEPTH=1 exec "$@"\n', "utf-8")
        uv.chmod(0o755)
        (folder / "examples").symlink_to(ROOT / "examples")
        foreign = ("AUTHSEC", "OPENAI", "UV_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        path = os.pathsep.join([str(beside), str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
        self._folder, self._environment = (
            folder,
            {
                **kept,
                "PATH": path,
                "NO_PROXY": "127.0.0.1",
                "PYTHONUNBUFFERED": "1",
                "AUTHSEC_SERVER_DRAIN_SECONDS": "0",  # no test waits for a server to end
            },
        )

    def paste(self, lines: str, *, status: int = 0) -> str:
        """Paste the lines into a shell; all that they print. They must end with `status`."""
        done = subprocess.run(
            ["bash", "-e", "-c", lines],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=A_WHILE,
            check=False,
        )
        assert done.returncode == status, done.stdout
        return done.stdout

    @contextmanager
    def started(self, line: str, until: str) -> Iterator[str]:
        """A terminal in which the line is left running; what it printed up to the pattern `until`."""
        with subprocess.Popen(
            ["bash", "-c", f"exec {line} 2>&1"],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            try:
                printed = ""
                while not re.search(until, printed):
                    printed += (more := process.stdout.readline())
                    assert more, printed
                yield printed
            finally:
                process.terminate()


@pytest.fixture(params=["ready", pytest.param("installed", marks=pytest.mark.soak)])
def clone(request: pytest.FixtureRequest, tmp_path: Path, programs: Path) -> Clone:
    return Clone(tmp_path, programs if request.param == "ready" else Path(sys.executable).parent)


@pytest.fixture
def authority(clone: Clone) -> Iterator[str]:
    """The URL of the reader's authority. The port of the page may be taken here, so its address is replaced."""
    with clone.started(f"{block('uv run authsec serve').strip()} --port 0", until=r"to begin .+\n") as printed:
        (issuer,) = re.findall(r"issuer +(\S+)", printed)
        yield issuer


def onboarded(clone: Clone, authority: str, *, onboarding: str) -> str:
    """Steps 1 and 2; the lines of Step 6 for the new agent."""
    client_id = re.findall(r"^client_id +([0-9a-f-]{36})$", clone.paste(onboarding), re.MULTILINE)[0]
    return block("export AUTHSEC_BASE_URL").replace(AUTHORITY, authority).replace("your-client-id", client_id)


def test_the_short_path_ends_with_a_token_and_then_with_a_refusal(clone: Clone, authority: str) -> None:
    client_id = re.findall(r"^client_id +([0-9a-f-]{36})$", clone.paste(block("uv run authsec keygen", README)), re.M)[
        0
    ]
    as_agent = block("export AUTHSEC_AGENT_KEY_FILE", README)
    as_agent = as_agent.replace(AUTHORITY, authority).replace("your-client-id", client_id)
    assert "All is well" in clone.paste(as_agent)
    clone.paste(block("uv run authsec revoke", README).strip() + " --yes")
    assert "delegation_ended" in clone.paste(as_agent, status=1)


@pytest.mark.soak  # test_printed_lines.py has an unattested agent onboarded and tried
def test_an_unattested_agent_needs_no_line_for_a_key_file(clone: Clone, authority: str) -> None:
    commands = block("uv run authsec keygen")
    unattested = commands.replace("--platform key --public-key agent-key.pem.pub", "--platform unattested")
    assert unattested != commands
    assert "All is well" in clone.paste(onboarded(clone, authority, onboarding=unattested))


@pytest.mark.soak  # the short path of the README is in every run, and so is the demo
def test_it_ends_with_the_answer_of_the_scripted_model(clone: Clone, authority: str) -> None:
    smoke_test = onboarded(clone, authority, onboarding=block("uv run authsec keygen"))
    smoke_test = block("export AUTHSEC_AGENT_KEY_FILE") + smoke_test
    assert "All is well" in clone.paste(smoke_test)
    demo_api = f"env AUTHSEC_BASE_URL={authority} {block('uv run authsec demo-api').strip()} --port 0"
    with clone.started(demo_api, until="press Ctrl-C") as printed:
        assert f"tokens of {authority} for the audience authsec-api" in " ".join(printed.split())
        (url,) = re.findall(r"export DOWNSTREAM_URL=(\S+)", printed)
        conversation = block("export DOWNSTREAM_URL").replace(DEMO_API, url)
        assert exports(conversation) == exports(printed)
        conversation = "\n".join([*exports(smoke_test), conversation])
        answered = clone.paste(conversation)
        assert "Customer 42 is Ada Lovelace, ada@example.com." in answered
        assert "WARNING" not in answered
        clone.paste(block("uv run authsec delegations list").replace("<slug>", "customer-support-support --yes"))
        refused = clone.paste(conversation, status=1)
        assert "have expired or were revoked" in refused
        assert "Ada" not in refused


@pytest.mark.soak  # test_protected_examples.py of the SDK has each of the pages' APIs
@pytest.mark.skipif(shutil.which("curl") is None, reason="the page's command needs curl")
def test_an_api_of_the_readers_own_lets_the_agent_in(clone: Clone, authority: str) -> None:
    """*Protecting an API*, for a reader who has not revoked the delegation of Step 2."""
    smoke_test = onboarded(clone, authority, onboarding=block("uv run authsec keygen"))
    variables = "\n".join([block("export AUTHSEC_AGENT_KEY_FILE"), *exports(smoke_test)])
    clone.paste(block("uv run authsec apis create") + block("uv run authsec delegations create"))
    api = block("export AUTHSEC_ISSUER").replace(AUTHORITY, authority).replace("--port 8000", "--port 0")
    setting, command = api.replace("export ", "env ", 1).splitlines()
    with clone.started(f"{setting} {command}", until=r"running on http://\S+") as printed:
        (url,) = re.findall(r"running on (http://\S+)", printed)
        call = block("curl -i").replace("http://127.0.0.1:8000", url)
        answered = clone.paste(f"{variables}\n{call}")
        assert "200 OK" in answered
        assert '{"id":"42","asked_by":"spiffe://' in answered
        stranger = clone.paste(call.partition("\\\n")[0])
        assert "401 Unauthorized" in stranger
        assert '"reason": "token_missing"' in stranger
        again = block('T="$(uv run').replace("http://127.0.0.1:8000", url)
        last = again.splitlines()[-1]
        again = again.replace("sleep 1", f"until {last} | grep token_revoked; do sleep 0.1; done")
        before, _, after = clone.paste(f"{variables}\n{again}").partition("is revoked permanently")
        assert "200 OK" in before
        assert "401 Unauthorized" in after
        assert "200 OK" not in after
