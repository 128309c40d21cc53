"""What `authsec doctor` prints is pasted into tickets and chats, and holds a token, a proof, a key or a password.

The doctor looks at more secrets than anything else: every place of a proof, the token itself, the addresses of proxies.
So what it prints, for people and as JSON, is searched for all of them, while all goes well and while all fails.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec import cli
from authsec.client_secret import text_of
from authsec.clock import Clock
from authsec.credentials import CredentialSource, ProjectedToken, default_sources
from authsec.credentials.key_file import with_note
from authsec.doctor.checks import examine
from authsec.doctor.report import print_json, print_report
from authsec.doctor.settings import read_settings
from authsec.jose import PrivateKey
from authsec.keygen import write_key_pair
from click.testing import CliRunner
from fake_authority import CLIENT_ID, FakeAuthority, Reply, Seen, broken_off, refused
from long_runs import some_of
from workload_tokens import ProjectedVolume, github_token, service_account_token

CANARY = "canary-d0a4e0f2"


def parts_of(*tokens: str) -> list[str]:
    """Payload and signature; a header is the same for all tokens of an issuer."""
    return [part for token in tokens for part in token.split(".")[1:]]


def echo(seen: Seen) -> Reply:
    """Something that quotes the request's proof in every member of its refusal."""
    proof = seen.headers["Authorization"]
    body = {"error": proof, "reason": "attestation_invalid", "details": f"Not valid: {proof}", "request_id": proof}
    return Reply(401, body)


ANSWERS: dict[str, Any] = {
    "granted": lambda authority: authority.grant,
    "refused": lambda _: refused(403, "selectors_mismatch"),
    "an echo of the proof": lambda _: echo,
    "aborted": lambda _: broken_off(),
    "a token in a bad answer": lambda authority: Reply(body=authority.grant().body | {"expires_in": -1}),
    "a token in a redirect": lambda authority: Reply(
        302, headers={"Location": f"/?t={authority.grant().body['token']}"}
    ),
    "a token in its members": lambda authority: authority.grant(
        permissions=[authority.grant().body["token"]], audience=[authority.grant().body["token"]]
    ),
}


@pytest.fixture
def workload_token(authority: FakeAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A machine full of secrets, with the token of a pod as its proof and a key as another."""
    token = service_account_token(authority.issuer)
    (tmp_path / "token").write_text(token)
    write_key_pair(tmp_path / "agent.pem", "ed25519")
    for name, value in {
        "AUTHSEC_BASE_URL": authority.base_url,
        "AUTHSEC_AGENT_CLIENT_ID": CLIENT_ID,
        "AUTHSEC_WORKLOAD_TOKEN_FILE": str(tmp_path / "token"),
        "AUTHSEC_AGENT_KEY_FILE": str(tmp_path / "agent.pem"),
        "AUTHSEC_ADMIN_KEY": CANARY,
        "AUTHSEC_AGENT_TOKEN": CANARY,
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{authority.base_url}/idtoken",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": CANARY,
        "HTTPS_PROXY": f"http://bob:{CANARY}@127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    return token


def told(*options: str) -> str:
    result = CliRunner().invoke(cli.commands, ["doctor", *options])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.output


@pytest.mark.parametrize("answer", some_of(ANSWERS))
def test_nothing_that_is_printed_is_a_secret(
    answer: str, workload_token: str, authority: FakeAuthority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    authority.next_answers = [ANSWERS[answer](authority)] * 6
    printed = told() + told("--json") + caplog.text
    assert "k8s:ns" in printed  # it did look
    sent = [seen.headers["Authorization"].split()[-1] for seen in authority.token_requests]
    assert sent
    for part in [*parts_of(workload_token, *sent, *authority.tokens), CANARY]:
        assert part not in printed


def test_nor_where_an_answer_is_shown_that_nobody_verified(
    workload_token: str, authority: FakeAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extra `verify` the members of the answer are all there is to show."""
    monkeypatch.setitem(sys.modules, "authsec.verifier", None)
    authority.next_answers = [ANSWERS["a token in its members"](authority)] * 2
    printed = told() + told("--json")
    assert "not verified here" in printed
    assert not any(part in printed for part in parts_of(*authority.tokens))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AUTHSEC_WORKLOAD_TOKEN_FILE", f"eyJhbGciOiJub25lIn0.{CANARY}.x"),
        ("AUTHSEC_AGENT_KEY_FILE", f"-----BEGIN PRIVATE KEY-----\n{CANARY}"),
        ("AUTHSEC_AGENT_CLIENT_ID", CANARY.replace("-", "_")),
        ("AUTHSEC_BASE_URL", f"https://bob:{CANARY}@authsec.example.com"),
        ("AUTHSEC_BASE_URL", f"https://authsec.example.com/?key={CANARY}"),
        ("HTTPS_PROXY", f"socks5://bob:{CANARY}@127.0.0.1:9"),
        ("SPIFFE_ENDPOINT_SOCKET", f"tcp://{CANARY}"),
    ],
)
def test_nor_is_what_stands_in_the_wrong_place(
    variable: str, value: str, workload_token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    printed = told() + told("--json")
    assert CANARY not in printed
    assert CANARY.replace("-", "_") not in printed


def test_nor_is_a_key_nor_the_assertion_made_with_it(
    workload_token: str, authority: FakeAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AUTHSEC_WORKLOAD_TOKEN_FILE")
    pem = (tmp_path / "agent.pem").read_bytes()
    authority.agent_key = PrivateKey.from_pem(pem).public
    authority.next_answers = [authority.grant, echo]
    printed = told() + told("--json")
    assert authority.agent_key.thumbprint() in printed  # which is no secret, and stands on the agent's page
    sent = [seen.headers["Authorization"].split()[-1] for seen in authority.token_requests]
    assert len(sent) == 2
    for part in [*parts_of(*sent, *authority.tokens), pem.decode().splitlines()[1]]:
        assert part not in printed


# --- each kind of proof ------------------------------------------------------------------------------------------


def a_token_of_a_file(folder: Path, authority: FakeAuthority, sockets: Path) -> dict[str, str]:
    (folder / "token").write_text(service_account_token(authority.issuer))
    return {"AUTHSEC_WORKLOAD_TOKEN_FILE": str(folder / "token")}


def a_token_of_a_pod(folder: Path, authority: FakeAuthority, sockets: Path) -> list[CredentialSource]:
    volume = ProjectedVolume(folder / "authsec")
    volume.write(service_account_token(authority.issuer))
    return [ProjectedToken(path=volume.path)]


def an_svid(folder: Path, authority: FakeAuthority, sockets: Path) -> dict[str, str]:
    return {"SPIFFE_ENDPOINT_SOCKET": f"unix://{sockets}/works"}


def a_token_of_a_job(folder: Path, authority: FakeAuthority, sockets: Path) -> dict[str, str]:
    authority.documents["/idtoken"] = Reply(body={"value": github_token(authority.issuer)})
    return {
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{authority.base_url}/idtoken",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": CANARY,
    }


def a_key(folder: Path, authority: FakeAuthority, sockets: Path) -> dict[str, str]:
    write_key_pair(folder / "agent.pem", "ed25519")
    authority.agent_key = PrivateKey.from_pem((folder / "agent.pem").read_bytes()).public
    return {"AUTHSEC_AGENT_KEY_FILE": str(folder / "agent.pem")}


def an_enrolled_key(folder: Path, authority: FakeAuthority, sockets: Path) -> dict[str, str]:
    path = folder / "config" / "authsec" / "keys" / f"{CLIENT_ID}.pem"
    path.parent.mkdir(parents=True)
    key = PrivateKey.generate_ed25519()
    path.touch(0o600)
    path.write_bytes(with_note(key.to_pem(), datetime.now(UTC) + timedelta(hours=8)))
    authority.agent_key = key.public
    return {}


def a_secret(folder: Path, authority: FakeAuthority, sockets: Path) -> dict[str, str]:
    (folder / "secret").touch(0o600)
    (folder / "secret").write_text(text_of(bytes(range(32))))
    return {"AUTHSEC_AGENT_SECRET_FILE": str(folder / "secret")}


KINDS = {
    a_token_of_a_file: "k8s:ns",
    a_token_of_a_pod: "k8s:ns",
    an_svid: "JWT-SVID of the SPIFFE Workload API at",
    a_token_of_a_job: "The proof came from: the job's token",
    a_key: "The proof came from: key file",
    an_enrolled_key: "enrolled until",
    a_secret: "The proof came from: secret file",
}


@pytest.mark.parametrize("kind", some_of(KINDS), ids=lambda kind: kind.__name__)
def test_no_kind_of_proof_is_printed(
    kind: Any, authority: FakeAuthority, sockets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Of each kind, alone and as the one that counts: what is sent is in the output of neither success nor failure."""
    made = kind(tmp_path, authority, sockets)
    named = {"AUTHSEC_BASE_URL": authority.base_url, "AUTHSEC_AGENT_CLIENT_ID": CLIENT_ID}
    for name, value in {**named, **(made if isinstance(made, dict) else {})}.items():
        monkeypatch.setenv(name, value)
    sources = default_sources() if isinstance(made, dict) else made
    authority.next_answers = [authority.grant, echo]
    for _ in range(2):
        findings = list(examine(read_settings(), sources, Clock()))
        print_report(read_settings().subject, findings)
        print_json(read_settings().subject, findings)
    output = capsys.readouterr().out
    sent = [seen.headers["Authorization"].split()[-1] for seen in authority.token_requests]
    assert len(sent) == 2
    assert KINDS[kind] in " ".join(output.split())
    files = [path.read_text() for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".pub"]
    secrets = [word for word in " ".join(files).split() if len(word) > 40]
    beginnings = [part[:40] for part in parts_of(*sent, *authority.tokens, *secrets)]
    for part in [*beginnings, *sent, *secrets, CANARY]:
        assert part not in output
