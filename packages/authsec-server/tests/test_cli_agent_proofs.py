"""`authsec agents proofs` and `rotate-secret`, as a person and as a program use them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from authsec.client_secret import is_client_secret
from authsec.keygen import write_key_pair
from authsec_server.cli.agent_proofs import meant
from authsec_server.cli.transport import CallFailed
from click.testing import Result
from workload_evidence import kubernetes

Authsec = Callable[..., Result]


@pytest.fixture
def support(authsec: Authsec) -> Authsec:
    """The command, with an agent `support` in Kubernetes."""
    assert authsec("agents", "create", "Support", "--platform", "kubernetes", "--selector", "k8s:ns=a").exit_code == 0
    return authsec


def held(authsec: Authsec) -> list[dict[str, Any]]:
    proofs: list[dict[str, Any]] = json.loads(authsec("agents", "proofs", "list", "support", "--json").stdout)["proofs"]
    return proofs


def test_a_proof_is_added_listed_and_removed(support: Authsec, tmp_path: Path) -> None:
    public = write_key_pair(tmp_path / "agent-key.pem", "ed25519")
    given = ("--platform", "key", "--public-key", str(public), "--expires", "2036-12-31T18:00:00Z")
    added = support("agents", "proofs", "add", "support", *given)
    assert added.exit_code == 0, added.output
    _, key = held(support)
    row = next(line for line in added.stdout.splitlines() if key["id"] in line)
    assert row.startswith(f"key pair {key['thumbprint']}  proves")
    assert "2036-12-31 18:00:00" in row
    assert "k8s:ns=a   " in support("agents", "proofs", "list", "support").stdout
    for nobody in (key["id"][:7], "0", "no-such-proof"):
        refused = support("agents", "proofs", "remove", "support", nobody)
        assert (refused.exit_code, "authsec agents proofs list support" in refused.stderr) == (1, True)
    removed = support("agents", "proofs", "remove", "support", key["id"][:-2], "--yes")
    assert removed.stdout.startswith("The proof of support is removed, and the tokens that depend on it are revoked.")
    assert [proof["kind"] for proof in held(support)] == ["selectors"]
    assert support("agents", "proofs", "remove", "support", key["id"]).exit_code == 1


def test_who_else_would_be_the_agent_is_said(authsec: Authsec, tmp_path: Path) -> None:
    said = "Every pod of namespace staging could act as this agent: add k8s:sa."
    create = ("agents", "create", "Wide", "--platform", "kubernetes", "--selector", "k8s:ns=staging")
    assert said in authsec(*create).stdout
    add = ("agents", "proofs", "add", "wide", "--platform", "kubernetes", "--selector", "k8s:ns=b")
    added = authsec(*add)
    assert (added.exit_code, "namespace b could act as this agent: add k8s:sa" in added.stderr) == (0, True)
    narrow = authsec(*add, "--selector", "k8s:sa=support")
    assert (narrow.exit_code, "could act as this agent" in narrow.stderr) == (0, False)


def test_a_beginning_that_two_ids_have_removes_neither() -> None:
    agent = {"slug": "support", "proofs": [{"id": "0190a1b2-c3"}, {"id": "0190a1b2-d4"}]}
    with pytest.raises(CallFailed, match="2 proofs of support begin with"):
        meant(agent, "0190a1b2")
    assert meant(agent, "0190a1b2-d") == "0190a1b2-d4"


def test_the_list_says_on_whose_word_and_what_is_missing(support: Authsec, tmp_path: Path) -> None:
    assert "no trusted issuer yet" in support("agents", "proofs", "list", "support").stdout
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(kubernetes().jwks))
    support("issuers", "add", "kubernetes", "prod", "--issuer", "https://prod.example", "--jwks", str(keys))
    support("issuers", "bind", "prod", "--all")
    assert "valid, but matches other workloads too  prod" in support("agents", "proofs", "list", "support").stdout


def test_codes_are_listed_and_taken_back(support: Authsec) -> None:
    made = json.loads(support("agents", "enrolment", "support", "--json").stdout)
    listed = support("agents", "enrolments", "support")
    assert (made["id"] in listed.stdout, made["code"] in listed.output) == (True, False)
    taken = support("agents", "enrolments", "support", "--take-back", made["id"])
    assert (taken.exit_code, taken.stdout.startswith("The code is cancelled")) == (0, True)
    assert made["id"] not in taken.stdout
    assert support("agents", "enrolments", "support", "--take-back", made["id"]).exit_code == 1


def test_a_secret_is_shown_once_and_called_weak(authsec: Authsec) -> None:
    created = authsec("agents", "create", "Legacy", "--platform", "secret")
    (secret,) = [word for word in created.stdout.split() if is_client_secret(word)]
    assert "authsec_cs_" not in created.stderr, "where stdout is kept to be read, stderr is kept to be logged"
    assert "export AUTHSEC_AGENT_SECRET_FILE=" in created.stdout
    for words in (("show", "legacy"), ("list",), ("proofs", "list", "legacy"), ("show", "legacy", "--json")):
        shown = authsec("agents", *words).stdout
        assert "authsec_cs_" not in shown
        assert "weak" in shown
    rotated = json.loads(authsec("agents", "rotate-secret", "legacy", "--json").stdout)
    assert is_client_secret(rotated["client_secret"])
    assert rotated["client_secret"] != secret


def test_a_secret_goes_into_a_file_of_its_own(support: Authsec, tmp_path: Path) -> None:
    file = tmp_path / "agent-secret"
    added = support("agents", "proofs", "add", "support", "--platform", "secret", "--secret-file", str(file))
    assert added.exit_code == 0, added.output
    assert "authsec_cs_" not in added.output
    assert f'AUTHSEC_AGENT_SECRET_FILE="{file}"' in added.stdout
    assert file.stat().st_mode & 0o777 == 0o600
    first = file.read_text()
    assert is_client_secret(first.removesuffix("\n"))

    again = support("agents", "rotate-secret", "support", "--secret-file", str(file))
    assert again.exit_code == 1
    assert f"{file} already exists" in again.stderr
    assert f"give --secret-file {file}.new, then: mv {file}.new {file}" in again.stderr
    assert (file.read_text(), len(held(support))) == (first, 2), "nothing was made, and nothing was lost"

    other = tmp_path / "other"
    rotated = support("agents", "rotate-secret", "support", "--secret-file", str(other), "--json")
    assert "client_secret" not in json.loads(rotated.stdout)
    assert is_client_secret(other.read_text().strip())


def test_a_file_is_for_secrets_and_goes_when_none_was_made(support: Authsec, tmp_path: Path) -> None:
    file = str(tmp_path / "agent-secret")
    for words in (("create", "Other"), ("proofs", "add", "support")):
        refused = support("agents", *words, "--platform", "unattested", "--secret-file", file)
        assert (refused.exit_code, "--platform secret" in refused.stderr) == (2, True)
    assert support("agents", "rotate-secret", "support", "--secret-file", file).exit_code == 4
    assert support("agents", "rotate-secret", "support", "--secret-file", f"{file}/no/folder").exit_code == 1
    assert not Path(file).exists()


def test_what_becomes_of_the_secrets_before_is_said(support: Authsec) -> None:
    support("agents", "proofs", "add", "support", "--platform", "secret")
    refused = support("agents", "rotate-secret", "support", "--overlap", "8d")
    assert (refused.exit_code, "0 to 7 days" in refused.stderr) == (1, True)
    rotated = support("agents", "rotate-secret", "support", "--overlap", "1h")
    assert "The previous secrets are valid until " in rotated.stdout
    place, old, new = held(support)
    assert (place["kind"], bool(old["expires_at"]), new["expires_at"]) == ("selectors", True, None)
    at_once = support("agents", "rotate-secret", "support", "--overlap", "0s")
    assert "are revoked, and so are the tokens that depend on them" in at_once.stdout
    assert [proof["kind"] for proof in held(support)] == ["selectors", "secret"]
