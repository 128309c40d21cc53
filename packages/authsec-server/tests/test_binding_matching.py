"""Which trusted issuer a proof rests on, as a rule of values."""

from __future__ import annotations

from dataclasses import replace

import pytest
from authsec_server.clients.binding_matching import FITTING, chosen, fits, proves, require_suitable, what_fits
from authsec_server.clients.model import Platform, Selector
from authsec_server.clients.selectors import KEYS
from authsec_server.failures import Invalid
from authsec_server.issuers.model import Provenance, TrustedIssuer, TrustedIssuerKind, provenance
from hypothesis import given
from hypothesis import strategies as st
from workload_evidence import github, kubernetes, spire, trusted_issuer

OURS = "authsec.internal"
CLUSTER, OTHER_CLUSTER = kubernetes().trusted_issuer, kubernetes("cluster-b").trusted_issuer
SPIRE, OUR_SPIRE = spire().trusted_issuer, spire("ours", issuer=OURS).trusted_issuer
GITHUB = github().trusted_issuer
GITLAB = trusted_issuer(
    "gitlab", TrustedIssuerKind.OIDC, "https://gitlab.com", claims={"gitlab:project_id": "project_id"}
)
ALL = (CLUSTER, OTHER_CLUSTER, SPIRE, OUR_SPIRE, GITHUB, GITLAB)
NS = Selector(key="k8s:ns", value="production")
LABEL = Selector(key="k8s:pod-label:app", value="support")
ID = Selector(key="spiffe:id", value="spiffe://example.org/ns/production")
REPOSITORY = Selector(key="github:repository", value="example/agent")


@pytest.mark.parametrize(
    ("platform", "selector", "expected"),
    [
        (Platform.KUBERNETES, NS, {CLUSTER, OTHER_CLUSTER, OUR_SPIRE}),
        (Platform.DOCKER, Selector(key="docker:image_id", value="a"), {OUR_SPIRE}),
        (Platform.UNIX, Selector(key="unix:uid", value="1"), {OUR_SPIRE}),
        (Platform.SPIFFE, ID, {SPIRE}),
        (Platform.OIDC, REPOSITORY, {GITHUB}),
        (Platform.KEY, NS, set()),
        (Platform.UNATTESTED, NS, set()),
    ],
)
def test_which_trusted_issuers_fit(platform: Platform, selector: Selector, expected: set[TrustedIssuer]) -> None:
    assert {each for each in ALL if fits(platform, [selector], each, OURS)} == expected


def test_what_only_look_ups_or_spire_can_tell_is_left_to_spire() -> None:
    assert chosen(Platform.KUBERNETES, [NS, LABEL], [CLUSTER, OUR_SPIRE], OURS) is OUR_SPIRE


def test_where_none_fits_there_is_none() -> None:
    assert chosen(Platform.KUBERNETES, [NS], [GITHUB, SPIRE], OURS) is None
    assert chosen(Platform.SPIFFE, [ID], [OUR_SPIRE], OURS) is None
    assert chosen(Platform.OIDC, [REPOSITORY], [GITLAB], OURS) is None


def test_no_spire_gives_out_ids_of_another_trust_domain() -> None:
    docker = Selector(key="docker:image_id", value="a")
    assert chosen(Platform.DOCKER, [docker], [SPIRE], OURS) is None
    with pytest.raises(Invalid, match=r"this client's SPIFFE ID is in the trust domain authsec\.internal") as caught:
        require_suitable(Platform.DOCKER, [docker], SPIRE, OURS)
    assert caught.value.field == "trusted_issuer"
    assert not fits(Platform.DOCKER, [docker], OUR_SPIRE, ""), "nothing is known of ours: so no"


def test_several_that_could_be_meant_are_named() -> None:
    with pytest.raises(Invalid, match=r"'cluster-a' \(cluster-a\), 'cluster-b' \(cluster-b\)") as caught:
        chosen(Platform.KUBERNETES, [NS], [CLUSTER, OTHER_CLUSTER], OURS)
    assert caught.value.field == "trusted_issuer"
    many = [trusted_issuer(f"c{number}", TrustedIssuerKind.KUBERNETES, "https://x.example") for number in range(7)]
    with pytest.raises(Invalid, match=r"7 trusted issuers can prove .* and 2 more"):
        chosen(Platform.KUBERNETES, [NS], many, OURS)


def test_an_enabled_trusted_issuer_goes_before_disabled_ones() -> None:
    off, other_off = replace(CLUSTER, enabled=False), replace(OTHER_CLUSTER, enabled=False)
    assert chosen(Platform.KUBERNETES, [NS], [off, OTHER_CLUSTER], OURS) is OTHER_CLUSTER
    assert chosen(Platform.KUBERNETES, [NS], [off], OURS) is off, "somebody may enable it again"
    assert chosen(Platform.KUBERNETES, [NS, LABEL], [CLUSTER, replace(OUR_SPIRE, enabled=False)], OURS) is not CLUSTER
    with pytest.raises(Invalid, match=r"^2 trusted issuers can prove"):
        chosen(Platform.KUBERNETES, [NS], [off, OTHER_CLUSTER, OUR_SPIRE], OURS)
    with pytest.raises(Invalid, match=r"^2 trusted issuers can prove"):
        chosen(Platform.KUBERNETES, [NS], [off, other_off], OURS)


def test_what_the_trusted_issuer_can_never_prove_is_refused_with_what_would() -> None:
    with pytest.raises(Invalid, match="is not set up to prove k8s:pod-label:app") as caught:
        chosen(Platform.KUBERNETES, [NS, LABEL], [CLUSTER], OURS)
    assert caught.value.field == "selectors.1"
    assert "turn on pod look-up" in caught.value.remedy
    assert "--pod-lookup --from-kubeconfig --credentials FILE_NAME" in caught.value.remedy
    unmapped = Selector(key="github:actor_id", value="1")
    with pytest.raises(Invalid, match="is not set up to prove github:actor_id") as caught:
        require_suitable(Platform.OIDC, [unmapped], GITHUB, OURS)
    assert "Map a claim to github:actor_id" in caught.value.remedy


@pytest.mark.parametrize(
    ("platform", "selector", "wrong", "says"),
    [
        (Platform.DOCKER, Selector(key="docker:image_id", value="a"), CLUSTER, "cannot prove Docker workloads"),
        (Platform.SPIFFE, ID, OUR_SPIRE, "is an ID of another"),
        (Platform.SPIFFE, Selector(key="spiffe:id", value="spiffe://example.org.evil/x"), SPIRE, "is an ID of another"),
        (Platform.OIDC, REPOSITORY, GITLAB, "maps no claim to a selector that begins with github:"),
    ],
)
def test_a_trusted_issuer_that_does_not_fit_is_refused(
    platform: Platform, selector: Selector, wrong: TrustedIssuer, says: str
) -> None:
    with pytest.raises(Invalid, match=says) as caught:
        require_suitable(platform, [selector], wrong, OURS)
    assert caught.value.field == "trusted_issuer"
    assert caught.value.remedy == what_fits(platform)


VALUES = {"spiffe:id": st.sampled_from(["spiffe://example.org/a", f"spiffe://{OURS}/a", "spiffe://other/a"])}


@st.composite
def workloads(draw: st.DrawFn) -> tuple[Platform, list[Selector]]:
    platform = draw(st.sampled_from(list(KEYS)))
    completed = {"key": "app", "kind": "ReplicaSet", "issuer>:<claim": "ci:job"}
    keys = [each.key + completed.get(each.parameter, "") for each in KEYS[platform]]
    held = draw(st.lists(st.sampled_from(keys), min_size=1, max_size=4, unique=True))
    return platform, [Selector(key=key, value=draw(VALUES.get(key, st.just("x")))) for key in held]


@given(workloads(), st.lists(st.sampled_from(ALL), max_size=6, unique_by=lambda each: each.id))
def test_a_proof_never_rests_on_a_trusted_issuer_that_cannot_know_it(
    workload: tuple[Platform, list[Selector]], registered: list[TrustedIssuer]
) -> None:
    platform, selectors = workload
    try:
        found = chosen(platform, selectors, registered, OURS)
    except Invalid:
        return  # refused: the property is about what is taken
    if found is None:
        assert not any(fits(platform, selectors, each, OURS) for each in registered)
    else:
        assert found.kind in FITTING[platform]
        assert all(provenance(found, each.key) is not Provenance.NEVER for each in selectors)
        assert [each for each in registered if proves(platform, selectors, each, OURS)] == [found]
        require_suitable(platform, selectors, found, OURS)
