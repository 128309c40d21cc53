"""Charts of tokens over time: what they count, how high they reach, and of which time they are."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pages import Page, get
from starlette.testclient import TestClient

House = Any
TRAIL = "/console/activity"
SERIES = ("chart-good", "chart-bad")


@pytest.fixture
def opened(house: Callable[..., House]) -> House:
    """An authority at noon of 26 Nov: a token issued to Open at noon of 25 Nov, two refused to it an hour later."""
    its = house(local_operator=True)
    client_id = its.delegated_name()
    for scope, times in (("customers:read", 1), ("customers:delete", 2)):
        for _ in range(times):
            door = its.door()
            door.get("/authsec/uflow/sdk/delegation-token", params={"client_id": client_id, "scope": scope})
        its.clock.at += timedelta(hours=1)
    its.clock.at += timedelta(hours=22)
    return its


@pytest.fixture
def door(opened: House) -> TestClient:
    """The browser of its operator."""
    return opened.door()


def drawn(page: Page) -> set[str]:
    """The series that have bars."""
    chart = page.html.partition('<svg class="chart"')[2].partition("</svg>")[0]
    return {css for css in SERIES if css in chart}


def scale(page: Page) -> tuple[str, str, str]:
    """The highest number, and when the first and the last step begin."""
    frame = page.html.partition('<div class="chart-frame"')[2].partition("</div>")[0]
    (top,) = re.findall(r'<p class="chart-top">(.*?)</p>', frame)
    first, last = re.findall("<span>(.*?)</span>", frame)
    return top, first, last


def test_a_chart_says_how_high_it_is_and_of_which_time(door: TestClient) -> None:
    for path, heading, first in (
        ("/console", "Tokens by the hour, last 48 hours (UTC)", "24 Nov 12:00 UTC"),
        (TRAIL, "Tokens by the hour, last 48 hours (UTC)", "24 Nov 12:00 UTC"),
        ("/console/clients/open", "Requests by 6 hours, last 7 days (UTC)", "19 Nov 12:00 UTC"),
    ):
        page = get(door, path)
        assert heading in page.text, path
        top, begins, ends = scale(page)
        assert (top, begins) == ("3" if path.endswith("open") else "2", first), path
        assert ends in {"26 Nov 11:00 UTC", "26 Nov 06:00 UTC"}, path


def test_the_chart_of_a_time_that_was_asked_for_says_which(door: TestClient) -> None:
    page = get(door, f"{TRAIL}?since=2026-11-01&until=2026-11-25")
    assert "Tokens by the day, 01 Nov 2026 to 25 Nov 2026 (UTC)" in page.text
    assert scale(page) == ("3", "01 Nov 00:00 UTC", "25 Nov 00:00 UTC")


@pytest.mark.parametrize(
    ("what", "heading", "checkpoint", "row", "series"),
    [
        ("", "Tokens by the hour", "Issued Refused", "2026-11-25 13:00 0 2", set(SERIES)),
        ("refused", "Tokens refused by the hour", "Refused", "2026-11-25 13:00 2", {"chart-bad"}),
        ("issued", "Tokens issued by the hour", "Issued", "2026-11-25 12:00 1", {"chart-good"}),
        ("token.refused", "Tokens refused by the hour", "Refused", "2026-11-25 13:00 2", {"chart-bad"}),
    ],
)
def test_the_chart_shows_what_is_listed_and_nothing_else(
    door: TestClient, what: str, heading: str, checkpoint: str, row: str, series: set[str]
) -> None:
    page = get(door, f"{TRAIL}?what={what}")
    assert heading in page.text
    assert f"From (UTC) {checkpoint} 2026" in page.text
    assert row in page.text
    assert drawn(page) == series
    legend = page.html.partition('<p class="legend">')[2].partition("</p>")[0]
    assert set(re.findall(r'<span class="(\w+)">', legend)) == {
        {"chart-good": "issued", "chart-bad": "refused"}[each] for each in series
    }


def test_where_nothing_is_drawn_there_is_neither_legend_nor_table(opened: House, door: TestClient) -> None:
    opened.clock.at += timedelta(days=9)
    for path in ("/console", TRAIL, "/console/clients/open", f"{TRAIL}?what=refused"):
        page = get(door, path)
        assert '<svg class="chart"' not in page.html, path
        assert "As a table" not in page.text, path
        assert 'class="legend"' not in page.html, path
    assert "No token was refused in this period." in get(door, f"{TRAIL}?what=refused").text
    assert "No token was requested in this period." in get(door, "/console").text
