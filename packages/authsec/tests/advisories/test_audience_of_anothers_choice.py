"""An authority has tokens made that open other people's doors (audience injection).

SPIRE and GitHub make a token for whatever audience an agent asks for, and whoever receives it can use it. An authority
that was taken over, or a stranger's that somebody put into `AUTHSEC_BASE_URL`, could call itself
`https://vault.example.com`: each agent would then bring it what opens that vault.
"""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from authsec import ConfigError, InvalidResponse
from authsec.credentials import GitHubActions, SpiffeWorkloadApi
from fake_authority import FakeAuthority, Reply
from workload_tokens import github_token

VAULT = "https://vault.example.com"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """GitHub, as a job sees it."""
    running = FakeAuthority()
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{running.base_url}/idtoken")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "request-token")
    running.documents["/idtoken"] = Reply(body={"value": github_token(VAULT)})
    yield running
    running.close()


def test_github_is_not_asked_for_a_token_for_another_name(make_client: Any, authority: Any, asked: Any) -> None:
    authority.issuer = VAULT
    with pytest.raises(ConfigError) as caught:
        make_client(credential=GitHubActions()).get_token()
    assert caught.value.reason == "issuer_not_pinned"
    assert asked.seen == []
    assert authority.token_requests == []
    assert str(caught.value).endswith(
        f'If {VAULT} is the issuer of your authority, add:\n    export AUTHSEC_ISSUER="{VAULT}"'
    )


def test_the_workload_api_is_not_asked_either(make_client: Any, authority: Any, tmp_path: Path) -> None:
    authority.issuer = authority.base_url.replace("127.0.0.1", "localhost")  # another name of the same machine
    with pytest.raises(ConfigError, match="AUTHSEC_ISSUER") as caught:
        make_client(credential=SpiffeWorkloadApi(socket=f"unix:{tmp_path}/socket")).get_token()
    assert caught.value.reason == "issuer_not_pinned"


@pytest.mark.parametrize("setting", ["issuer", "proof_audience"])
def test_a_name_that_somebody_pinned_is_asked_for(setting: str, make_client: Any, authority: Any, asked: Any) -> None:
    authority.issuer = "https://another.example.com"
    make_client(credential=GitHubActions(), **{setting: VAULT}).get_token()
    assert asked.seen[0].query == {"audience": [VAULT]}


def test_another_port_or_scheme_is_another_name(make_client: Any, authority: Any, asked: Any) -> None:
    for issuer in (f"http://127.0.0.1:{authority.port - 1}", f"https://127.0.0.1:{authority.port}", "http://127.0.0.1"):
        authority.issuer = issuer
        with pytest.raises(ConfigError, match="AUTHSEC_ISSUER"):
            make_client(credential=GitHubActions()).get_token()
    assert asked.seen == []


def test_the_line_to_copy_runs_nothing(make_client: Any, authority: Any, asked: Any) -> None:
    """What an authority calls itself goes into a line for the shell, and into a manifest."""
    for issuer in (
        "https://a/$(id)",
        "https://a/`id`",
        'https://a/";id',
        "https://a/\nid",
        "https://a\\id",
        "https://a/'",
    ):
        authority.issuer = issuer
        with pytest.raises(InvalidResponse):
            make_client(credential=GitHubActions()).get_token()
    authority.issuer = VAULT
    with pytest.raises(ConfigError) as caught:
        make_client(credential=GitHubActions()).get_token()
    line = str(caught.value).splitlines()[-1].strip()
    shown = subprocess.run(["sh", "-c", f"{line}; echo $AUTHSEC_ISSUER"], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == VAULT
    assert len(shlex.split(line)) == 2
