"""Selectors: the platforms' vocabulary, and nothing else."""

from __future__ import annotations

import re

import pytest
from authsec_server.clients.model import Platform, Selector
from authsec_server.clients.selectors import KEYS, parse_selectors
from authsec_server.failures import Invalid
from authsec_server.issuers.claims import PRESETS
from hypothesis import given
from hypothesis import strategies as st

GOOD = {
    Platform.KUBERNETES: [
        ("k8s:ns", "production"),
        ("k8s:sa", "customer-support-sa"),
        ("k8s:pod-name", "customer-support-7d9f8b6c5-x2x9z"),
        ("k8s:pod-uid", "0f4a3d2e-8b7c-4f6d-9e1a-2b3c4d5e6f70"),
        ("k8s:node-name", "ip-10-0-0-1.eu-central-1.compute.internal"),
        ("k8s:pod-label:app", "customer-support"),
        ("k8s:pod-label:app.kubernetes.io/name", "Customer_Support.1"),
        ("k8s:pod-owner:ReplicaSet", "customer-support-7d9f8b6c5"),
        ("k8s:container-name", "agent"),
        ("k8s:container-image", "registry.example.com/agent:1.2@sha256:" + "a" * 64),
    ],
    Platform.DOCKER: [
        ("docker:label:com.example.agent", "Customer Support"),
        ("docker:env:AGENT_NAME", "customer-support"),
        ("docker:image_id", "sha256:" + "0" * 64),
    ],
    Platform.UNIX: [
        ("unix:uid", "1000"),
        ("unix:gid", "0"),
        ("unix:user", "agent"),
        ("unix:group", "agents"),
        ("unix:path", "/opt/customer support/agent"),
        ("unix:sha256", "b" * 64),
    ],
    Platform.SPIFFE: [("spiffe:id", "spiffe://example.org/ns/production/sa/support")],
    Platform.OIDC: [("github:repository", "example/support-agent"), ("oidc:sub", "repo:x/y:ref:main"), ("ci:job", "a")],
}

# The list, copied: the code must not know more, nor less.
VOCABULARY = {
    Platform.KUBERNETES: "k8s:ns k8s:sa k8s:pod-name k8s:pod-uid k8s:node-name k8s:pod-label:<key> "
    "k8s:pod-owner:<kind> k8s:container-name k8s:container-image",
    Platform.DOCKER: "docker:label:<key> docker:env:<key> docker:image_id",
    Platform.UNIX: "unix:uid unix:gid unix:user unix:group unix:path unix:sha256",
    Platform.SPIFFE: "spiffe:id",
    Platform.OIDC: " ".join(["oidc:sub", *(key for claims in PRESETS.values() for key in claims if key != "oidc:sub")])
    + " <issuer>:<claim>",
}


def test_the_vocabulary_is_exactly_what_was_agreed() -> None:
    assert {platform: " ".join(key.shown for key in keys) for platform, keys in KEYS.items()} == VOCABULARY
    assert all(key.identifies and key.value_is for keys in KEYS.values() for key in keys)


@pytest.mark.parametrize("platform", GOOD)
def test_good_selectors_are_kept_in_their_order(platform: Platform) -> None:
    pairs = GOOD[platform]
    assert parse_selectors(platform, pairs) == tuple(Selector(key=key, value=value) for key, value in pairs)


@pytest.mark.parametrize(
    ("platform", "key", "nearest"),
    [
        (Platform.KUBERNETES, "k8s:nss", "k8s:ns"),
        (Platform.KUBERNETES, "K8S:NS", "k8s:ns"),
        (Platform.KUBERNETES, "k8s:namespace", "k8s:ns"),
        (Platform.KUBERNETES, "k8s:serviceaccount", "k8s:sa"),
        (Platform.KUBERNETES, "k8s:pod-image", "k8s:container-image"),
        (Platform.KUBERNETES, "k8s:pod_label:app", "k8s:pod-label:<key>"),
        (Platform.DOCKER, "docker:labels:app", "docker:label:<key>"),
        (Platform.DOCKER, "docker:image-id", "docker:image_id"),
        (Platform.UNIX, "unix:username", "unix:user"),
        (Platform.UNIX, "unix:sha-256", "unix:sha256"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(platform: Platform, key: str, nearest: str) -> None:
    with pytest.raises(Invalid, match=f"nearest is {re.escape(nearest)}\\.") as caught:
        parse_selectors(platform, [(key, "x")])
    assert caught.value.field == "selectors.0"


@pytest.mark.parametrize("key", ["", " ", "\0", "é", "*", "k8s:", "x" * 10_000])
def test_whatever_the_key_a_nearest_one_is_named(key: str) -> None:
    with pytest.raises(Invalid, match="nearest is") as caught:
        parse_selectors(Platform.KUBERNETES, [(key, "x")])
    assert len(caught.value.message) < 300
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("key", ["k8s:pod-label:", "k8s:pod-label", "docker:label:", "docker:env", "k8s:pod-owner:"])
def test_a_key_that_must_be_completed_says_with_what(key: str) -> None:
    platform = Platform.KUBERNETES if key.startswith("k8s") else Platform.DOCKER
    with pytest.raises(Invalid, match=r"lacks the (key|kind)") as caught:
        parse_selectors(platform, [(key, "x")])
    assert re.search(r"<(key|kind)>", caught.value.remedy)


@pytest.mark.parametrize("key", ["k8s:pod-label:a b", "k8s:pod-label:app\n", "k8s:pod-label:a/b/c", "k8s:pod-owner:rs"])
def test_a_key_that_is_completed_with_nonsense(key: str) -> None:
    with pytest.raises(Invalid, match=r"has no valid (key|kind)"):
        parse_selectors(Platform.KUBERNETES, [(key, "x")])


def test_a_key_of_another_platform_says_of_which() -> None:
    with pytest.raises(Invalid, match="'docker:label:app' is a selector of Docker, not of Kubernetes"):
        parse_selectors(Platform.KUBERNETES, [("docker:label:app", "x")])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("k8s:ns", "Production"),
        ("k8s:ns", "prod.eu"),
        ("k8s:ns", "-prod"),
        ("k8s:ns", "a" * 64),
        ("k8s:sa", "a..b"),
        ("k8s:pod-uid", "1"),
        ("k8s:pod-label:app", "a b"),
        ("k8s:container-image", "a b"),
        ("k8s:ns", "*"),
        ("unix:uid", "root"),
        ("unix:uid", "01"),
        ("unix:uid", "-1"),
        ("unix:uid", "1²"),
        ("unix:gid", "١"),  # noqa: RUF001 - a digit to Unicode, none to a kernel
        ("unix:path", "agent"),
        ("unix:path", "/opt/../agent"),
        ("unix:path", "/opt//agent"),
        ("unix:path", "/opt/agent/"),
        ("unix:sha256", "B" * 64),
        ("unix:sha256", "b" * 63),
    ],
)
def test_a_value_that_could_never_match_is_refused(key: str, value: str) -> None:
    platform = Platform.UNIX if key.startswith("unix") else Platform.KUBERNETES
    with pytest.raises(Invalid, match=f"is not a valid value of {key}") as caught:
        parse_selectors(platform, [(key, value)])
    assert caught.value.remedy.startswith("Give ")


@pytest.mark.parametrize("value", ["", " ", " a", "a ", "a\n", "a\0", "\x1b[2J", "a\u202eb", "\ud800", "x" * 256])
def test_values_are_visible_and_bounded(value: str) -> None:
    with pytest.raises(Invalid, match="1 to 255 visible characters"):
        parse_selectors(Platform.DOCKER, [("docker:label:app", value)])


def test_a_key_given_twice_is_refused() -> None:
    with pytest.raises(Invalid, match="k8s:ns is given twice") as caught:
        parse_selectors(Platform.KUBERNETES, [("k8s:ns", "a"), ("k8s:sa", "b"), ("k8s:ns", "c")])
    assert caught.value.field == "selectors.2"


def test_labels_of_different_keys_are_different_selectors() -> None:
    pairs = [("k8s:pod-label:app", "a"), ("k8s:pod-label:tier", "a")]
    assert len(parse_selectors(Platform.KUBERNETES, pairs)) == 2


@pytest.mark.parametrize("platform", [Platform.KUBERNETES, Platform.DOCKER, Platform.UNIX])
def test_nothing_to_check_means_no(platform: Platform) -> None:
    with pytest.raises(Invalid, match="needs at least one selector") as caught:
        parse_selectors(platform, [])
    assert caught.value.field == "selectors"
    assert all(key.shown in caught.value.remedy for key in KEYS[platform])


@pytest.mark.parametrize("platform", [Platform.KEY, Platform.UNATTESTED])
def test_platforms_without_selectors_take_none(platform: Platform) -> None:
    assert parse_selectors(platform, []) == ()
    with pytest.raises(Invalid, match="takes no selectors") as caught:
        parse_selectors(platform, [("k8s:ns", "production")])
    assert caught.value.field == "selectors"


def test_there_is_an_end_to_selectors() -> None:
    with pytest.raises(Invalid, match="more than 32"):
        parse_selectors(Platform.KUBERNETES, [(f"k8s:pod-label:l{number}", "x") for number in range(33)])


keys = st.one_of(
    st.text(max_size=40),
    st.sampled_from([key.key for each in KEYS.values() for key in each]).flatmap(
        lambda head: st.text("abz/.:*\n\0 é", max_size=8).map(lambda tail: head + tail)
    ),
)


@given(st.sampled_from(sorted(KEYS)), keys, st.text(max_size=300))
def test_whatever_is_accepted_is_in_the_vocabulary(platform: Platform, key: str, value: str) -> None:
    try:
        (selector,) = parse_selectors(platform, [(key, value)])
    except Invalid:
        return  # refused: the property is about what is taken
    assert (selector.key, selector.value) == (key, value)
    assert [known for known in KEYS[platform] if known.fits(key)], "an unknown key was accepted"
    assert value
    assert value.isprintable()
    assert len(value) <= 255
    assert not key.endswith(":")
    assert key.isascii()


def selector(platform: Platform, key: str, value: str) -> Selector:
    (parsed,) = parse_selectors(platform, [(key, value)])
    return parsed


def test_a_spiffe_id_is_one_of_the_standard() -> None:
    for value in ("spiffe://example.org/agent", "spiffe://a-b_c.d/ns/production/sa/Support_1.x"):
        assert selector(Platform.SPIFFE, "spiffe:id", value).value == value


@pytest.mark.parametrize(
    "value",
    [
        "example.org/agent",
        "spiffe://example.org",  # the trust domain itself is no workload
        "spiffe://example.org/",
        "spiffe://Example.org/agent",
        "SPIFFE://example.org/agent",
        "spiffe://example.org:8443/agent",
        "spiffe://user@example.org/agent",
        "spiffe://example.org//agent",
        "spiffe://example.org/./agent",
        "spiffe://example.org/../agent",
        "spiffe://example.org/agent/..",
        "spiffe://example.org/agent/",
        "spiffe://example.org/agent?x=1",
        "spiffe://example.org/agent#x",
        "spiffe://example.org/a%20b",
        "spiffe:///agent",
    ],
)
def test_what_is_no_spiffe_id_of_a_workload(value: str) -> None:
    with pytest.raises(Invalid, match="is not a valid value of spiffe:id") as caught:
        selector(Platform.SPIFFE, "spiffe:id", value)
    assert "a SPIFFE ID: spiffe://" in caught.value.remedy


def test_every_selector_that_a_preset_makes_is_offered_and_explained() -> None:
    made = {key for claims in PRESETS.values() for key in claims}
    offered = {each.key: each.identifies for each in KEYS[Platform.OIDC] if not each.parameter}
    assert set(offered) == made
    assert all(offered.values())
    assert "never reused" in offered["github:repository_id"]


@pytest.mark.parametrize("key", ["github:repository", "oidc:sub", "ci:job.name", "9:x", "kube:ns"])
def test_an_issuer_may_have_selectors_of_its_own(key: str) -> None:
    assert selector(Platform.OIDC, key, "release candidate").key == key


@pytest.mark.parametrize(
    "key", ["k8s:anything", "docker:x", "unix:x", "spiffe:x", "CI:job", "ci", "ci:", ":job", "ci:a/b"]
)
def test_what_no_issuer_can_say(key: str) -> None:
    with pytest.raises(Invalid, match=r"is not a selector of OpenID Connect|has no valid|is a selector of"):
        selector(Platform.OIDC, key, "x")


@given(
    st.from_regex(r"[a-z0-9]{1,8}:[a-z0-9_.:-]{1,20}", fullmatch=True)
    | st.sampled_from(["k8s:ns", "spiffe:id", "oidc:sub"])
)
def test_a_selector_is_never_of_two_platforms(key: str) -> None:
    fitting = [each for keys in KEYS.values() for each in keys if each.fits(key)]
    assert len(fitting) <= 1
