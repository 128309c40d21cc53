"""Charts of tokens over time: what they count, how high they reach, and of which time they are."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from authsec_server.console import charts
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


def scale(page: Page) -> tuple[list[str], list[str]]:
    """The numbers of the axis from the top, and the labels of the times."""
    frame = page.html.partition('<div class="chart-frame"')[2].partition("</div>")[0]
    return re.findall("<span>(.*?)</span>", frame), re.findall("<text .*?>(.*?)</text>", frame)


def test_a_chart_has_numbers_and_times_at_its_axes(door: TestClient) -> None:
    hours = ["18:00", "2026-11-25", "06:00", "12:00", "18:00", "2026-11-26", "06:00"]
    days = [f"2026-11-{day}" for day in range(21, 26)]
    for path, heading, scaled in (
        ("/console", "Tokens by the hour, last 48 hours", (["2", "1", "0"], hours)),
        (TRAIL, "Tokens by the hour, last 48 hours", (["2", "1", "0"], hours)),
        ("/console/clients/open", "Requests per 6 hours, last 7 days", (["4", "2", "0"], days)),
    ):
        page = get(door, path)
        assert heading in page.text, path
        assert scale(page) == scaled, path


def test_the_time_zone_is_said_once_and_at_each_chart(door: TestClient) -> None:
    for path, charted in (
        ("/console", 1),
        ("/console/clients/open", 1),
        (TRAIL, 1),
        (f"{TRAIL}?range=custom", 1),
        ("/console/roles", 0),
    ):
        page = get(door, path)
        assert page.text.count("Times in UTC") == 2, path  # once in the menu, once in the sidebar; one of them is seen
        assert page.html.count('<p class="chart-zone">UTC</p>') == charted, path


def test_a_label_that_would_be_cut_is_left_out_and_its_tick_is_drawn(door: TestClient) -> None:
    for path in ("/console", "/console/clients/open"):
        page = get(door, path)
        assert page.html.count('class="chart-tick"') > len(scale(page)[1]), path


def test_the_chart_of_a_time_that_was_asked_for_says_which(door: TestClient) -> None:
    page = get(door, f"{TRAIL}?since=2026-11-01&until=2026-11-25")
    assert "Tokens by the day, 2026-11-01 to 2026-11-25" in page.text
    assert scale(page) == (["4", "2", "0"], ["2026-11-08", "2026-11-15", "2026-11-22"])


@pytest.mark.parametrize(
    ("highest", "top"),
    [(0, 2), (1, 2), (3, 4), (10, 10), (47, 48), (99, 100), (101, 120), (1237, 1400)],
)
def test_the_highest_number_of_the_axis_is_round(highest: int, top: int) -> None:
    assert charts.scale(highest) == top


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
