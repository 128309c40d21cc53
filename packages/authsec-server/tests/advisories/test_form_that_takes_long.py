"""Somebody fills a form with as many rows of nonsense as it holds. While the server looks for what each of them may
have meant, no agent gets a token.

What is more than there can be is not looked at, row by row: that there are too many is all there is to say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from authsec_server.clients import selectors
from authsec_server.clients.model import Platform
from authsec_server.clients.selectors import MAX_SELECTORS, RowState, check_selectors
from authsec_server.web.bodies import MAX_FIELDS

NONSENSE = [(f"k8s:nonsense-{number}", "x") for number in range(MAX_FIELDS // 2)]


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The keys for which the nearest is looked for."""
    keys: set[str] = set()
    nearest: Callable[[Platform, str], Any] = selectors.nearest_key

    def counted(platform: Platform, key: str) -> Any:
        keys.add(key)
        return nearest(platform, key)

    monkeypatch.setattr(selectors, "nearest_key", counted)
    return keys


def test_only_so_many_rows_are_looked_at(looked: set[str]) -> None:
    checked = check_selectors(Platform.KUBERNETES, NONSENSE)
    assert len(looked) <= MAX_SELECTORS
    assert [row.key for row in checked.rows] == [key for key, _ in NONSENSE]
    assert {row.state for row in checked.rows} == {RowState.WRONG}
    assert checked.problem == f"There are more than {MAX_SELECTORS} selectors."


def test_empty_rows_between_them_do_not_help(looked: set[str]) -> None:
    spread = [row for each in NONSENSE for row in (("", ""), each)]
    checked = check_selectors(Platform.KUBERNETES, spread)
    assert len(looked) <= MAX_SELECTORS
    assert not checked.ok


def test_right_ones_beyond_the_most_are_not_ok() -> None:
    rows = [(f"k8s:pod-label:l{number}", "x") for number in range(MAX_SELECTORS + 1)]
    assert check_selectors(Platform.KUBERNETES, rows[:-1]).ok
    assert not check_selectors(Platform.KUBERNETES, rows).ok
