"""The install commands that the console shows: the wheels of this authority, by URL and hash."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from hashlib import sha256
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from authsec_server.sdk_wheels import load_wheels
from fake_wheels import FILES, fake_wheels
from pages import get
from starlette.testclient import TestClient

House = Any
SDK, AUTOGEN, _ = (
    f"https://authsec.example.com/authsec/sdk/{name.replace('+', '%2B')}#sha256={sha256(content).hexdigest()}"
    for name, content in FILES.items()
)


@pytest.fixture
def opened(house: Callable[..., House], tmp_path: Path) -> House:
    """An authority with wheels. The browser runs on the same machine."""
    wheels = load_wheels(fake_wheels(tmp_path))
    return house(local_operator=True, wheels=wheels, public_url="https://authsec.example.com")


@pytest.fixture
def door(opened: House) -> TestClient:
    """The browser of its operator, who reaches it by another name than agents do."""
    door: TestClient = opened.door()
    door.headers["Host"] = "localhost"
    return door


def codes(html: str) -> list[str]:
    """The blocks of code on the page, as they are copied."""
    return [unescape(part.partition("</code>")[0]) for part in html.split('<pre tabindex="0"><code>')[1:]]


def test_connect_installs_the_wheels_and_the_framework_in_one_command(door: TestClient, opened: House) -> None:
    page = get(door, f"/console/clients/{opened.delegated_agent().client_id}/connect")
    installs = [code for code in codes(page.html) if "pip install" in code]
    by_shell = {"\\\n": [], "`\n": []}  # type: dict[str, list[str]]
    for install in installs:
        continued = next(each for each in by_shell if each in install)
        by_shell[continued] += [line for line in install.replace(continued, "").splitlines() if "pip install" in line]
    for lines in by_shell.values():
        assert len(lines) == len(installs) / 2 == 12  # six frameworks, by pip and by uv
        for by_pip, by_uv in zip(lines[::2], lines[1::2], strict=True):
            assert by_uv == f"uv {by_pip}"
    first, *others = (shlex.split(line)[2:] for line in by_shell["\\\n"][::2])
    ours = [f"authsec[key] @ {SDK}", f"authsec-autogen @ {AUTOGEN}"]
    assert first == [*ours, "autogen[openai]>=0.14,<1", "requests"]
    assert [each[0] for each in others] == [ours[0]] * 5
    assert [word for each in others for word in each if "authsec" in word] == [ours[0]] * 5


def test_a_javascript_program_is_told_that_the_smoke_test_needs_the_python_sdk(door: TestClient, opened: House) -> None:
    page = get(door, f"/console/clients/{opened.delegated_agent().client_id}/connect")
    python, javascript = page.html.partition("4. Smoke test</h2>")[2].split("</p>")[:2]
    assert "for-1" in python
    assert "environment of step 2" in python
    assert "for-2" in javascript
    assert "a command of the Python SDK" in javascript
    assert "environment of step 2" not in javascript


def test_no_command_names_an_index_or_our_packages_without_url(door: TestClient, opened: House) -> None:
    page = get(door, f"/console/clients/{opened.delegated_agent().client_id}/connect")
    lines = [line for code in codes(page.html) for line in code.splitlines()]
    foreign = [line for line in lines if re.search(r"--[a-z-]*index|find-links|\./packages/", line)]
    assert foreign == []
    assert [line for line in lines if re.match(r' *"?authsec[\w-]*(\[|")', line) and " @ https://" not in line] == []


def test_the_page_of_an_api_installs_the_wheel_with_the_verifier(door: TestClient) -> None:
    api = {"name": "CRM", "identifier": "https://crm.example.com", "actions": []}
    assert door.post("/authsec/api/v1/apis", json=api).status_code == 201
    page = get(door, "/console/apis/crm")
    installs = {code for code in codes(page.html) if code.startswith("pip install")}
    assert installs == {f'pip install "authsec[{extra}] @ {SDK}"' for extra in ("verify", "verify-server")}


def test_no_page_asks_for_a_clone_to_run_a_command(door: TestClient, opened: House) -> None:
    client = f"/console/clients/{opened.delegated_agent().client_id}"
    selectors = [{"key": "k8s:ns", "value": "production"}]
    pod = {"name": "Pod", "platform": "kubernetes", "selectors": selectors}
    assert door.post("/authsec/api/v1/clients", json=pod).status_code == 201
    for path in (
        f"{client}/connect",
        f"{client}/proofs/add",
        client,
        "/console/clients/pod",
        "/console/clients/pod/connect",
    ):
        page = get(door, path)
        assert page.status == 200
        assert "uv run" not in page.html, path
        assert "in a clone" not in page.text, path
    connect = codes(get(door, f"{client}/connect").html)
    assert {"authsec smoke", "authsec keygen agent-key.pem"} <= set(connect)
    assert 'authsec issuers add kubernetes "Production" --from-kubeconfig' in get(
        door, "/console/clients/pod"
    ).html.replace("&#34;", '"')


def test_the_laptop_enrols_with_the_installed_command(door: TestClient, opened: House) -> None:
    client = f"/console/clients/{opened.delegated_name()}"
    page = get(door, f"{client}/enrol").form().send(hours="8")
    page = page.follow() if page.status == 303 else page
    assert any(re.search(r"^authsec enrol \S+$", code, re.MULTILINE) for code in codes(page.html))
    assert "uv run" not in page.html


def test_with_wheels_no_note_of_connect_sends_the_reader_to_a_clone(door: TestClient, opened: House) -> None:
    client_id = opened.delegated_agent().client_id
    delegation = door.get("/authsec/api/v1/delegations").json()["items"][0]
    headers = {"If-Match": f'"{delegation["revision"]}"'}
    path = f"/authsec/api/v1/delegations/{delegation['id']}"
    assert door.patch(path, json={"require_dpop": True}, headers=headers).status_code == 200
    text = get(door, f"/console/clients/{client_id}/connect").text
    assert "n your clone" not in text
    assert "In the repository of AuthSec, docs/oauth-libraries.md has programs" in text
