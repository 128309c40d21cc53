"""A workload's token that was verified before is answered by the HTTP protocol, as long as memory has all of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from api_server import ApiServer
from attesting import HELPER, SHOWN, client, proof
from authsec.jose import PublicKey
from authsec_server.attestation.model import Evidence, Proved, Refused, Scheme, Unchecked
from authsec_server.attestation.service import attest, attest_at_once
from authsec_server.attestation.workloads import Workloads
from authsec_server.issuers import service as issuers
from authsec_server.issuers.model import TrustedIssuer
from raw_http import Line, listening, no_application, request
from trusted_issuers import agent, operator, shows, trust
from workload_evidence import EC, NOW, RSA, US, Issuer, finder, github, kubernetes, spire

House = Any
FOUR = (*HELPER, ("k8s:pod-label:app", "customer-support"), ("k8s:container-name", "agent"))
ANSWERED, PASSED_ON = 200, 418  # to the application, which is none here


def asked(line: Line, client_id: str, token: str) -> int:
    return line.ask(request(client_id, f"Authorization: Bearer {token}")).status


@pytest.mark.parametrize("made", [kubernetes, github, spire])
def test_a_token_that_was_verified_before_needs_no_application(house: House, made: Callable[[], Issuer]) -> None:
    its, issuer = house(), made()
    trust(its, issuer)
    client_id, token = agent(its, issuer, *SHOWN[issuer.trusted_issuer.kind]), issuer.token()
    with listening(its, directly=True, app=no_application) as open_line:
        line = open_line()
        assert asked(line, client_id, token) == PASSED_ON
        assert shows(its, client_id, token).status_code == 200
        assert asked(line, client_id, token) == ANSWERED
        another = issuer.token(exp=int(NOW.timestamp()) + 77)
        assert asked(line, client_id, another) == PASSED_ON
    first, second = (each.event for each in its.events() if each.event.kind == "token.issued")
    assert first.detail == second.detail


def test_a_trusted_issuer_that_is_disabled_meanwhile_is_not_believed(house: House) -> None:
    its, issuer = house(), kubernetes()
    trust(its, issuer)
    client_id, token = agent(its, issuer, *HELPER), issuer.token()
    assert shows(its, client_id, token).status_code == 200
    with listening(its, directly=True) as open_line:
        line = open_line()
        assert asked(line, client_id, token) == 200
        its.authority.database.change(lambda tx: issuers.disable(tx, operator(its), issuer.trusted_issuer.id))
        assert asked(line, client_id, token) == 401


@pytest.mark.sqlite_suffices
def test_a_trusted_issuer_that_was_changed_meanwhile_is_believed_again_at_once(house_on_each: House) -> None:
    its, issuer = house_on_each(), kubernetes()
    trust(its, issuer)
    client_id, token = agent(its, issuer, *HELPER), issuer.token()
    change = its.authority.database.change
    with listening(its, directly=True) as open_line:
        line = open_line()
        assert asked(line, client_id, token) == 200
        for _ in range(3):
            change(lambda tx: issuers.disable(tx, operator(its), issuer.trusted_issuer.id))
            change(lambda tx: issuers.enable(tx, operator(its), issuer.trusted_issuer.id))
            assert asked(line, client_id, token) == 200


@pytest.mark.parametrize("selectors", [HELPER, FOUR], ids=["reviewed", "looked up"])
def test_what_the_cluster_said_counts_as_long_as_ever(
    house: House, peers: Any, peer: Callable[..., Any], tmp_path: Path, selectors: Any
) -> None:
    server = ApiServer(peers, peer, tmp_path)
    its, issuer = house(**server.settings), kubernetes()
    trust(its, issuer, may_look_up=True, **server.asked_for())
    client_id, token = agent(its, issuer, *selectors), issuer.token()
    assert shows(its, client_id, token).status_code == 200
    with listening(its, directly=True, app=no_application) as open_line:
        line, questions = open_line(), len(server.asked)
        its.clock.at += timedelta(seconds=29)
        assert asked(line, client_id, token) == ANSWERED
        its.clock.at += timedelta(seconds=1)
        assert asked(line, client_id, token) == PASSED_ON, "the application asks the cluster"
        assert len(server.asked) == questions


class Keys:
    """The keys of a trusted issuer, by `kid`: those in memory, and those that its key set has."""

    def __init__(self, key: PublicKey) -> None:
        self.in_memory = {"one": key}
        self.published = {"one": key}

    def held(self, _trusted_issuer: TrustedIssuer, kid: str) -> PublicKey | None:
        return self.in_memory.get(kid)

    def find(self, trusted_issuer: TrustedIssuer, kid: str) -> PublicKey | None:
        return self.held(trusted_issuer, kid) or self.published.get(kid)


KEYS: list[dict[str, PublicKey]] = [{}, {"one": RSA.public}, {"one": EC.public}]


def test_memory_proves_nothing_that_the_full_check_does_not() -> None:
    its, keys = kubernetes(), Keys(RSA.public)
    workloads = Workloads(keys.find, held_key=keys.held, issuer=US, trust_domain="example.org")

    def check(how: Callable[..., Any], account: str, trusted_issuer: TrustedIssuer, token: str, now: datetime) -> Any:
        its_client = client(proof(its, HELPER[0], ("k8s:sa", account)))
        evidence = Evidence(scheme=Scheme.BEARER, credential=token)
        known = {trusted_issuer.id: trusted_issuer}
        return how(its_client, known, evidence, workloads=workloads, issuer=US, now=now)

    first, second = (its.token(exp=int(NOW.timestamp()) + life) for life in (60, 61))
    assert isinstance(check(attest, HELPER[1][1], its.trusted_issuer, first, NOW), Proved)
    cases = product((0, 59, 60), KEYS, KEYS, (1, 2), (True, False), (HELPER[1][1], "other"), (first, second))
    for seconds, keys.in_memory, keys.published, revision, enabled, account, token in cases:
        later = replace(its.trusted_issuer, revision=revision, enabled=enabled)
        now = NOW + timedelta(seconds=seconds)
        has_key = keys.in_memory == {"one": RSA.public}
        fits = has_key and later == its.trusted_issuer and seconds < 60 and account == HELPER[1][1] and token == first
        at_once = check(attest_at_once, account, later, token, now)
        assert isinstance(at_once, Proved) is fits
        if fits:
            assert at_once == check(attest, account, later, token, now)


class Silent:
    """The answers of a cluster that are in memory: none."""

    def is_still_valid(self, trusted_issuer: TrustedIssuer, *_: Any) -> bool:
        raise Unchecked(trusted_issuer, "not in memory")


class Cluster:
    """A cluster that says whether the workload is there. No answer stays in memory."""

    kept = Silent()
    has_workload = True

    def is_still_valid(self, *_: Any) -> bool:
        return self.has_workload


def test_a_cluster_that_must_be_asked_is_asked_before_another_trusted_issuer_is_believed() -> None:
    """The attack: two trusted issuers come to have the same key, and one of them asks no cluster about workloads."""
    strict = kubernetes("cluster-a", api_server="https://cluster.example", credentials="a", token_review=True)
    lax = kubernetes("cluster-b")
    known = {each.trusted_issuer.id: each.trusted_issuer for each in (strict, lax)}
    cluster: Any = Cluster()
    keys = finder(strict, lax)
    workloads = Workloads(keys, held_key=keys, issuer=US, trust_domain="example.org", clusters=cluster)
    evidence = Evidence(scheme=Scheme.BEARER, credential=strict.token())

    def check(how: Callable[..., Any], *trusted: Issuer) -> Any:
        proofs = [proof(each, *HELPER, id_=each.trusted_issuer.id) for each in trusted]
        return how(client(*proofs), known, evidence, workloads=workloads, issuer=US, now=NOW)

    assert all(isinstance(check(attest, each), Proved) for each in (strict, lax))
    cluster.has_workload = False
    assert isinstance(check(attest, strict, lax), Refused)
    assert check(attest_at_once, strict, lax) is None
