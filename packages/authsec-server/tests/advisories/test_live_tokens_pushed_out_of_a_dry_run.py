"""Somebody inserts tokens of an agent that expire late, so that a dry run reads no other token of the agent.

A dry run reads a limited number of tokens: those that expire last. The planted tokens had no authority version, so an
earlier revocation seemed to cover them, and the dry run showed no live token and no API.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.audit import live_tokens as audit_live_tokens
from authsec_server.audit.event_shape import LONGEST_LIFETIME
from authsec_server.audit.store import events
from authsec_server.clients import service as clients
from authsec_server.db import Database
from authsec_server.delegations import live_tokens
from authsec_server.delegations.live_tokens import LiveTokens
from authsec_server.settings import MAX_TOKEN_LIFETIME_CAP
from planted_events import plant

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import JTI, Year

API = "https://billing.example"


def dry_run(year: Year) -> LiveTokens:
    client = year.database.read(lambda tx: clients.get(tx, year.act, "helper"))
    return year.database.read(lambda tx: live_tokens.of_clients(tx, year.at, [client.id], lambda _: True))


def issue(year: Year) -> None:
    year.do(lambda tx, act: clients.revoke_tokens(tx, act, "helper"))
    year.at += timedelta(minutes=1)
    year.issue(detail={"audience": [API]})
    year.settle()


def ids(place: int) -> str:
    return f"{place + 500:032}"


@pytest.mark.parametrize(
    "planted",
    [{"authority_version": None}, {"authority_version": 1}, {"expires_at": None}],
    ids=["without a version", "of before the revocation", "for very long"],
)
def test_a_live_token_is_in_the_dry_run_or_the_planted_ones_are_found(
    database: Database, monkeypatch: pytest.MonkeyPatch, planted: dict[str, Any]
) -> None:
    monkeypatch.setattr(audit_live_tokens, "MOST", 2)
    year = Year(database)
    issue(year)
    its = {"expires_at": year.at + timedelta(hours=20), "detail": {}, "jti": ids} | planted
    if its["expires_at"] is None:
        its["expires_at"] = year.at + LONGEST_LIFETIME + timedelta(seconds=1)
    numbers = plant(database, year.at, events.c.jti == JTI, 3, request_id=lambda place: f"req_{ids(place)[8:]}", **its)
    year.settle()
    said = year.report().findings
    assert [each for each in said if any(str(number) in each for number in numbers)], said
    if "expires_at" not in planted:
        assert (dry_run(year).live, [*dry_run(year).by_audience]) == (1, [API])


@pytest.mark.sqlite_suffices
def test_tokens_that_were_revoked_push_no_live_token_out(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_live_tokens, "MOST", 2)
    year = Year(database)
    for _ in range(5):
        year.issue()
    year.at -= timedelta(hours=1)
    issue(year)
    found = dry_run(year)
    assert (found.live, API in found.by_audience, found.more) == (1, True, False)
    for _ in range(3):
        year.issue()
    assert (dry_run(year).live, dry_run(year).more) == (3, True)


@pytest.mark.sqlite_suffices
def test_the_dry_run_names_the_agent_as_its_row_does(database: Database) -> None:
    year = Year(database)
    year.issue()
    year.settle()
    plant(database, year.at, events.c.jti == JTI, request_id=f"req_{100:024}", jti="f" * 32, client_name="Zulu")
    assert [each.name for each in dry_run(year).agents] == ["Helper"]


def test_the_longest_lifetime_is_that_of_the_settings() -> None:
    assert timedelta(seconds=MAX_TOKEN_LIFETIME_CAP) == LONGEST_LIFETIME
