"""Selectors as they are being typed."""

from __future__ import annotations

import pytest
from authsec_server.clients.model import Platform, Selector
from authsec_server.clients.selectors import KEYS, MAX_SELECTORS, RowState, check_selectors, given, parse_selectors
from authsec_server.failures import Invalid
from hypothesis import given as for_all
from hypothesis import strategies as st

K8S = Platform.KUBERNETES


def test_a_right_row_is_explained() -> None:
    check = check_selectors(K8S, [("k8s:ns", " production "), ("", " "), ("k8s:pod-label:app", "support")])
    assert check.ok
    first, blank, last = check.rows
    assert (first.state, first.value) == (RowState.OK, "production")
    assert first.identifies == "the pod's namespace"
    assert first.value_is.startswith("a name of up to 63")
    assert (blank.state, blank.identifies) == (RowState.BLANK, "")
    assert last.identifies == "the value of a label of the pod"


def test_half_a_row_says_what_is_missing() -> None:
    no_value, no_key = check_selectors(K8S, [("k8s:ns", ""), ("", "production")]).rows
    assert no_value.state is no_key.state is RowState.INCOMPLETE
    assert no_value.problem == "Give the value of k8s:ns."
    assert no_value.remedy.startswith("Give a name of up to 63")
    assert no_value.identifies == "the pod's namespace", "explained as soon as the key is known"
    assert no_key.problem == "Choose a key for this value."
    assert no_key.remedy == "Or clear the value."


def test_a_value_that_repeats_its_key_is_told_so() -> None:
    (row,) = check_selectors(K8S, [("k8s:ns", "k8s:ns=Production")]).rows
    assert row.state is RowState.WRONG
    assert row.remedy == "Give the value alone, without the key."


def test_an_unknown_key_suggests_one() -> None:
    for typed, nearest in [("k8s:n", "k8s:ns"), ("k8s:namespace", "k8s:ns"), ("k8s:pod-labels", "k8s:pod-label:")]:
        (row,) = check_selectors(K8S, [(typed, "")]).rows
        assert (row.state, row.nearest) == (RowState.WRONG, nearest)
        assert "is not a selector of Kubernetes" in row.problem
        assert row.remedy.startswith("Known keys: k8s:ns")


@pytest.mark.parametrize("typed", ["k8s:pod-label", "k8s:pod-label:"])
def test_half_a_key_is_told_how_to_go_on(typed: str) -> None:
    """No other key was meant: `nearest` would hide the remedy."""
    (row,) = check_selectors(K8S, [(typed, "x")]).rows
    assert (row.state, row.nearest) == (RowState.WRONG, "")
    assert row.problem == f"'{typed}' lacks the key."
    assert row.remedy.startswith("Write k8s:pod-label:")


def test_the_key_of_another_platform_is_called_that() -> None:
    (row,) = check_selectors(Platform.DOCKER, [("k8s:ns", "production")]).rows
    assert (row.state, row.nearest) == (RowState.WRONG, "")
    assert row.problem == "'k8s:ns' is a selector of Kubernetes, not of Docker."


def test_a_wrong_value_keeps_the_explanation() -> None:
    (row,) = check_selectors(K8S, [("k8s:ns", "Production")]).rows
    assert (row.state, row.nearest) == (RowState.WRONG, "")
    assert row.problem == "'Production' is not a valid value of k8s:ns (the pod's namespace)."
    assert row.identifies == "the pod's namespace"


def test_the_second_of_two_alike_is_wrong() -> None:
    first, second = check_selectors(K8S, [("k8s:ns", "a"), ("k8s:ns", "b")]).rows
    assert (first.state, second.state) == (RowState.OK, RowState.WRONG)
    assert second.problem == "k8s:ns is given twice."


def test_the_set_has_rules_of_its_own() -> None:
    nothing = check_selectors(K8S, [("", ""), (" ", "")])
    assert not nothing.ok
    assert nothing.problem.startswith("Kubernetes needs at least one selector")
    many = check_selectors(Platform.DOCKER, [(f"docker:label:l{each}", "x") for each in range(MAX_SELECTORS + 1)])
    assert many.problem == "There are more than 32 selectors."
    assert [row.state for row in many.rows] == [RowState.OK] * MAX_SELECTORS + [RowState.WRONG]
    for platform in (Platform.KEY, Platform.UNATTESTED):
        assert check_selectors(platform, [("", "")]).ok
        none_known = check_selectors(platform, [("made:up", "x"), ("k8s:ns", "x")])
        assert none_known.problem == f"{platform.shown} takes no selectors."
        assert [row.nearest for row in none_known.rows] == ["", ""]


TYPED = st.one_of(
    st.sampled_from(
        ["", " ", "production", "0", "/bin/sh", "x y", "\0", *(key.key for keys in KEYS.values() for key in keys)]
    ),
    st.text(max_size=12),
)


@for_all(platform=st.sampled_from(Platform), rows=st.lists(st.tuples(TYPED, TYPED), max_size=5))
def test_it_never_says_other_than_what_onboarding_does(platform: Platform, rows: list[tuple[str, str]]) -> None:
    check = check_selectors(platform, rows)
    assert len(check.rows) == len(rows)
    try:
        stored: tuple[Selector, ...] | None = parse_selectors(platform, given(rows))
    except Invalid:
        stored = None
    assert check.ok is (stored is not None)
    if stored is not None:
        right = tuple(Selector(key=row.key, value=row.value) for row in check.rows if row.state is RowState.OK)
        assert right == stored
    for row in check.rows:
        assert bool(row.problem) is (row.state in {RowState.WRONG, RowState.INCOMPLETE})
