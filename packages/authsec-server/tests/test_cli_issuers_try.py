"""`authsec issuers try`, as a person and as a program use it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from workload_evidence import OTHER_RSA, Issuer, kubernetes

Authsec = Callable[..., Result]


@pytest.fixture
def issuer(authsec: Authsec, tmp_path: Path) -> Issuer:
    """A cluster that is trusted, and two agents that rest on it."""
    its = kubernetes()
    its.now = datetime.now(UTC)
    keys = tmp_path / "jwks.json"
    keys.write_text(json.dumps(its.jwks))
    added = authsec("issuers", "add", "kubernetes", "Prod", "--issuer", its.trusted_issuer.issuer, "--jwks", str(keys))
    assert added.exit_code == 0, added.output
    for name, account in (("Support", "customer-support-sa"), ("Billing", "billing")):
        selectors = ("--selector", "k8s:ns=production", "--selector", f"k8s:sa={account}")
        made = authsec("agents", "create", name, "--platform", "kubernetes", *selectors)
        assert made.exit_code == 0, made.output
    return its


@pytest.fixture
def attempt(authsec: Authsec, tmp_path: Path) -> Callable[..., Result]:
    """Tries what is in a file."""

    def tried(token: str, *options: str) -> Result:
        file = tmp_path / "token"
        file.write_text(token)
        return authsec("issuers", "try", "prod", str(file), *options)

    return tried


def test_a_good_token(issuer: Issuer, attempt: Any) -> None:
    done = attempt(issuer.token() + "\n")
    assert done.exit_code == 0, done.output
    assert done.output.startswith("The token would be accepted, as Support.\n")
    assert "✓ signature  Signed with this trusted issuer's key" in done.output
    assert "k8s:sa" in done.output
    assert "The token matches a proof of Support (" in done.output
    assert issuer.token() not in done.output


def test_one_for_the_cluster_itself_is_told_how_to_be_for_us(issuer: Issuer, attempt: Any) -> None:
    done = attempt(issuer.token(aud=["https://kubernetes.default.svc"]))
    assert done.exit_code == 1
    assert "✗ audience" in done.output
    assert "\n            - serviceAccountToken:" in done.output, "with the indentation that it needs"
    assert "An accepted token with these claims would match a proof of Support" in done.output
    assert done.output.startswith("The token would be refused: not made for this authority.\n")


def test_of_another_workload_it_names_the_closest(issuer: Issuer, attempt: Any) -> None:
    bound = issuer.claims()["kubernetes.io"] | {"serviceaccount": {"name": "support", "uid": "1"}}
    token = issuer.token(**{"kubernetes.io": bound, "sub": "system:serviceaccount:production:support"})
    done = attempt(token)
    assert done.output.startswith("The token is valid, but no agent is registered as this workload.\n")
    assert "The token matches none of the 2 proofs that depend on this trusted issuer." in done.output
    assert "closest: Billing: namespace matches; service account is `support`, registered `billing`" in done.output
    answer = json.loads(attempt(token, "--json").output)
    assert (answer["holds"], answer["satisfies"], len(answer["nearest"])) == (True, [], 2)


def test_of_an_expired_one_that_is_said_first(issuer: Issuer, attempt: Any) -> None:
    then = int(issuer.now.timestamp()) - 7_200
    done = attempt(issuer.token(iat=then, nbf=then, exp=then + 3_590))
    assert done.output.startswith("The token would be refused: expired 1 hour ago.\n")
    assert "An accepted token with these claims would match a proof of Support" in done.output


def test_what_nobody_checked_is_not_called_wrong(issuer: Issuer, attempt: Any) -> None:
    done = attempt(issuer.token(iss="https://other.example"))
    assert done.output.startswith("The token would be refused: of another issuer.\n")
    assert "The token's claims, unverified (the signature was not checked)" in done.output
    done = attempt(issuer.token(key=OTHER_RSA))
    assert done.output.startswith("The token would be refused: not signed by this trusted issuer.\n")
    assert "The token's claims, unverified (the signature does not match)" in done.output


def test_what_is_no_token(issuer: Issuer, attempt: Any, authsec: Authsec, tmp_path: Path) -> None:
    done = attempt("apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\n")
    assert done.exit_code == 1
    assert "This is a kubeconfig" in done.output
    missing = authsec("issuers", "try", "prod", str(tmp_path / "none"))
    assert (missing.exit_code, "cannot be read" in missing.output) == (1, True)


def test_the_token_itself_does_not_belong_on_the_command_line(issuer: Issuer, authsec: Authsec) -> None:
    done = authsec("issuers", "try", "prod", issuer.token())
    assert done.exit_code == 2
    assert "pass the token in a file or on stdin" in " ".join(done.output.replace("│", " ").split())
    assert issuer.token().split(".")[2] not in done.output
