"""What an API server's answers mean: only a yes about this token counts, and of a pod only what it is made of."""

from __future__ import annotations

from typing import Any

import pytest
from api_server import no_longer, no_such_pod, pod, review
from authsec_server.attestation.cluster import is_still_valid, pod_selectors
from authsec_server.attestation.kinds import bound_to_pod
from authsec_server.clients.model import Selector
from authsec_server.issuers.cluster_client import NotAnswered
from hypothesis import given
from hypothesis import strategies as st
from workload_evidence import US, kubernetes

BOUND = bound_to_pod(kubernetes().claims())
SAID = {
    ("k8s:pod-label:app", "customer-support"),
    ("k8s:pod-label:app.kubernetes.io/part-of", "support"),
    ("k8s:pod-label:pod-template-hash", "7f9c5"),
    ("k8s:pod-owner:ReplicaSet", "customer-support-7f9c5b4d6"),
    ("k8s:container-name", "agent"),
    ("k8s:container-name", "metrics"),
    ("k8s:container-name", "proxy"),
    ("k8s:container-image", "registry.example.com/agent:1.4"),
    ("k8s:container-image", "registry.example.com/metrics:2"),
    ("k8s:container-image", "registry.example.com/proxy:3"),
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def pairs(told: frozenset[Selector] | None) -> set[tuple[str, str]] | None:
    return None if told is None else {(each.key, each.value) for each in told}


def test_a_yes_about_this_token_counts() -> None:
    assert is_still_valid(review(), BOUND, US)
    older = review()
    del older["status"]["user"]["extra"]
    assert is_still_valid(older, BOUND, US), "clusters before 1.30 do not say which pod it is"


@pytest.mark.parametrize("said", [no_longer(), review(authenticated=False), review(authenticated=None)])
def test_a_no_is_a_no(said: dict[str, Any]) -> None:
    assert is_still_valid(said, BOUND, US) is False


@given(st.dictionaries(st.sampled_from(["authenticated", "user", "audiences", "error"]), VALUES, min_size=1))
def test_no_other_answer_is_ever_a_yes(changes: dict[str, Any]) -> None:
    status = review(**changes)["status"]
    try:
        counts = is_still_valid({"kind": "TokenReview", "status": status}, BOUND, US)
    except NotAnswered:
        return  # it is no yes
    if counts:
        assert status["authenticated"] is True
        assert not status.get("error")
        assert US in status["audiences"]
        assert status["user"] == review()["status"]["user"]


def test_a_pod_as_the_api_server_shows_it() -> None:
    """Without what has ended before the agent began, and without what somebody has put there to look for an error."""
    assert pairs(pod_selectors(pod(), BOUND)) == SAID


@pytest.mark.parametrize(
    "told",
    [
        None,
        pod({"uid": "another"}),
        pod(spec={"serviceAccountName": "default"}),
        pod(status={"phase": "Succeeded"}),
        pod(status={"phase": "Failed"}),
    ],
)
def test_a_pod_that_is_gone_has_ended_or_was_replaced(told: Any) -> None:
    assert pod_selectors(told, BOUND) is None


@pytest.mark.parametrize(
    "told",
    [
        {},
        no_such_pod(),
        pod(kind="PodList"),
        pod(metadata=None, spec=None) | {"metadata": None},
        pod({"namespace": "staging"}),
        pod({"name": "another"}),
        pod({"labels": {f"label-{number}": "x" for number in range(501)}}),
    ],
)
def test_what_is_no_pod_or_another_one_is_no_answer(told: Any) -> None:
    with pytest.raises(NotAnswered):
        pod_selectors(told, BOUND)


@given(st.sampled_from(["labels", "ownerReferences"]), st.sampled_from(["containers", "initContainers"]), VALUES)
def test_whatever_stands_in_a_pod_only_texts_are_said(metadata: str, spec: str, value: Any) -> None:
    told = pairs(pod_selectors(pod({metadata: value}, {spec: value}), BOUND))
    assert told is not None
    assert all(isinstance(each, str) and each for pair in told for each in pair)
    assert {key.partition(":")[2].partition(":")[0] for key, _ in told} <= {
        "pod-label",
        "pod-owner",
        "container-name",
        "container-image",
    }
