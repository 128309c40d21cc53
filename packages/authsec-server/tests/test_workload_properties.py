"""What never lets anybody in at the endpoint: claims that lack a selector, or another trusted issuer's word.

Of each kind of trusted issuer; agents and trusted issuers stand in one authority, as they do where they are many.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from api_server import ApiServer, pod
from attesting import SHOWN
from authsec.jose import PrivateKey
from authsec_server.issuers.model import TrustedIssuerKind
from hypothesis import given, settings
from hypothesis import strategies as st
from trusted_issuers import agent, shows, trust
from workload_evidence import EC, GITHUB_CLAIMS, OTHER_RSA, RSA, Issuer, github, kubernetes, spire

from examples import examples

FEW = st.sampled_from(["a", "b"])
KUBERNETES = ("k8s:ns", "k8s:sa", "k8s:pod-name", "k8s:pod-uid", "k8s:node-name")
NOTHING = [None, "", [], ["a"], {"a": "a"}, {}]  # as claims: no text of theirs is a selector's value
EXAMPLES = settings(max_examples=examples(60))


class Company:
    """An authority that trusts one issuer, with an agent for each registration that is asked for."""

    def __init__(self, its: Any, issuer: Issuer) -> None:
        self.its, self.issuer = its, issuer
        self._agents: dict[Any, str] = {}
        trust(its, issuer)

    def lets_in(self, registered: Mapping[str, str], **claims: Any) -> bool:
        """Whether a workload with these claims is the agent that is registered so."""
        mark = frozenset(registered.items())
        if mark not in self._agents:
            name = f"Agent {len(self._agents)}"
            self._agents[mark] = agent(self.its, self.issuer, *sorted(registered.items()), name=name)
        answer = shows(self.its, self._agents[mark], self.issuer.token(**claims))
        if answer.status_code == 200:
            return True
        assert answer.json()["reason"] in {"selectors_mismatch", "attestation_invalid"}, answer.text
        return False


@pytest.fixture
def company(house: Callable[..., Any]) -> Callable[[Issuer], Company]:
    limits = dict.fromkeys(("address_limit", "client_limit", "unproved_limit"), 100_000)
    return lambda issuer: Company(house(**limits), issuer)


def test_no_pod_that_lacks_a_selector_is_let_in(company: Any) -> None:
    its = company(kubernetes(key=EC))

    @EXAMPLES
    @given(st.dictionaries(st.sampled_from(KUBERNETES), FEW, min_size=1), st.tuples(*[FEW] * 5), st.booleans())
    def check(registered: dict[str, str], values: tuple[str, ...], bound_to_a_pod: bool) -> None:
        ns, sa, pod, uid, node = values
        bound: dict[str, Any] = {"namespace": ns, "serviceaccount": {"name": sa, "uid": "1"}}
        if bound_to_a_pod:
            bound |= {"pod": {"name": pod, "uid": uid}, "node": {"name": node, "uid": "1"}}
        shown = dict(zip(KUBERNETES, values if bound_to_a_pod else values[:2], strict=False))
        let_in = its.lets_in(registered, sub=f"system:serviceaccount:{ns}:{sa}", **{"kubernetes.io": bound})
        assert let_in is (registered.items() <= shown.items())

    check()


def test_no_pod_is_let_in_of_which_its_cluster_does_not_say_what_is_registered(
    house: Any, peers: Any, peer: Any, tmp_path: Path
) -> None:
    server, issuer = ApiServer(peers, peer, tmp_path), kubernetes(key=EC)
    its = house(**server.settings, lookup_seconds=0, client_limit=100_000)
    trust(its, issuer, may_look_up=True, **server.asked_for(token_review=False))
    agents: dict[Any, str] = {}
    asked = (
        "k8s:pod-label:app",
        "k8s:pod-label:tier",
        "k8s:container-name",
        "k8s:container-image",
        "k8s:pod-owner:Job",
    )

    @settings(max_examples=examples(40))
    @given(
        st.dictionaries(st.sampled_from(asked), FEW, min_size=1),
        st.dictionaries(st.sampled_from(["app", "tier"]), FEW),
        st.lists(st.fixed_dictionaries({"name": FEW, "image": FEW}), max_size=2),
        st.lists(st.fixed_dictionaries({"kind": st.sampled_from(["Job", "Node"]), "name": FEW}), max_size=1),
    )
    def check(
        registered: dict[str, str],
        labels: dict[str, str],
        containers: list[dict[str, str]],
        owners: list[dict[str, str]],
    ) -> None:
        mark = frozenset(registered.items())
        if mark not in agents:
            agents[mark] = agent(
                its, issuer, *SHOWN[issuer.trusted_issuer.kind], *sorted(mark), name=f"Agent {len(agents)}"
            )
        running = pod({"labels": labels, "ownerReferences": owners}, {"containers": containers, "initContainers": []})
        server.pods = {running["metadata"]["name"]: running}
        said = {(f"k8s:pod-label:{name}", value) for name, value in labels.items()}
        said |= {(f"k8s:container-{name}", each[name]) for each in containers for name in each}
        said |= {(f"k8s:pod-owner:{each['kind']}", each["name"]) for each in owners}
        answer = shows(its, agents[mark], issuer.token())
        assert answer.status_code == (200 if registered.items() <= said else 403), answer.text

    check()


def test_no_job_that_lacks_a_selector_is_let_in(company: Any) -> None:
    its = company(github(key=EC))
    claims = st.one_of(FEW, st.sampled_from(NOTHING), st.integers(0, 1), st.booleans())
    values = st.sampled_from(["a", "b", "0", "1", "true", "false", "null", "[]", "{}"])

    @EXAMPLES
    @given(st.data())
    def check(data: st.DataObject) -> None:
        keys = st.sampled_from([*GITHUB_CLAIMS])
        registered = data.draw(st.dictionaries(keys, values, min_size=1, max_size=3))
        said = {name: data.draw(claims, label=name) for name in GITHUB_CLAIMS.values()}
        shown = {key: text_of(said[name]) for key, name in GITHUB_CLAIMS.items()}
        assert its.lets_in(registered, **said) is all(shown[key] == value for key, value in registered.items())

    check()


def text_of(claim: Any) -> str | None:
    """What the claim is as a selector; None for what is none."""
    if isinstance(claim, bool):
        return "true" if claim else "false"
    return str(claim) if isinstance(claim, str | int) and claim != "" else None


def test_no_workload_with_another_spiffe_id_is_let_in(company: Any) -> None:
    its = company(spire())
    good = ["a", "b", "A", "a/b"]
    names = st.sampled_from([*good, "a%2Fb", "a/", "/a", "a//b", "../a", "a/.", "ä", "a b", "a?b", "a#b", ""])
    both = st.one_of(names.map(lambda name: (name, name)), st.tuples(names, names))
    ours = "spiffe://example.org/"
    domains = st.sampled_from([ours, ours, "spiffe://example.com/", "SPIFFE://example.org/", ""])

    @EXAMPLES
    @given(both, domains)
    def check(named: tuple[str, str], domain: str) -> None:
        registered, shown = named
        wanted, subject = f"{ours}{registered}", f"{domain}{shown}"
        assert its.lets_in({"spiffe:id": wanted}, sub=subject) is (wanted == subject and shown in good)

    check()


def trusted_issuers() -> list[Issuer]:
    """Two of each kind, as alike as two can be that both are registered: of one issuer, or with one key."""
    one = "https://one.example"
    return [
        kubernetes("cluster-a", RSA, issuer=one),
        kubernetes("cluster-b", EC, issuer=one),
        github("ci-a", OTHER_RSA, issuer=one),
        github("ci-b", RSA, issuer="https://two.example"),
        spire("domain-a", PrivateKey.generate_ec(), issuer="example.org"),
        spire("domain-b", EC, issuer="example.com"),
    ]


def claims_of(issuer: Issuer) -> dict[str, Any]:
    """Those of the workload that the tests are about, as this trusted issuer makes them."""
    its = issuer.claims()
    return (
        its
        if issuer.trusted_issuer.kind is not TrustedIssuerKind.SPIFFE
        else its | {"sub": f"spiffe://{issuer.trusted_issuer.issuer}/it"}
    )


def shown_by(issuer: Issuer) -> tuple[tuple[str, str], ...]:
    kind = issuer.trusted_issuer.kind
    return SHOWN[kind] if kind is not TrustedIssuerKind.SPIFFE else (("spiffe:id", claims_of(issuer)["sub"]),)


def disguises(speaking: Issuer, trusted: Issuer) -> list[dict[str, Any]]:
    """What the speaking one says, and what it may say to look like the trusted one; signed by itself.

    With the very key of the other it would be the other: there it only speaks as itself.
    """
    own, others = claims_of(speaking), claims_of(trusted)
    if speaking.key is trusted.key:
        return [own]
    return [own, own | {"iss": trusted.trusted_issuer.issuer}, own | {"sub": others["sub"]}, own | others, others]


def test_no_evidence_of_one_trusted_issuer_proves_for_another(house: Any) -> None:
    its = house(**dict.fromkeys(("address_limit", "client_limit", "unproved_limit"), 100_000))
    every, agents = trusted_issuers(), {}
    for trusted in every:
        trust(its, trusted)
        agents[trusted.trusted_issuer.name] = agent(its, trusted, *shown_by(trusted), name=trusted.trusted_issuer.name)
    for speaking, trusted in product(every, every):
        for claims in disguises(speaking, trusted):
            nothing = dict.fromkeys(speaking.claims())
            token = speaking.token(**nothing | claims)
            status = shows(its, agents[trusted.trusted_issuer.name], token).status_code
            assert status == (200 if speaking is trusted else 401), (
                speaking.trusted_issuer.name,
                trusted.trusted_issuer.name,
                claims,
            )
