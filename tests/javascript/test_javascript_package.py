"""packages/authsec-js: Node's own test runner tries it against a real authority, and TypeScript checks its types."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from authsec import TokenVerifier
from authsec_server.console.clients.oauth_clients import INSTALL_JAVASCRIPT, OAuthClient

from ..bound_crm import AUDIENCE, crm
from ..environments import npm_folder, pinned_versions, variables

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "packages" / "authsec-js"
PINS = Path(__file__).with_name("package.json")
EXPORTS = 'import("authsec-js").then((all) => console.log(JSON.stringify(Object.keys(all).sort())))'


@pytest.fixture
def database_option() -> str:
    """What is tested here is what callers see, the same on both databases: the embedded one will do."""
    return ""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package beside the pinned packages that it and its tests need."""
    packages = npm_folder(PINS)
    copy = tmp_path_factory.mktemp("javascript") / PACKAGE.name
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("node_modules"))
    (copy / "node_modules").symlink_to(packages / "node_modules")
    return copy


@pytest.fixture(scope="module")
def authority(serving: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One authority for all programs."""
    with serving(tmp_path_factory.mktemp("authority"), "") as serve:
        yield serve()


def run(package: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=package, env=variables() | environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(file.name, marks=[pytest.mark.soak] if file.name == "mcp.test.js" else [])
        for file in sorted(PACKAGE.glob("tests/*.test.js"))
    ],
)
def test_nodes_own_runner(file: str, package: Path, authority: Any) -> None:
    environment = {
        "AUTHSEC_TEST_URL": authority.url,
        "AUTHSEC_TEST_ADMIN_KEY": authority.admin.headers["Authorization"].removeprefix("Bearer "),
    }
    done = run(package, "node", "--test", "--test-reporter=tap", f"tests/{file}", **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^# pass [1-9]", done.stdout, re.MULTILINE), done.stdout


def test_the_types_are_those_of_the_program(package: Path) -> None:
    options = [
        "--strict",
        "--noEmit",
        "--module",
        "nodenext",
        "--target",
        "es2023",
        "--lib",
        "es2023,dom",
        "--types",
        "",
    ]
    done = run(package, "node_modules/.bin/tsc", *options, "tests/typing.ts")
    assert done.returncode == 0, done.stdout + done.stderr
    exported = json.loads(run(package, "node", "--eval", EXPORTS).stdout)
    typed = re.findall(r"^  (\w+): true,$", (PACKAGE / "tests" / "typing.ts").read_text("utf-8"), re.MULTILINE)
    assert exported == typed


class Api(BaseHTTPRequestHandler):
    """Answers with the client of the token, as our verifier reads it."""

    verifier: TokenVerifier

    def do_GET(self) -> None:
        agent = self.verifier.verify(str(self.headers["Authorization"]).removeprefix("Bearer "))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{self.path} for {agent.client_id}".encode())

    def log_message(self, *_: object) -> None:
        """Keep the output of the tests short."""


def test_the_code_of_connect_calls_an_api(package: Path, authority: Any, tmp_path: Path) -> None:
    agent = authority.agent("Connect", keyed=True)
    (tmp_path / "agent-key.pem").write_bytes(agent.key.to_pem())
    (tmp_path / "agent-key.pem").chmod(0o600)
    authority.delegate(authority.role("Reader", "customers:read"), agent, "customers:read", audiences=["crm"])
    oauth = OAuthClient(
        issuer=authority.url, client_id=agent.client_id, key_file="", secret_file="", scope="customers:read"
    )
    (package / "connect.mjs").write_text(oauth.javascript)
    verifier = TokenVerifier(authority.url, "crm", revocations="until_exp")
    handler = type("ApiOfTheTest", (Api,), {"verifier": verifier})
    with closing(verifier), ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {
            "AUTHSEC_BASE_URL": authority.url,
            "AUTHSEC_AGENT_CLIENT_ID": agent.client_id,
            "AUTHSEC_AGENT_KEY_FILE": str(tmp_path / "agent-key.pem"),
            "DOWNSTREAM_URL": f"http://127.0.0.1:{server.server_port}",
        }
        done = run(package, "node", "connect.mjs", **environment)
        server.shutdown()
    assert done.stdout == f"/customers/42 for {agent.client_id}\n", done.stderr


BOUND = """
import { AuthSecClient, keyFile } from "authsec-js";

const [baseUrl, clientId, key, url] = process.argv.slice(2);
const authsec = new AuthSecClient({ baseUrl, clientId, credential: keyFile(key), dpop: true });
const crm = authsec.authorizedFetch({ allowedOrigins: new URL(url).origin });
const answers = [await crm(url), await crm(`${url}?page=2`)];
const stolen = { authorization: `DPoP ${await authsec.getDelegationToken()}` };
const statuses = [...answers, await fetch(url, { headers: stolen })].map(({ status }) => status);
console.log(JSON.stringify({ statuses, ...(await answers[0].json()) }));
"""


def test_an_agent_with_a_bound_token_calls_an_api(package: Path, authority: Any, tmp_path: Path) -> None:
    agent = authority.agent("Bound", keyed=True)
    (tmp_path / "agent-key.pem").touch(0o600)
    (tmp_path / "agent-key.pem").write_bytes(agent.key.to_pem())
    role = authority.role("Bound reader", "customers:read")
    authority.delegate(role, agent, "customers:read", audiences=[AUDIENCE], require_dpop=True)
    (package / "bound.mjs").write_text(BOUND)
    with crm(authority.url, dpop_required=True) as url:
        words = [authority.url, agent.client_id, str(tmp_path / "agent-key.pem"), f"{url}/customers/42"]
        done = run(package, "node", "bound.mjs", *words)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["statuses"], found["id"], len(found["key"])) == ([200, 200, 401], "42", 43)


@pytest.mark.parametrize("number", range(5))
def test_the_programs_of_the_page_are_programs(number: int, package: Path) -> None:
    programs = re.findall(
        r"^```js\n(.*?)^```", (ROOT / "docs" / "javascript.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    assert len(programs) == 5
    (package / f"page-{number}.mjs").write_text(programs[number])
    done = run(package, "node", "--check", f"page-{number}.mjs")
    assert done.returncode == 0, done.stderr


@pytest.mark.soak
def test_a_program_elsewhere_installs_the_package_as_the_page_says(package: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "javascript.md").read_text("utf-8")
    lines = re.findall(r"^(npm (?:config|install) [^#\n]*)", page, re.MULTILINE)
    assert [line.strip() for line in lines] == INSTALL_JAVASCRIPT.splitlines(), "the commands of Connect"
    (tmp_path / "package.json").write_text('{"name": "program", "private": true}')
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "package.json").write_text('{"name": "other", "version": "1.0.0"}')
    configure, *installs = [line.replace("../authsec/packages/authsec-js", str(PACKAGE)).split() for line in lines]
    for command in (
        configure,
        *([*each, "--no-audit", "--no-fund"] for each in (*installs, ["npm", "install", "./other"])),
    ):
        done = run(tmp_path, *command)
        assert done.returncode == 0, done.stderr
    assert not (tmp_path / "node_modules" / "authsec-js").is_symlink()
    imported = run(tmp_path, "node", "--eval", EXPORTS)
    assert "AuthSecClient" in imported.stdout, imported.stderr


def test_jose_is_the_only_dependency() -> None:
    manifest = json.loads((PACKAGE / "package.json").read_text("utf-8"))
    assert [*manifest["dependencies"]] == ["jose"]
    assert pinned_versions(PINS)["jose"].startswith(manifest["dependencies"]["jose"].lstrip("^").split(".")[0])
    imported = {
        name
        for file in PACKAGE.glob("src/*.js")
        for name in re.findall(r'from "([^"]+)"', file.read_text("utf-8"))
        if not name.startswith(("node:", "./"))
    }
    assert imported == {"jose"}
