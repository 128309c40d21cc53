"""Workloads' tokens: one proves only if it is of the client's trusted issuer, for us, valid now, with all selectors."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from attesting import HELPER, OWN_ID, SHOWN, ask, client, proof, proved, refused
from authsec_server.attestation.model import Evidence, Proved, RefusalReason, Refused, Scheme
from authsec_server.attestation.service import attest
from authsec_server.attestation.workloads import Workloads
from authsec_server.clients.model import ProofKind
from authsec_server.failures import Unavailable
from authsec_server.issuers.model import KeysUnavailable
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey
from long_runs import some_of
from workload_evidence import EC, GITHUB, NOW, OTHER_RSA, RSA, US, Issuer, finder, github, kubernetes, spire

from examples import examples

SECONDS = int(NOW.timestamp())


def test_a_pods_token_proves_namespace_account_pod_and_node() -> None:
    its = kubernetes()
    every = (
        *HELPER,
        ("k8s:pod-name", "customer-support-7f9c5b4d6-x2x7k"),
        ("k8s:pod-uid", "5b2cb9d4-4a36-4f5b-9f0e-8d6a9a0f1c22"),
        ("k8s:node-name", "worker-1"),
    )
    found = proved(ask(its.token(), [its], proof(its, *every)))
    assert (found.proof_id, found.method, found.attested, found.single_use) == ("p1", "kubernetes", True, None)
    assert found.selectors == tuple(key for key, _ in every)
    assert (found.trusted_issuer_id, found.trusted_issuer_revision) == ("cluster-a", 1)


def bound(**changes: Any) -> dict[str, Any]:
    its = kubernetes().claims()["kubernetes.io"] | changes
    return {"kubernetes.io": {name: value for name, value in its.items() if value is not None}}


def test_without_a_pod_the_account_alone_is_proved() -> None:
    """A token of `kubectl create token`. The node it may be bound to is where somebody wished it to be."""
    its = kubernetes()
    token = its.token(**bound(pod=None))
    assert proved(ask(token, [its], proof(its, *HELPER))).selectors == ("k8s:ns", "k8s:sa")
    outcome = ask(token, [its], proof(its, *HELPER, ("k8s:node-name", "worker-1")))
    refused(outcome, RefusalReason.MISMATCH)


def test_a_cluster_too_old_to_name_the_node() -> None:
    its = kubernetes()
    assert proved(ask(its.token(**bound(node=None)), [its], proof(its, *HELPER)))


@pytest.mark.parametrize(
    "claims",
    [
        bound(namespace="kube-system"),
        bound(namespace=None),
        bound(namespace=["production"]),
        bound(serviceaccount={"name": "admin", "uid": "1"}),
        bound(serviceaccount="customer-support-sa"),
        bound(serviceaccount=None),
        bound(pod="customer-support"),
        bound(pod={"name": "customer-support"}),
        bound(node={"uid": "1"}),
        bound(namespace="production:customer", serviceaccount={"name": "x"})
        | {"sub": "system:serviceaccount:production:customer:x"},
        {"kubernetes.io": None},
        {"kubernetes.io": "production"},
        {"sub": None},
        {"sub": "system:serviceaccount:production"},
        {"sub": "system:serviceaccount:production:admin"},
        {"sub": "system:node:worker-1"},
    ],
    ids=str,
)
def test_a_kubernetes_token_at_odds_with_itself(claims: dict[str, Any]) -> None:
    its = kubernetes()
    refused(ask(its.token(**claims), [its], proof(its, *HELPER)))


def test_the_token_of_a_secret_is_refused() -> None:
    """It never ends, and is what a cluster's backup is full of."""
    its = kubernetes(issuer="kubernetes/serviceaccount")
    legacy = {
        "kubernetes.io/serviceaccount/namespace": "production",
        "kubernetes.io/serviceaccount/secret.name": "customer-support-sa-token-x2x7k",
        "kubernetes.io/serviceaccount/service-account.name": "customer-support-sa",
        "kubernetes.io/serviceaccount/service-account.uid": "b1fb3d0c-33c5-4d77-bbcb-8d2b1f6a4a10",
    }
    nothing = dict.fromkeys(("aud", "exp", "iat", "nbf", "kubernetes.io"))
    refused(ask(its.token(**legacy, **nothing), [its], proof(its, *HELPER)))
    refused(ask(its.token(**legacy, **{"kubernetes.io": None}), [its], proof(its, *HELPER)))


@pytest.mark.parametrize("audience", [["https://kubernetes.default.svc.cluster.local"], "api", None])
def test_the_automounted_token_is_answered_with_the_volume_that_helps(audience: Any) -> None:
    its = kubernetes()
    details = refused(ask(its.token(aud=audience), [its], proof(its, *HELPER))).details
    assert "serviceAccountToken:" in details
    assert f'audience: "{US}"\n' in details
    assert "expirationSeconds: 3600" in details


def test_a_trusted_issuer_may_have_an_audience_of_its_own() -> None:
    its = kubernetes(audience="authsec")
    assert proved(ask(its.token(aud=["authsec"]), [its], proof(its, *HELPER)))
    assert 'audience: "authsec"\n' in refused(ask(its.token(), [its], proof(its, *HELPER))).details


def test_an_svid_proves_the_registered_spiffe_id() -> None:
    its = spire()
    subject = its.claims()["sub"]
    found = proved(ask(its.token(), [its], proof(its, ("spiffe:id", subject))))
    assert (found.method, found.selectors) == ("spiffe", ("spiffe:id",))
    refused(ask(its.token(sub=subject + "x"), [its], proof(its, ("spiffe:id", subject))), RefusalReason.MISMATCH)


def test_an_svid_proves_the_clients_own_spiffe_id_and_spire_enforces_the_rest() -> None:
    its = spire()
    found = proved(ask(its.token(sub=OWN_ID), [its], proof(its, *HELPER, ("unix:uid", "1000"))))
    assert found.selectors == ("spiffe:id",)
    other = OWN_ID.replace("4000", "4001")
    missed = refused(ask(its.token(sub=other), [its], proof(its, *HELPER)), RefusalReason.MISMATCH).miss
    assert missed is not None
    assert missed.sentence == f"SPIFFE ID is `{other}`, registered `{OWN_ID}`"


def test_what_neither_an_svid_nor_spire_can_say_never_matches() -> None:
    its = spire()
    held = proof(its, ("spiffe:id", OWN_ID), ("github:repository", "example/x"))
    refused(ask(its.token(sub=OWN_ID), [its], held), RefusalReason.MISMATCH)


@pytest.mark.parametrize(
    "subject",
    [
        None,
        7,
        "spiffe://example.org",
        "spiffe://example.org/",
        "spiffe://example.org/a//b",
        "spiffe://example.org/a/",
        "spiffe://example.org/../b",
        "spiffe://example.org/a/.",
        "spiffe://example.org/a b",
        "spiffe://example.org/a?b",
        "spiffe://example.org/" + "a" * 2048,
        "spiffe://example.org.evil.example/a",
        "spiffe://example.com/a",
        "SPIFFE://example.org/a",
        "spiffe://EXAMPLE.org/a",
        "example.org/a",
    ],
    ids=lambda subject: str(subject)[:40],
)
def test_what_is_no_spiffe_id_of_the_trust_domain(subject: Any) -> None:
    its = spire()
    refused(ask(its.token(sub=subject), [its], proof(its, ("spiffe:id", str(subject)))))


def test_a_jobs_token_proves_what_the_trusted_issuer_maps() -> None:
    its = github()
    held = (("github:repository", "example/support-agent"), ("github:environment", "production"))
    found = proved(ask(its.token(), [its], proof(its, *held)))
    assert (found.method, found.selectors) == ("oidc", ("github:repository", "github:environment"))


def test_numbers_and_truths_are_texts_and_lists_are_nothing() -> None:
    names = {"x:number": "number", "x:truth": "truth", "x:list": "list", "x:empty": "empty", "x:none": "none"}
    its = github(claims=names)
    token = its.token(number=42, truth=True, list=["a"], empty="")
    assert proved(ask(token, [its], proof(its, ("x:number", "42"), ("x:truth", "true"))))
    for missing in [("x:list", "a"), ("x:list", '["a"]'), ("x:empty", ""), ("x:none", "null"), ("x:truth", "True")]:
        refused(ask(token, [its], proof(its, missing)), RefusalReason.MISMATCH)
    refused(ask(its.token(), [its], proof(its, ("x:number", "42"))))


@pytest.mark.parametrize("its", [kubernetes(), spire(), github()], ids=lambda its: its.trusted_issuer.kind.value)
@pytest.mark.parametrize(
    "claims",
    [
        {"aud": None},
        {"aud": []},
        {"aud": [US, "other"]},
        {"aud": US + "/"},
        {"aud": {US: 1}},
        {"exp": None},
        {"exp": str(SECONDS + 60)},
        {"exp": SECONDS + 60.5},
        {"exp": True},
        {"exp": SECONDS - 30},
        {"iat": SECONDS + 31},
        {"iat": "0"},
        {"nbf": SECONDS + 31},
    ],
    ids=str,
)
def test_one_wrong_claim_spoils_it(its: Issuer, claims: dict[str, Any]) -> None:
    held = proof(its, *SHOWN[its.trusted_issuer.kind])
    assert proved(ask(its.token(), [its], held))
    refused(ask(its.token(**claims), [its], held))


@pytest.mark.parametrize("its", [kubernetes(), github()], ids=lambda its: its.trusted_issuer.kind.value)
def test_a_token_for_longer_than_a_day_is_refused(its: Issuer) -> None:
    held = proof(its, *SHOWN[its.trusted_issuer.kind])
    assert proved(ask(its.token(exp=SECONDS + 86_400), [its], held))
    refused(ask(its.token(exp=SECONDS + 86_401), [its], held))
    refused(ask(its.token(iat=SECONDS - 90_000), [its], held))
    refused(ask(its.token(iat=None), [its], held))
    refused(ask(its.token(iss=its.trusted_issuer.issuer + "/"), [its], held))


@pytest.mark.parametrize("seconds", [-90, -60, -20, 20, 60, 90])
@pytest.mark.parametrize("its", [kubernetes(), spire(), github()], ids=lambda its: its.trusted_issuer.kind.value)
def test_clocks_may_differ_by_half_a_minute(its: Issuer, seconds: int) -> None:
    """The issuer's clock is so far off, for a token that it makes valid for a minute from now on."""
    issued = SECONDS + seconds
    token = its.token(iat=issued, nbf=issued, exp=issued + 60)
    outcome = ask(token, [its], proof(its, *SHOWN[its.trusted_issuer.kind]))
    assert isinstance(outcome, Proved) is (-90 < seconds <= 30)


@pytest.mark.parametrize(
    "alg", some_of(["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"], each=4)
)
def test_every_algorithm_that_clusters_and_trust_domains_sign_with(alg: str) -> None:
    curves = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
    key = ECKey.generate_key(curves[alg]) if alg in curves else RSAKey.generate_key(2048)
    its = kubernetes()
    its.key = type(its.key).from_pem(key.as_pem(private=True))
    token = jws.serialize_compact({"alg": alg, "kid": "one"}, json.dumps(its.claims()).encode(), key, algorithms=[alg])
    assert proved(ask(token, [its], proof(its, *HELPER)))


def test_any_of_several_proofs_suffices_and_only_those_that_stand() -> None:
    its = kubernetes()
    wrong = proof(its, ("k8s:ns", "staging"), id_="p0")
    assert proved(ask(its.token(), [its], wrong, proof(its, *HELPER))).proof_id == "p1"
    refused(ask(its.token(), [its], wrong, proof(its, *HELPER, expires_at=NOW)), RefusalReason.MISMATCH)
    refused(ask(its.token(), [its], proof(its, *HELPER, expires_at=NOW)))
    refused(ask(its.token(), [its], proof(its, *HELPER, kind=ProofKind.SECRET)))


def test_a_disabled_trusted_issuer_proves_nothing() -> None:
    its = kubernetes(enabled=False)
    refused(ask(its.token(), [its], proof(its, *HELPER)))


def test_clusters_that_share_an_issuer_are_told_apart_by_their_keys() -> None:
    a, b = kubernetes("cluster-a", RSA), kubernetes("cluster-b", EC)
    held = proof(a, *HELPER, id_="in-a"), proof(b, *HELPER, id_="in-b")
    assert proved(ask(a.token(), [a, b], *held)).proof_id == "in-a"
    assert proved(ask(b.token(), [a, b], *held)).proof_id == "in-b"


def test_keys_that_cannot_be_had_are_no_refusal() -> None:
    its = kubernetes()

    def away(*_: Any) -> Any:
        raise KeysUnavailable("The cluster is away.")

    with pytest.raises(Unavailable) as raised:
        ask(its.token(), [its], proof(its, *HELPER), find=away)
    assert "cluster" not in raised.value.message, "the sentence is for the operator's log"
    assert "The cluster is away." in repr(raised.value.__cause__)
    elsewhere = github()
    refused(ask(elsewhere.token(), [its, elsewhere], proof(its, *HELPER), find=away))


def test_another_trusted_issuers_keys_may_be_away() -> None:
    a, b = kubernetes("cluster-a", RSA), kubernetes("cluster-b", EC)
    keys = finder(b)

    def find(trusted_issuer: Any, kid: str) -> Any:
        if trusted_issuer.id == "cluster-a":
            raise KeysUnavailable("It is away.")
        return keys(trusted_issuer, kid)

    held = proof(a, *HELPER, id_="in-a"), proof(b, *HELPER, id_="in-b")
    assert proved(ask(b.token(), [a, b], *held, find=find)).proof_id == "in-b"
    with pytest.raises(Unavailable):
        ask(a.token(), [a, b], *held, find=find)


def row(key: str, registered: str, shown: str, *, agrees: bool = False, proved_by: str = "token") -> dict[str, Any]:
    return {"key": key, "registered": registered, "shown": shown, "agrees": agrees, "proved_by": proved_by}


def test_the_closest_miss_is_told_to_operators_only() -> None:
    its = kubernetes()
    held = (
        proof(its, ("k8s:ns", "staging"), ("k8s:sa", "other"), id_="p0"),
        proof(its, ("k8s:ns", "production"), ("k8s:sa", "customer-support"), ("k8s:pod-label:app", "x"), id_="p1"),
    )
    found = refused(ask(its.token(), [its], *held), RefusalReason.MISMATCH)
    assert found.miss is not None
    assert found.miss.sentence == (
        "namespace matches; service account is `customer-support-sa`, registered `customer-support`; "
        "label app is missing, registered `x`"
    )
    assert found.miss.detail == {
        "proof_id": "p1",
        "trusted_issuer_id": "cluster-a",
        "sentence": found.miss.sentence,
        "selectors": [
            row("k8s:ns", "production", "production", agrees=True),
            row("k8s:sa", "customer-support", "customer-support-sa"),
            row("k8s:pod-label:app", "x", "", proved_by="never"),
        ],
        "validation": "offline",
    }
    for word in ("customer-support", "production", "staging", "cluster-a"):
        assert word not in found.details


def test_what_a_stranger_cannot_tell_apart() -> None:
    """Whether the client trusts this issuer at all is nobody's business who has none of its tokens."""
    its, unknown = kubernetes(), kubernetes("cluster-b", issuer="https://elsewhere.example")
    held = proof(its, *HELPER)
    forged = ask(its.token(key=OTHER_RSA), [its], held)
    unknown_key = ask(its.token(header={"kid": "two"}), [its], held)
    no_trusted_issuer = ask(unknown.token(), [its], held)
    assert forged == unknown_key == no_trusted_issuer
    assert refused(forged)


def test_a_long_value_is_cut_for_people_and_compared_whole() -> None:
    its = github(claims={"x:long": "long"})
    token = its.token(long="a" * 300)
    found = refused(ask(token, [its], proof(its, ("x:long", "a" * 255))), RefusalReason.MISMATCH)
    assert found.miss is not None
    assert found.miss.rows[0].shown == "a" * 255
    assert not found.miss.rows[0].agrees


def test_what_would_turn_a_page_around_is_made_visible() -> None:
    its = github(claims={"x:odd": "odd"})
    outcome = ask(its.token(odd="a\u202eb\x1b"), [its], proof(its, ("x:odd", "a")))
    found = refused(outcome, RefusalReason.MISMATCH).miss
    assert found is not None
    assert found.rows[0].shown == "a\ufffdb\ufffd"


KEYS = ("k8s:ns", "k8s:sa", "k8s:pod-name", "k8s:pod-uid", "k8s:node-name")
names = st.sampled_from(["a", "b", "c"])


@settings(max_examples=examples(500))
@given(st.lists(st.tuples(st.sampled_from(KEYS), names), unique_by=lambda it: it[0], min_size=1), st.data())
def test_no_claims_that_lack_a_registered_selector_are_accepted(
    registered: list[tuple[str, str]], data: st.DataObject
) -> None:
    ns, sa, pod, uid, node = (data.draw(names) for _ in KEYS)
    with_pod, with_node = data.draw(st.booleans()), data.draw(st.booleans())
    shown = {"k8s:ns": ns, "k8s:sa": sa}
    claims: dict[str, Any] = {"namespace": ns, "serviceaccount": {"name": sa, "uid": "1"}}
    if with_pod:
        shown |= {"k8s:pod-name": pod, "k8s:pod-uid": uid}
        claims["pod"] = {"name": pod, "uid": uid}
    if with_node:
        shown |= {"k8s:node-name": node} if with_pod else {}
        claims["node"] = {"name": node, "uid": "1"}
    its = kubernetes(key=EC)
    token = its.token(**{"kubernetes.io": claims, "sub": f"system:serviceaccount:{ns}:{sa}"})
    outcome = ask(token, [its], proof(its, *registered))
    assert isinstance(outcome, Proved) is (dict(registered).items() <= shown.items())
    assert isinstance(outcome, Proved) or outcome.reason is RefusalReason.MISMATCH


@settings(max_examples=examples(200))
@given(st.data())
def test_no_evidence_of_one_trusted_issuer_proves_for_another(data: st.DataObject) -> None:
    """Whatever the trusted issuer: the same issuer, name of the key and selectors, even the very same key."""
    key = data.draw(st.sampled_from([RSA, EC]))
    make = data.draw(st.sampled_from([kubernetes, spire, github]))
    speaking, trusted = make("a", key), make("b", data.draw(st.sampled_from([RSA, EC])))
    held = proof(trusted, *SHOWN[trusted.trusted_issuer.kind])
    unrelated = proof(speaking, ("k8s:ns", "nowhere"), id_="p2")
    outcome = ask(speaking.token(), [speaking, trusted], unrelated, held, find=finder(speaking))
    assert isinstance(outcome, Refused)
    assert outcome.reason is RefusalReason.MISMATCH
    assert outcome.miss is not None
    assert outcome.miss.trusted_issuer_id == "a"


@settings(max_examples=examples(300))
@given(st.data())
def test_no_altered_token_proves(data: st.DataObject) -> None:
    its = kubernetes(key=EC)
    good = its.token()
    place = data.draw(st.integers(0, len(good) - 1))
    other = data.draw(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.= "))
    altered = good[:place] + other + good[place + 1 :]
    if altered != good:
        refused(ask(altered, [its], proof(its, *HELPER)))


def test_a_remembered_token_ends_when_it_expires() -> None:
    its = kubernetes()
    judged = Workloads(finder(its), issuer=US, trust_domain="example.org")
    evidence = Evidence(scheme=Scheme.BEARER, credential=its.token(exp=SECONDS + 60))
    agent, trusted_issuers = client(proof(its, *HELPER)), {"cluster-a": its.trusted_issuer}

    def at(seconds: int) -> Proved | Refused:
        now = NOW + timedelta(seconds=seconds)
        return attest(agent, trusted_issuers, evidence, workloads=judged, issuer=US, now=now)

    assert judged.recall(evidence, agent, [its.trusted_issuer], NOW) is None
    assert proved(at(0))
    assert judged.recall(evidence, agent, [its.trusted_issuer], NOW) == at(0)
    assert judged.recall(evidence, agent, [its.trusted_issuer], NOW + timedelta(seconds=60)) is None
    assert proved(at(60)), "within the difference of clocks, it is looked at anew"
    refused(at(90))
    assert GITHUB not in repr(judged)
