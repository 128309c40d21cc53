"""The published walk-through, in its own words, from the set-up URL to what the agent says of the API's data."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from authsec import AuthSecClient, AuthSecConfig, TokenVerifier
from authsec.credentials import KeyFile
from authsec_demo.demo_api import demo_api_running
from authsec_demo.stage import Stage
from hands import Hands, Keyboard, Mouse
from playwright.sync_api import Locator, Page, expect
from rich.console import Console

pytestmark = pytest.mark.sqlite_suffices

ROOT = Path(__file__).parents[2]
SELECTORS = {
    "k8s:ns": "production",
    "k8s:sa": "customer-support-sa",
    "k8s:pod-label:app": "customer-support",
    "k8s:container-name": "agent",
}

NO_SELECTORS: Mapping[str, str] = {}


class Shell:
    """Where the agent runs: a clone, in which `uv run` and the environment of Step 3 find the programs of a folder."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self._folder = folder
        beside = folder / "beside"
        beside.mkdir()
        uv = beside / "uv"
        uv.write_text('#!/bin/sh\ntest "$1" = run && shift && exec "$@"\n', "utf-8")
        uv.chmod(0o755)
        (folder / "examples").symlink_to(ROOT / "examples")
        self._path = os.pathsep.join([str(beside), str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])

    def run(self, lines: str) -> subprocess.CompletedProcess[str]:
        """Paste the lines, and see what is printed."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AUTHSEC")}
        kept |= {"PATH": self._path, "AUTHSEC_AGENT_KEY_FILE": "/tmp/of-another-agent.pem"}
        command = ["bash", "-c", lines]
        return subprocess.run(
            command, cwd=self._folder, env=kept, capture_output=True, text=True, timeout=180, check=False
        )


class Reader:
    """Somebody before the console who has the walk-through, and nothing else."""

    def __init__(self, page: Page, hands: Hands) -> None:
        self.page = page
        self.hands = hands
        self.sidebar = page.get_by_role("navigation", name="Console")

    def set_up(self, url: str, password: str) -> None:
        """Open what the terminal says, and become the first administrator."""
        self.page.goto(url)
        self.hands.fill(self.page.get_by_label("Your name"), "Mary Jones")
        self.hands.fill(self.page.get_by_label("E-mail"), "mary@example.com")
        self.hands.fill(self.page.get_by_label("Password", exact=True), password)
        self.hands.fill(self.page.get_by_label("Password again"), password)
        self.press("button", "Create administrator")
        expect(self.sidebar).to_be_visible()

    def register(self, platform: str, agent: Shell | None = None, selectors: Mapping[str, str] = NO_SELECTORS) -> str:
        """Step 1; `selectors` are what identifies the workload. The Client ID that was copied.

        A line that the dialog has is run where the `agent` is, and what it prints goes into the field below it.
        """
        expect(self.sidebar.get_by_text("Clients", exact=True)).to_be_visible()
        self.hands.press(self.sidebar.get_by_role("link", name="MCP Servers / AI Agents"))
        self.press("link", "Onboard New Client")
        modal = self.page.get_by_role("dialog", name="Onboard New Client")
        self.hands.tick(modal.get_by_role("radio", name="AI Agent"))
        self.hands.fill(modal.get_by_label("AI Agent Name"), "Customer Support")
        self.hands.tick(modal.get_by_role("group", name="Platform", exact=True).get_by_role("radio", name=platform))
        if agent:
            printed = agent.run(modal.get_by_role("code").filter(has_text="authsec").filter(visible=True).inner_text())
            assert printed.returncode == 0, printed.stderr
            self.hands.fill(modal.get_by_label("Public key"), printed.stdout)
        for number, (key, value) in enumerate(selectors.items(), start=1):
            self.select(modal, number, key, value)
        self.hands.press(modal.get_by_role("button", name="+ Onboard"))
        expect(self.page.get_by_role("heading", name="Customer Support")).to_be_visible()
        return self.copy_client_id()

    def select(self, modal: Locator, number: int, key: str, value: str) -> None:
        """Fill in the row of a selector; a key that ends in a label has a field for it."""
        chosen = modal.get_by_label(f"Key of selector {number}").filter(visible=True)
        if not chosen.is_visible():
            self.hands.press(modal.get_by_role("button", name="Add a selector"))
        start, label = (key, "") if key.count(":") < 2 else key.rsplit(":", 1)
        self.hands.choose(chosen, start)
        if label:
            self.hands.fill(modal.get_by_role("textbox", name=f"Label of selector {number}"), label)
        self.hands.fill(modal.get_by_label(f"Value of selector {number}").filter(visible=True), value)

    def copy_client_id(self) -> str:
        """From the client's page, with its button where script runs."""
        card = self.page.get_by_role("region", name="Client ID")
        button = card.get_by_role("button", name="Copy the Client ID")
        if not button.is_visible():
            return card.get_by_role("code").first.inner_text()
        self.hands.press(button)
        expect(button.get_by_text("Copied", exact=True)).to_be_visible()
        copied: str = self.page.evaluate("navigator.clipboard.readText()")
        return copied

    def delegate(self) -> None:
        """Step 2, with a role that does not exist yet."""
        self.hands.press(self.sidebar.get_by_role("link", name="Trust Delegation"))
        self.press("link", "Create trust delegation")
        for section in ("Define context", "Assign permissions", "Set duration", "Review"):
            expect(self.page.get_by_role("region", name=section)).to_be_visible()
        self.hands.fill(self.page.get_by_label("Role name"), "Customer Support")
        self.hands.fill(self.page.get_by_label("Actions"), "customers:read\ncustomers:update")
        self.press("button", "Create this role and use it")
        expect(self.page.get_by_label("Role", exact=True)).to_have_value("customer-support")
        self.hands.choose(self.page.get_by_label("Target Type"), "AutoGen AI agent")
        self.hands.choose(self.page.get_by_label("Client / Application"), "Customer Support")
        self.press("button", "Select All")
        for action in ("customers:read", "customers:update"):
            expect(self.page.get_by_role("checkbox", name=action)).to_be_checked()
        self.hands.fill(self.page.get_by_label("Maximum Duration"), "1")
        self.hands.choose(self.page.get_by_label("Unit"), "Hour")
        update = self.page.get_by_role("button", name="Update review")
        if update.is_visible():  # without script, nothing else shows the review
            self.hands.press(update)
        expect(self.page.get_by_role("region", name="Review")).to_contain_text("customers:update")
        self.press("button", "Create Trust Delegation")
        self.is_at_the_dashboard_with_the_new_row()

    def is_at_the_dashboard_with_the_new_row(self) -> None:
        """Where a successful save returns to."""
        expect(self.page.get_by_role("heading", name="Trust Delegation", exact=True)).to_be_visible()
        row = self.page.get_by_role("row").filter(has_text="New")
        for text in ("Customer Support", "AutoGen AI agent", "customers:read", "1 hour", "Live"):
            expect(row).to_contain_text(text)

    def connection(self) -> str:
        """The lines of the client's page, from its environment to the smoke test."""
        self.hands.press(self.sidebar.get_by_role("link", name="MCP Servers / AI Agents"))
        self.press("link", "Customer Support")
        self.press("link", "Connect")
        cards = ("1. Environment", "4. Smoke test")  # Step 3 says that a clone needs no installation
        return "\n".join(self.lines(card) for card in cards)

    def lines(self, card: str) -> str:
        """What is to be run, of one card of the page."""
        heading = self.page.get_by_role("heading", name=card)
        return self.page.locator("section", has=heading).locator("pre").filter(visible=True).inner_text()

    def press(self, role: Any, name: str) -> None:
        """What is called so; where a page offers it twice, the first."""
        self.hands.press(self.page.get_by_role(role, name=name, exact=True).first)


def token_is_accepted(its: Any, client_id: str, key: KeyFile | None = None) -> None:
    """The SDK gets a token for the agent, and it says what was delegated."""
    authsec = AuthSecClient(AuthSecConfig(base_url=its.url, client_id=client_id), credential=key)
    token = TokenVerifier(issuer=its.url, audience="authsec-api").verify(authsec.get_delegation_token())
    assert token.client_id == client_id
    assert token.permissions == {"customers:read", "customers:update"}


@pytest.fixture
def agent(tmp_path: Path, programs: Path) -> Shell:
    return Shell(tmp_path, programs)


@pytest.fixture
def reader(browse: Any, password: str) -> Callable[..., Reader]:
    """`reader(its)` has set the authority up."""

    def begin(its: Any, hands: Callable[[Page], Hands] = lambda _: Mouse(), **options: Any) -> Reader:
        page = browse(its.url, **options)
        person = Reader(page, hands(page))
        person.set_up(its.cli("admin", "setup-url", "--public-url", its.url), password)
        return person

    return begin


def test_an_agent_with_a_key_pair_reads_a_customer(
    serve: Any, reader: Callable[..., Reader], agent: Shell, tmp_path: Path
) -> None:
    """By the very lines that the console and `authsec demo-api` show, from one to the next."""
    its = serve()
    person = reader(its)
    client_id = person.register("Key pair", agent)
    person.delegate()
    token_is_accepted(its, client_id, KeyFile(tmp_path / "agent-key.pem"))
    printed = io.StringIO()
    with demo_api_running(Stage(Console(file=printed)), tmp_path, issuer=its.url, audience="authsec-api", port=0):
        conversation = printed.getvalue().partition("bash, zsh:")[2].partition("PowerShell:")[0]
        done = agent.run(f"{person.connection()}\n{conversation}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Customer 42 is Ada Lovelace, ada@example.com." in done.stdout


@pytest.mark.soak  # test_attestation.py onboards such an agent
def test_an_agent_on_kubernetes_is_told_what_is_missing(
    serve: Any, reader: Callable[..., Reader], agent: Shell
) -> None:
    person = reader(serve())
    person.register("Kubernetes", selectors=SELECTORS)
    expect(person.page.get_by_text("Can't authenticate").first).to_be_visible()
    for key, value in SELECTORS.items():
        expect(person.page.get_by_text(re.compile(f"{key}.*{value}")).first).to_be_visible()
    person.delegate()
    done = agent.run(person.connection())
    assert done.returncode == 1
    assert "attestation_required" in done.stdout


@pytest.mark.soak  # the tests of the console in the server send its forms without a browser
@pytest.mark.parametrize("database_option", ["sqlite"], indirect=True)
def test_without_script(serve: Any, reader: Callable[..., Reader]) -> None:
    its = serve()
    person = reader(its, java_script_enabled=False)
    client_id = person.register("Unattested")
    person.delegate()
    token_is_accepted(its, client_id)


@pytest.mark.soak  # the same pages with the mouse are in every run
@pytest.mark.parametrize("database_option", ["sqlite"], indirect=True)
def test_with_the_keyboard_alone(serve: Any, reader: Callable[..., Reader], agent: Shell) -> None:
    its = serve()
    person = reader(its, Keyboard)
    client_id = person.register("Unattested")
    person.delegate()
    token_is_accepted(its, client_id)
    done = agent.run(person.connection())
    assert done.returncode == 0, done.stdout + done.stderr
