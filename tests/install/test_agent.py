"""An agent's developer, who copies what Connect of the installed authority shows: real pip and uv, a first token."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..environments import variables
from .conftest import ROOT, UV, Authority

pytestmark = pytest.mark.soak
KEY = "agent-key.pem"


@dataclass
class Developer:
    """A shell in an empty folder, and the console of the authority."""

    authority: Authority
    folder: Path
    client: str

    def codes(self) -> list[str]:
        return self.authority.codes(f"/console/clients/{self.client}/connect")

    def install(self, *, tool: str, packages: str) -> str:
        """The commands of Connect for bash with this tool and these packages of a framework."""
        installs = [code for code in self.codes() if re.search(rf"^{tool} \\$", code, re.MULTILINE)]
        (found,) = [code for code in installs if packages in code and "source " in code and "\\\n" in code]
        return found

    def bash(self, script: str, *, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a script that stops at the first command that fails."""
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=variables() | (environment or {}),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )


@pytest.fixture(scope="module")
def agent(authority: Authority) -> str:
    """The slug of an agent with a key and a delegation."""
    slug = "customer-support"
    authority.authsec("keygen", KEY)
    key = ("--platform", "key", "--public-key", f"{KEY}.pub")
    authority.authsec("agents", "create", slug, "--slug", slug, *key)
    authority.authsec("roles", "create", slug, "--slug", slug, "--action", "customers:read")
    target = ("--target", "AutoGen AI agent", "--action", "customers:read", "--max-duration", "1h")
    authority.authsec("delegations", "create", "--role", slug, "--agent", slug, *target)
    return slug


@pytest.fixture
def developer(authority: Authority, agent: str, tmp_path: Path) -> Developer:
    """The developer of the agent, who has its key in an empty folder."""
    shutil.copy(authority.folder / KEY, tmp_path)
    return Developer(authority, tmp_path, agent)


FRAMEWORKS = {
    "AutoGen by pip": ("pip install", '"autogen[openai]'),
    "AutoGen by uv": ("uv pip install", '"autogen[openai]'),
    "other Python by pip": ("pip install", "\n  requests\n"),
    "other Python by uv": ("uv pip install", "\n  requests\n"),
}


@pytest.mark.parametrize(("tool", "packages"), FRAMEWORKS.values(), ids=FRAMEWORKS)
def test_the_lines_of_connect_lead_to_the_first_token(developer: Developer, tool: str, packages: str) -> None:
    (variables_,) = [code for code in developer.codes() if code.startswith("export AUTHSEC_BASE_URL")]
    done = developer.bash(f"{developer.install(tool=tool, packages=packages)}\n{variables_}\nauthsec smoke")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "OK\n" in done.stdout
    # What was installed is what the authority serves, and the command is that of this environment.
    version = developer.bash("agent-venv/bin/authsec --version").stdout.strip()
    assert version == developer.authority.authsec("--version").strip()


def rows() -> list[list[str]]:
    """The messages of each row of the page."""
    page = (ROOT / "docs/install.md").read_text("utf-8").partition("## When it fails")[2]
    cells = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    return [[each.replace("…", "") for each in re.findall("`([^`]+)`", cell)] for cell in cells]


HASHES, MISSING, PYTHON, UNREACHABLE, OLDER, _, _ = rows()


def broken(install: str, what: str) -> str:
    """The commands with a mistake."""
    if what == "hash":
        return re.sub(r"#sha256=....", "#sha256=0000", install, count=1)
    if what == "release":
        return install.replace("/sdk/authsec-0.1.0", "/sdk/authsec-0.0.9")
    if what == "wheel":
        return re.sub(r'  "authsec\[key\] @ .*\\\n', "", install)
    return re.sub(r":\d+/authsec/sdk/", ":9/authsec/sdk/", install)  # nothing listens on the port "discard"


MISTAKES = {"hash": HASHES, "wheel": MISSING, "address": UNREACHABLE, "release": OLDER}


@pytest.mark.parametrize("tool", ["pip install", "uv pip install"])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_answered_as_the_page_says(developer: Developer, tool: str, mistake: str) -> None:
    install = broken(developer.install(tool=tool, packages='"autogen[openai]'), mistake)
    done = developer.bash(install, environment={"PIP_RETRIES": "0", "UV_HTTP_RETRIES": "0"})
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0
    assert any(message in said for message in MISTAKES[mistake]), said
    assert not list(developer.folder.glob("agent-venv/lib/*/site-packages/authsec*"))


@pytest.mark.parametrize("tool", ["pip install", "uv pip install"])
def test_an_older_python_is_named(developer: Developer, tool: str) -> None:
    older = older_python()
    install = developer.install(tool=tool, packages="\n  requests\n")
    install = install.replace("python3 -m venv", f"{older} -m venv").replace('">=3.11"', older)
    done = developer.bash(install)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0
    assert any(message in said for message in PYTHON), said


def older_python() -> str:
    """A Python 3.10 of this machine. Without one the test is skipped, and says so."""
    found = subprocess.run(
        [UV, "python", "find", "--no-python-downloads", "3.10"], capture_output=True, text=True, check=False
    )
    if found.returncode:
        pytest.skip(f"Python 3.10 is not installed.\n{found.stderr}")
    return found.stdout.strip()
