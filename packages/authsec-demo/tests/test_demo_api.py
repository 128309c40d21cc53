"""`authsec demo-api` while the authority is not there: what it says, and what its one port answers."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from authsec.errors import ConfigError
from authsec_demo.demo_api import demo_api_running
from authsec_demo.exports import model_exports
from authsec_demo.loopback import free_port
from authsec_demo.model_server import ModelEndpoint
from authsec_demo.stage import Stage
from rich.console import Console

ASKED = {"model": "any", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
def printed(tmp_path: Path) -> Iterator[str]:
    told = io.StringIO()
    stage = Stage(Console(file=told, width=80, highlight=False, emoji=False, markup=False))
    nowhere = f"http://127.0.0.1:{free_port()}"
    with demo_api_running(stage, tmp_path, issuer=nowhere, audience="crm", port=0):
        yield told.getvalue()


@pytest.fixture
def http(printed: str) -> Iterator[httpx2.Client]:
    (url,) = re.findall(r"export DOWNSTREAM_URL=(\S+)", printed)
    with httpx2.Client(base_url=url, trust_env=False) as http:
        yield http


def test_it_says_why_no_token_is_accepted_yet(printed: str) -> None:
    said = " ".join(printed.split())
    assert re.search(r"accepts no token yet\. The keys of http://127\.0\.0\.1:\d+ are not available", said)
    assert "Start the authority, or name another one: authsec demo-api --issuer URL, or AUTHSEC_BASE_URL." in said


def test_a_port_at_which_a_demo_api_answers_is_told(http: httpx2.Client, tmp_path: Path) -> None:
    stage = Stage(Console(file=io.StringIO()))
    port = http.base_url.port or 0
    (tmp_path / "second").mkdir()
    second = demo_api_running(stage, tmp_path / "second", issuer="http://127.0.0.1:9", audience="crm", port=port)
    with pytest.raises(ConfigError, match="A demo-api already runs there"), second:
        raise AssertionError("the port was taken twice")


def test_the_model_needs_no_token_and_the_api_does(http: httpx2.Client) -> None:
    answer = http.post("/v1/chat/completions", json=ASKED)
    assert answer.json()["choices"][0]["message"]["content"]
    assert http.get("/customers/42").status_code == 401
    assert "Ada" not in http.get("/customers/42", headers={"Authorization": "Bearer x.y.z"}).text


def test_a_model_that_is_asked_for_without_v1_is_said_to_be_elsewhere(http: httpx2.Client) -> None:
    answer = http.post("/chat/completions", json=ASKED)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "The model is under /v1: OPENAI_BASE_URL ends in /v1."


def test_the_key_of_a_live_model_is_not_among_the_lines_to_paste() -> None:
    assert model_exports(ModelEndpoint(base_url="https://llm.example.com/v1", api_key="sk-secret", name="m")) == {}
