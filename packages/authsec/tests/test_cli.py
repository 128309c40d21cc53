"""The command `authsec`, as a person types it."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import click
import pytest
from authsec import AuthenticationError, ConfigError, RateLimited, ServerError, TransportError, cli
from authsec.exit_status import Exit, exit_of_answer, exit_of_error
from authsec.jose import PrivateKey, PublicKey
from click.testing import CliRunner, Result
from fake_authority import CLIENT_ID, FakeAuthority, Reply, refused

# Copied before another test of the same process loads the commands of other packages into the group.
OWN_COMMANDS = dict(cli.commands.commands)


def run(*arguments: str | Path) -> Result:
    group = cli.Script("authsec", commands=dict(OWN_COMMANDS))
    return CliRunner().invoke(group, [str(argument) for argument in arguments])


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Entry points of other packages, by name: `module:attribute`."""
    found: dict[str, str] = {}
    monkeypatch.setattr(
        cli, "entry_points", lambda group: [EntryPoint(name, value, group) for name, value in found.items()]
    )
    return found


# --- commands of other packages ----------------------------------------------------------------------------------


def register_agents(group: click.Group) -> None:
    @group.command()
    def agents() -> None:
        """List agents."""
        click.echo("agent 1")

    @group.command()
    def fails() -> None:
        raise ConfigError("Two words.\n    add this", reason="no_good")

    @group.command()
    def smoke() -> None:
        click.echo("not the real one")


def register_nothing(group: click.Group) -> None:
    raise OSError("no database\nanywhere")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name by which an entry point finds this module."""
    monkeypatch.setitem(sys.modules, "commands_of_this_test", sys.modules[__name__])
    return "commands_of_this_test"


def test_other_packages_add_commands(plugins: dict[str, str], here: str) -> None:
    plugins["server"] = f"{here}:register_agents"
    assert run("agents").output == "agent 1\n"
    listed = run("--help").output
    assert "List agents." in listed
    assert "Check that this machine's agent gets its tokens." in listed


def test_broken_packages_are_named_in_one_line_and_the_others_work(plugins: dict[str, str], here: str) -> None:
    plugins |= {"a": "no_such_module:x", "b": f"{here}:no_such_thing", "c": f"{here}:register_nothing"}
    plugins["d"] = f"{here}:register_agents"
    result = run("agents")
    assert (result.exit_code, result.stdout) == (0, "agent 1\n")
    lines = [line.partition(" (")[0] for line in result.stderr.splitlines()]
    assert lines == [f"authsec: the commands of '{x}' cannot be loaded" for x in "abc"]


def test_a_broken_package_does_not_stand_in_the_way_of_smoke(plugins: dict[str, str], here: str) -> None:
    plugins["a"] = "no_such_module:x"
    result = run("smoke")
    assert result.exit_code == 1
    assert "base_url_missing" in result.stdout
    assert result.stderr == ""


def test_no_package_replaces_a_command_of_ours(plugins: dict[str, str], here: str) -> None:
    plugins["server"] = f"{here}:register_agents"
    assert "not the real one" not in run("smoke").output
    assert "Check that this machine's agent" in run("--help").output


def test_an_error_is_a_block_on_stderr_and_status_1(plugins: dict[str, str], here: str) -> None:
    plugins["server"] = f"{here}:register_agents"
    result = run("fails")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "✗ Two words.\n      add this\n\n  reason      no_good\n"


def test_wrong_usage_is_status_2(plugins: dict[str, str]) -> None:
    assert run("no-such-command").exit_code == 2
    assert run("keygen").exit_code == 2
    assert run("keygen", "x", "--kind", "dsa").exit_code == 2


def test_scripts_are_told_on_the_first_page_what_a_status_means() -> None:
    listed = " ".join(run("--help").output.split())
    assert [f"{status.value} {status.meaning}" in listed for status in Exit] == [True] * len(Exit)


def test_what_an_answer_or_an_error_means_for_a_script() -> None:
    told = {200: 0, 201: 0, 302: 1, 400: 1, 401: 1, 404: 1, 409: 4, 412: 4, 429: 5, 500: 1, 502: 5, 503: 5, 504: 5}
    assert {status: exit_of_answer(status) for status in told} == told
    for error, code in ((TransportError, 5), (RateLimited, 5), (ServerError, 5), (AuthenticationError, 1)):
        assert exit_of_error(error("no", reason="x")) == code


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_by_the_script(shell: str) -> None:
    assert "_AUTHSEC_COMPLETE" in run("completion", shell).output
    words = {"_AUTHSEC_COMPLETE": f"{shell}_complete", "COMP_WORDS": "authsec keygen --k", "COMP_CWORD": "2"}
    if shell == "fish":
        words["COMP_CWORD"] = "--k"
    script = Path(sys.executable).with_name("authsec")
    done = subprocess.run([script], env=os.environ | words, capture_output=True, text=True, check=True)
    assert (done.stdout.count("--kind"), done.stderr) == (1, "")


def test_the_installed_script() -> None:
    script = Path(sys.executable).with_name("authsec")
    said = subprocess.run([script, "--version"], capture_output=True, text=True, check=True).stdout
    assert said == "authsec 0.1.0+authsec\n"
    assert subprocess.run([script, "smoke"], capture_output=True, text=True, check=False).returncode == 1


# --- keygen ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "algorithm"), [("ed25519", "EdDSA"), ("rsa", "RS256")])
def test_keygen_writes_a_pair(kind: str, algorithm: str, tmp_path: Path) -> None:
    path = tmp_path / "agent.pem"
    result = run("keygen", path, "--kind", kind)
    assert result.exit_code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    private = PrivateKey.from_pem(path.read_bytes())
    assert private.algorithm == algorithm
    public = PublicKey.from_pem(Path(f"{path}.pub").read_bytes())
    assert public.thumbprint() == private.public.thumbprint()
    assert f"authsec agents create NAME --platform key --public-key {path}.pub" in result.output
    assert f'export AUTHSEC_AGENT_KEY_FILE="{path}"' in result.output
    assert "PRIVATE KEY" not in result.output


def test_keygen_prints_the_public_key_alone_on_stdout(tmp_path: Path) -> None:
    """To be pasted into the console, or kept: `authsec keygen agent.pem > elsewhere.pub`."""
    result = run("keygen", tmp_path / "agent.pem")
    assert result.stdout == (tmp_path / "agent.pem.pub").read_text()
    assert re.fullmatch(r"-----BEGIN PUBLIC KEY-----\n[A-Za-z0-9+/=\n]+-----END PUBLIC KEY-----\n", result.stdout)
    assert "is for the authority, and is printed above" in result.stderr
    assert "add the option --data or --database with which the server runs" in result.stderr


@pytest.mark.parametrize(("runtime", "program"), [({"UV_RUN_RECURSION_DEPTH": "1"}, "uv run authsec"), ({}, "authsec")])
def test_the_lines_to_paste_run_as_this_one_was_run(
    runtime: dict[str, str], program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a clone there is no `authsec` but by `uv run`, and a folder may have a space in its name."""
    monkeypatch.delenv("UV_RUN_RECURSION_DEPTH", raising=False)
    for name, value in runtime.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "my keys" / "agent.pem"
    path.parent.mkdir()
    (line,) = (line.strip() for line in run("keygen", path).stderr.splitlines() if "agents create" in line)
    assert line.startswith(f"{program} agents create NAME ")
    assert shlex.split(line)[-1] == f"{path}.pub"


def test_commands_in_errors_run_as_this_one_was_run(authority: FakeAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHSEC_BASE_URL", authority.base_url)
    for runtime, command in (("1", "`uv run authsec agents list`"), ("", "`authsec agents list`")):
        monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", runtime)
        if not runtime:
            monkeypatch.delenv("UV_RUN_RECURSION_DEPTH")
        monkeypatch.setenv("AUTHSEC_AGENT_CLIENT_ID", "customer-support")
        assert command in " ".join(run("smoke").stdout.split())
        assert command in " ".join(run("token").stderr.split())


@pytest.mark.parametrize(
    ("command", "package"), [("agents", "authsec-server"), ("serve", "authsec-server"), ("demo-api", "authsec-demo")]
)
def test_a_command_of_a_package_that_is_not_here_is_told_as_one(
    command: str, package: str, plugins: dict[str, str]
) -> None:
    result = run(command, "list")
    assert result.exit_code == 2
    said = " ".join(result.stderr.split())
    assert f"`authsec {command}` is a command of the package {package}, which is not installed here." in said
    assert f"In a clone of AuthSec, run `uv run authsec {command} list`." in said
    assert "secret" not in run(command, "Secret-1").stderr.lower()
    assert "No such command 'agnts'" in run("agnts").stderr


def test_the_export_line_names_the_file_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert f'AUTHSEC_AGENT_KEY_FILE="{tmp_path}/agent.pem"' in run("keygen", "agent.pem").output


def test_keygen_ignores_a_careless_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        run("keygen", tmp_path / "agent.pem")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "agent.pem").stat().st_mode) == 0o600


@pytest.mark.parametrize("existing", ["agent.pem", "agent.pem.pub"])
def test_keygen_overwrites_nothing(existing: str, tmp_path: Path) -> None:
    (tmp_path / existing).write_text("in use")
    result = run("keygen", tmp_path / "agent.pem")
    assert result.exit_code == 1
    assert "already exists" in " ".join(result.stderr.split())
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(existing, "in use")]


def test_keygen_does_not_write_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "agent.pem").symlink_to(tmp_path / "elsewhere")
    assert run("keygen", tmp_path / "agent.pem").exit_code == 1
    assert not (tmp_path / "elsewhere").exists()


def test_keygen_where_nothing_can_be_written(tmp_path: Path) -> None:
    result = run("keygen", tmp_path / "no" / "agent.pem")
    assert result.exit_code == 1
    assert "cannot be written: No such file or directory. Name a file in an existing folder" in " ".join(
        result.stderr.split()
    )


def test_keygen_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "authsec.jose", None)
    result = run("keygen", tmp_path / "agent.pem")
    assert result.exit_code == 1
    assert 'pip install "./packages/authsec[key,verify]"' in result.stderr


# --- smoke, through the door (what it says is tested in test_smoke) ----------------------------------------------


def test_smoke_succeeds_with_the_two_variables_only(authority: FakeAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHSEC_BASE_URL", authority.base_url)
    monkeypatch.setenv("AUTHSEC_AGENT_CLIENT_ID", CLIENT_ID)
    assert run("smoke").exit_code == 0


def test_smoke_can_be_about_one_api(authority: FakeAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHSEC_BASE_URL", authority.base_url)
    monkeypatch.setenv("AUTHSEC_AGENT_CLIENT_ID", CLIENT_ID)
    assert run("smoke", "--scope", "customers:read", "--resource", "https://api.example").exit_code == 0
    (asked,) = authority.token_requests
    assert (asked.query["scope"], asked.query["resource"]) == (["customers:read"], ["https://api.example"])


# --- token -------------------------------------------------------------------------------------------------------


def test_a_token_is_alone_on_stdout(authority: FakeAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHSEC_BASE_URL", authority.base_url)
    monkeypatch.setenv("AUTHSEC_AGENT_CLIENT_ID", CLIENT_ID)
    result = run("token", "--scope", "customers:read", "--resource", "https://api.example")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{authority.tokens[-1]}\n", "")
    (asked,) = authority.token_requests
    assert (asked.query["scope"], asked.query["resource"]) == (["customers:read"], ["https://api.example"])


def test_where_there_is_no_token_nothing_is_on_stdout(
    authority: FakeAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that it was to stand in must not get a sentence for a token."""
    assert "AUTHSEC_BASE_URL" in run("token").stderr
    monkeypatch.setenv("AUTHSEC_BASE_URL", authority.base_url)
    monkeypatch.setenv("AUTHSEC_AGENT_CLIENT_ID", CLIENT_ID)
    authority.next_answers = [refused(410, "delegation_ended", "Ask for a new trust delegation.")]
    result = run("token")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Ask for a new trust delegation." in result.stderr
    assert "reason      delegation_ended (HTTP 410)" in result.stderr
    authority.next_answers = [refused(400, "invalid_target", "It covers crm.")]
    named = " ".join(run("token", "--resource", "billing").stderr.split())
    assert "not delegated to this agent for the requested API. It covers crm." in named
    authority.next_answers = [refused(400, "invalid_target", "Request one of these resources: crm, or billing.")]
    unnamed = " ".join(run("token").stderr.split())
    assert "so the API must be named, by --resource. Request one of these resources: crm, or billing." in unnamed
    page = "https://authsec.example.com/console/delegations/new?client=3f0c9a1e"
    body = {"error": "No.", "reason": "action_not_allowed", "allowed_scope": "customers:read", "grant_at": page}
    authority.next_answers = [Reply(403, body)]
    told = run("token", "--scope", "customers:delete").stderr
    assert f"  allowed     customers:read\n  grant it at {page}\n" in told


def test_the_example_is_the_same(authority: FakeAuthority) -> None:
    example = Path(__file__).parents[3] / "examples" / "smoke_local.py"
    settings: dict[str, Any] = {"AUTHSEC_BASE_URL": authority.base_url, "AUTHSEC_AGENT_CLIENT_ID": CLIENT_ID}
    environment = {**os.environ, **settings}
    done = subprocess.run([sys.executable, example], env=environment, capture_output=True, text=True, check=True)
    assert "All is well" in done.stdout
    assert (done.stdout.count("✓"), done.stdout.count("  ! ")) == (6, 1)


def test_where_the_terminal_cannot_show_the_mark_a_word_stands_for_it() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "authsec", "token"], env={"PYTHONIOENCODING": "ascii"}, capture_output=True, text=True
    )
    assert told.stderr.startswith("Error: AuthSec does not know where")
