"""`examples/autogen_conversation.py`, run as its reader would run it."""

from __future__ import annotations

import contextlib
import io
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from authsec.testing import call, say
from fake_authority import CLIENT_ID

pytestmark = pytest.mark.usefixtures("autogen")
NOWHERE = "http://127.0.0.1:9"
EXAMPLE = Path(__file__).parents[3] / "examples" / "autogen_conversation.py"


def run_as_a_program(settings: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **settings}
    return subprocess.run([sys.executable, EXAMPLE], env=env, cwd=folder, capture_output=True, text=True, timeout=60)


def run_here(settings: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the example in this process: to import AutoGen takes most of a program's time."""
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.chdir(folder)
        for name, value in settings.items():
            patch.setenv(name, value)
        output = stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        errors = stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        status: Any = 0
        try:
            runpy.run_path(str(EXAMPLE), run_name="__main__")
        except SystemExit as ended:
            status = ended.code
    if isinstance(status, str):  # as Python does
        errors.write(f"{status}\n")
        status = 1
    return subprocess.CompletedProcess([str(EXAMPLE)], status, output.getvalue(), errors.getvalue())


def test_all_missing_variables_are_named_at_once(tmp_path: Path) -> None:
    settings = {"AUTHSEC_BASE_URL": "http://127.0.0.1:7468", "OPENAI_API_KEY": " ", "DOWNSTREAM_URL": ""}
    run = run_here(settings, tmp_path)
    assert run.returncode == 2
    assert run.stdout == ""
    exported = [line.split()[1].partition("=")[0] for line in run.stderr.splitlines() if line.startswith("    export ")]
    assert exported == ["AUTHSEC_AGENT_CLIENT_ID", "DOWNSTREAM_URL", "OPENAI_API_KEY"]
    assert "Traceback" not in run.stderr


def test_a_wrong_client_id_is_told_in_one_block(tmp_path: Path) -> None:
    settings = {"AUTHSEC_BASE_URL": "http://127.0.0.1:7468", "AUTHSEC_AGENT_CLIENT_ID": "customer-support"}
    run = run_here({**settings, "DOWNSTREAM_URL": "http://127.0.0.1:7469", "OPENAI_API_KEY": "none"}, tmp_path)
    assert run.returncode == 2
    assert "needs the agent's client_id, not its slug" in run.stderr
    assert "Traceback" not in run.stderr


def settings_of(base_url: str, api: str, model_url: str) -> Mapping[str, str]:
    return {
        "AUTHSEC_BASE_URL": base_url,
        "AUTHSEC_AGENT_CLIENT_ID": CLIENT_ID,
        "DOWNSTREAM_URL": api,
        "OPENAI_API_KEY": "unused",
        "OPENAI_BASE_URL": model_url,
    }


@pytest.mark.soak  # tests/test_demo.py runs the example, too
def test_the_example_runs(authority: Any, api: str, model: Any, tmp_path: Path) -> None:
    scripted = model(call("fetch_secure_data", customer_id="42"), say("Here it is. TERMINATE"))
    run = run_as_a_program(settings_of(authority.base_url, api, scripted.base_url), tmp_path)
    assert run.returncode == 0, run.stderr
    (result,) = scripted.tool_results
    assert '"path": "/customers/42"' in result
    (token,) = authority.tokens
    everything = run.stdout + run.stderr + "".join(scripted.requests)
    assert token not in everything
    assert "Bearer [delegation token removed]" in everything  # this API echoes what it was sent


def test_a_model_that_does_not_answer_is_told_in_one_sentence(authority: Any, tmp_path: Path) -> None:
    run = run_here(settings_of(authority.base_url, NOWHERE, f"{NOWHERE}/v1"), tmp_path)
    assert run.returncode == 1
    assert (
        f"The model at OPENAI_BASE_URL ({NOWHERE}/v1) failed: Connection error. Does `uv run authsec demo-api` run?"
        in run.stderr
    )
    assert "Traceback" not in run.stderr


def test_without_a_url_of_the_model_it_is_said_that_none_is_set(
    authority: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", NOWHERE)
    run = run_here(settings_of(authority.base_url, NOWHERE, ""), tmp_path)
    assert run.returncode == 1
    assert "OPENAI_BASE_URL is not set, and the model at https://api.openai.com/v1 failed: " in run.stderr
    assert "Traceback" not in run.stderr


def test_an_api_that_does_not_answer_is_told_in_one_sentence(authority: Any, model: Any, tmp_path: Path) -> None:
    scripted = model(call("fetch_secure_data", customer_id="42"), say("I could not. TERMINATE"))
    run = run_here(settings_of(authority.base_url, NOWHERE, scripted.base_url), tmp_path)
    assert run.returncode == 1
    (result,) = scripted.tool_results
    assert result == (
        f"Error: ConnectionError: The API at DOWNSTREAM_URL ({NOWHERE}) does not answer. "
        "Does `uv run authsec demo-api` run there?"
    )
    assert "urllib3" not in run.stdout + run.stderr


def test_without_the_customer_the_example_fails(api: str, model: Any, tmp_path: Path) -> None:
    scripted = model(call("fetch_secure_data", customer_id="42"), say("I could not. TERMINATE"))
    run = run_here(settings_of(NOWHERE, api, scripted.base_url), tmp_path)
    assert run.returncode == 1
    assert run.stderr.endswith("The customer was not fetched. The tool's answer above says why.\n")
