"""What was remembered for one is given to another: found by what was asked, or by a key with an empty part.

Evidence is remembered by its trusted issuer, that trusted issuer's revision and all of the evidence; which client it is
about is asked each time anew. And it counts only while the key that signed it is still the trusted issuer's.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from attesting import HELPER, client, proof
from authsec_server.attestation.model import Evidence, Proved, Refused, Scheme, Verified
from authsec_server.attestation.service import attest
from authsec_server.attestation.workloads import EvidenceCache, Workloads, usable_issuers
from authsec_server.clients.model import Selector
from authsec_server.failures import Unavailable
from authsec_server.issuers.model import KeysUnavailable, TrustedIssuerKind
from trusted_issuers import agent, shows, trust
from workload_evidence import EC, NOW, OTHER_RSA, RSA, US, finder, kubernetes


class Judge:
    """One authority's workloads; its trusted issuers' keys can be taken away."""

    def __init__(self, *issuers: Any) -> None:
        self.issuers = issuers
        self.find = finder(*issuers)
        self.workloads = Workloads(self._find, issuer=US, trust_domain="example.org")

    def _find(self, trusted_issuer: Any, kid: str) -> Any:
        return self.find(trusted_issuer, kid)

    def ask(self, token: str, *proofs: Any, trusted_issuers: Any = None, now: Any = NOW) -> Proved | Refused:
        named = (
            {each.trusted_issuer.id: each.trusted_issuer for each in self.issuers}
            if trusted_issuers is None
            else trusted_issuers
        )
        evidence = Evidence(scheme=Scheme.BEARER, credential=token)
        return attest(client(*proofs), named, evidence, workloads=self.workloads, issuer=US, now=now)

    def remembers(self, token: str, *proofs: Any, now: Any = NOW) -> bool:
        named = {each.trusted_issuer.id: each.trusted_issuer for each in self.issuers}
        evidence = Evidence(scheme=Scheme.BEARER, credential=token)
        agent = client(*proofs)
        return self.workloads.recall(evidence, agent, usable_issuers(agent, named, now), now) is not None


def test_evidence_of_one_client_does_not_let_it_in_as_another(house: Any) -> None:
    its = house()
    issuer = kubernetes()
    trust(its, issuer)
    first = agent(its, issuer, *HELPER, name="First")
    second = agent(its, issuer, ("k8s:ns", "production"), ("k8s:sa", "second"), name="Second")
    token = issuer.token()
    assert [shows(its, first, token).status_code for _ in range(2)] == [200, 200]
    assert [shows(its, second, token).status_code for _ in range(2)] == [403, 403]
    third = its.delegated_name("Third")
    assert shows(its, third, token).status_code == 401, "for one that rests on no trusted issuer it proves nothing"


def test_remembered_in_one_cluster_it_says_nothing_in_another() -> None:
    a, b = kubernetes("cluster-a", RSA), kubernetes("cluster-b", EC)
    judge = Judge(a, b)
    assert isinstance(judge.ask(a.token(), proof(a, *HELPER)), Proved)
    assert judge.remembers(a.token(), proof(a, *HELPER))
    assert not judge.remembers(a.token(), proof(b, *HELPER))
    assert isinstance(judge.ask(a.token(), proof(b, *HELPER)), Refused)


def test_nothing_is_remembered_of_no_evidence() -> None:
    its = kubernetes()
    judge = Judge(its)
    for nothing in ("", " ", ".", ".."):
        assert isinstance(judge.ask(nothing, proof(its, *HELPER)), Refused)
        assert not judge.remembers(nothing, proof(its, *HELPER))
    assert isinstance(judge.ask(its.token(), proof(its, *HELPER)), Proved)
    assert isinstance(judge.ask("", proof(its, *HELPER)), Refused)


def test_what_was_refused_is_not_remembered() -> None:
    its = kubernetes()
    judge = Judge(its)
    for token in (its.token(key=OTHER_RSA), its.token(aud="other"), its.token(sub="x")):
        assert isinstance(judge.ask(token, proof(its, *HELPER)), Refused)
        assert not judge.remembers(token, proof(its, *HELPER))


def test_a_part_of_remembered_evidence_is_other_evidence() -> None:
    its = kubernetes()
    judge = Judge(its)
    token = its.token()
    assert isinstance(judge.ask(token, proof(its, *HELPER)), Proved)
    for other in (token[:-1], token + "A", token.rsplit(".", 1)[0] + ".", token.swapcase()):
        assert isinstance(judge.ask(other, proof(its, *HELPER)), Refused)


@pytest.mark.parametrize("key", [None, OTHER_RSA.public], ids=["gone", "another of its name"])
def test_with_its_key_its_evidence_goes(key: Any) -> None:
    its = kubernetes()
    judge = Judge(its)
    token = its.token()
    assert isinstance(judge.ask(token, proof(its, *HELPER)), Proved)
    judge.find = lambda _trusted_issuer, _kid: key
    assert isinstance(judge.ask(token, proof(its, *HELPER)), Refused)
    judge.find = finder(its)
    assert isinstance(judge.ask(token, proof(its, *HELPER)), Proved)


def test_while_the_keys_are_unknown_nothing_is_known() -> None:
    its = kubernetes()
    judge = Judge(its)
    token = its.token()
    assert isinstance(judge.ask(token, proof(its, *HELPER)), Proved)

    def away(*_: Any) -> Any:
        raise KeysUnavailable("The keys are too old.")

    judge.find = away
    with pytest.raises(Unavailable):
        judge.ask(token, proof(its, *HELPER))


@pytest.mark.parametrize("changes", [{"revision": 2, "audience": "other"}, {"enabled": False}], ids=str)
def test_an_edited_or_disabled_trusted_issuer_is_asked_anew(changes: dict[str, Any]) -> None:
    its = kubernetes()
    judge = Judge(its)
    token = its.token()
    assert isinstance(judge.ask(token, proof(its, *HELPER)), Proved)
    edited = {its.trusted_issuer.id: replace(its.trusted_issuer, **changes)}
    assert isinstance(judge.ask(token, proof(its, *HELPER), trusted_issuers=edited), Refused)


def said(number: int) -> tuple[Evidence, Verified]:
    """Some evidence, and what it was found to say."""
    selectors = frozenset({Selector(key="k8s:ns", value=str(number))})
    until = NOW + timedelta(hours=1)
    verified = Verified(
        trusted_issuer_id="cluster-a",
        trusted_issuer_revision=1,
        kind=TrustedIssuerKind.KUBERNETES,
        selectors=selectors,
        until=until,
    )
    return Evidence(scheme=Scheme.BEARER, credential=f"evidence {number}"), verified


def test_room_is_made_by_what_was_not_asked_for_longest() -> None:
    its = kubernetes(key=EC)
    remembered = EvidenceCache(at_most=2)
    known = [said(number) for number in range(3)]

    def remember(number: int) -> None:
        remembered.remember(its.trusted_issuer, *known[number], kid="one", key=EC.public)

    remember(0)
    remember(1)
    assert remembered.recall(its.trusted_issuer, known[0][0], NOW, finder(its)) == known[0][1]
    remember(2)
    assert [remembered.recall(its.trusted_issuer, each, NOW, finder(its)) is not None for each, _ in known] == [
        True,
        False,
        True,
    ]


def test_many_at_once_each_get_their_own() -> None:
    """Threads that remember, recall and crowd each other out, each with evidence of its own."""
    its = kubernetes(key=EC)
    remembered = EvidenceCache(at_most=8)
    known = [said(number) for number in range(24)]

    def work(turn: int) -> bool:
        evidence, verified = known[turn * 7 % 24]
        before = remembered.recall(its.trusted_issuer, evidence, NOW, finder(its))
        remembered.remember(its.trusted_issuer, evidence, verified, kid="one", key=EC.public)
        after = remembered.recall(its.trusted_issuer, evidence, NOW, finder(its))
        return {before, after} <= {None, verified}

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(5000)))
    kept = [evidence for evidence, _ in known if remembered.recall(its.trusted_issuer, evidence, NOW, finder(its))]
    assert len(kept) <= 8
