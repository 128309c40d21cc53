"""The conformance suite of MCP (npm `@modelcontextprotocol/conformance`) tries the authority, and the code of Connect.

docs/oauth.md lists the other scenarios, each with the reason why it is not tried.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..environments import do_without, npm_folder, variables

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "oauth.md"
CONNECT = f"{sys.executable} {HERE / 'connect_client.py'}"


@pytest.fixture
def database_option() -> str:
    """What is tested here is what clients see, the same on both databases: the embedded one will do."""
    return ""


@pytest.fixture(scope="session")
def suite() -> Path:
    """The folder with the suite and a Node that is new enough for it: npm has Node as a package, too."""
    folder = npm_folder(HERE / "package.json")
    if not (folder / "node_modules/node/bin/node").exists():
        # The package brings the program of this machine when it is installed, and npm_folder runs no such scripts.
        command = ["npm", "rebuild", "--no-package-lock", "node"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if not (folder / "node_modules/node/bin/node").exists():
            do_without(f"npm brought no Node.\n{done.stderr}")
    return folder


@pytest.fixture(scope="session")
def here(suite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of authsec-js beside the packages of the suite, with the client that uses it."""
    copy = tmp_path_factory.mktemp("conformance") / "authsec-js"
    shutil.copytree(ROOT / "packages" / "authsec-js", copy, ignore=shutil.ignore_patterns("node_modules"))
    shutil.copy(HERE / "provider_client.mjs", copy)
    (copy / "node_modules").symlink_to(suite / "node_modules")
    return copy


def conformance(here: Path, *words: str) -> tuple[int, str]:
    """Run the suite; its exit status and what it prints."""
    programs = [here / "node_modules/node/bin", here / "node_modules/.bin"]
    environment = variables() | {"PATH": os.pathsep.join([*map(str, programs), os.environ["PATH"]])}
    done = subprocess.run(
        ["conformance", *words], cwd=here, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def authority(serving: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One authority for all scenarios."""
    with serving(tmp_path_factory.mktemp("authority"), "") as serve:
        yield serve()


@pytest.mark.soak
def test_the_metadata_lack_only_what_belongs_to_people(here: Path, authority: Any) -> None:
    scenario = "authorization-server-metadata-endpoint"
    _, told = conformance(here, "authorization", "--url", authority.url, "--scenario", scenario)
    (failed,) = re.findall(r"Error: (.*)", told)
    lacking = re.findall(r'does not include valid "(\w+)" claim', failed)
    assert lacking == ["response_types_supported", "code_challenge_methods_supported"], told
    assert len(lacking) == len(failed.split(", ")), failed


@pytest.mark.parametrize(
    ("scenario", "client"),
    [
        pytest.param("auth/client-credentials-jwt", f"{CONNECT} typescript", marks=pytest.mark.soak),
        pytest.param("auth/client-credentials-jwt", f"{CONNECT} python", marks=pytest.mark.soak),
        pytest.param("auth/client-credentials-jwt", "node provider_client.mjs", marks=pytest.mark.soak),
        pytest.param("auth/wif-jwt-bearer", "node provider_client.mjs", marks=pytest.mark.soak),
        pytest.param("auth/client-credentials-basic", f"{CONNECT} typescript", marks=pytest.mark.soak),
        pytest.param("auth/client-credentials-basic", f"{CONNECT} python", marks=pytest.mark.soak),
    ],
    ids=["jwt-typescript", "jwt-python", "jwt-authsec-js", "workload-authsec-js", "basic-typescript", "basic-python"],
)
def test_a_client_of_ours_passes(here: Path, scenario: str, client: str) -> None:
    status, told = conformance(here, "client", "--scenario", scenario, "--command", client)
    assert (status, "OVERALL: PASSED" in told) == (0, True), told


@pytest.mark.soak
def test_the_page_names_every_scenario_about_authorization(here: Path) -> None:
    listed = [conformance(here, "list", which)[1] for which in ("--authorization", "--client")]
    scenarios = set(re.findall(r"^  - ((?:auth/|authorization-)\S+)", "\n".join(listed), re.MULTILINE))
    assert len(scenarios) > 20
    named = set(re.findall(r"`((?:auth/|authorization-)[\w/-]+)`", PAGE.read_text("utf-8")))
    assert named == scenarios
    pins = json.loads((HERE / "package.json").read_text("utf-8"))["dependencies"]
    assert pins["@modelcontextprotocol/conformance"] in PAGE.read_text("utf-8")
