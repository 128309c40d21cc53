"""The clock of a server is nine days behind as it disables an agent. Raw SQL deletes the revocation at once.

Servers delete revocations after eight days, but none of a version that was reached since: the clock of the server that
recorded a revocation may have been behind. `verify` once expected a row of each event of the last seven days, by the
time of the event alone. Without the row, a dry run shows the tokens that the revocation ended as live, and their
history lacks the revocation.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.clients import service as clients
from authsec_server.clients.model import Onboarding
from authsec_server.db import Database
from authsec_server.delegations import live_tokens
from authsec_server.revocations import service as revocations
from sealed_estate import sealed_estate

sys.path.insert(0, str(Path(__file__).parent))
from test_live_token_hidden_by_a_revocation_dated_before_a_drop import findings, issue, kept_checkpoint
from test_rows_changed_around_a_drop import Year, noon


@pytest.mark.sqlite_suffices  # test_live_token_hidden_by_a_revocation_dated_before_a_drop.py has a dry run on both
def test_a_dry_run_leaves_the_revoked_token_out_or_the_missing_row_is_found(database: Database) -> None:
    year = Year(database)
    other = Onboarding(name="Other", platform="unattested")
    year.do(lambda tx, act: clients.create(tx, act, other))
    year.at = noon(9)
    year.settle()
    client_id = issue(year)
    now = year.at
    year.at = now - timedelta(days=9)  # of a server that is behind
    year.do(lambda tx, act: clients.disable(tx, act, "helper"))
    year.at = now + timedelta(seconds=1)
    year.do(lambda tx, act: clients.disable(tx, act, "other"))
    year.settle()
    signed = kept_checkpoint(year)
    assert findings(year, signed) == ()

    def live() -> int:
        return year.database.read(lambda tx: live_tokens.of_clients(tx, year.at, [client_id], lambda _: True)).live

    assert live() == 0
    year.run(f"DELETE FROM revocations WHERE subject_id = '{client_id}'")
    assert live() == 0 or findings(year, signed)


@pytest.mark.sqlite_suffices
def test_an_authority_without_a_checkpoint_of_seven_days_ago_lacks_no_revocation(estate: Any) -> None:
    sealed = sealed_estate(estate)
    present = replace(estate.act, now=estate.act.now + timedelta(hours=1))
    estate.act = replace(present, now=present.now - timedelta(days=9))  # of a server that is behind
    estate.do(lambda tx, act: clients.disable(tx, act, "helper"))
    estate.act = present
    estate.do(lambda tx, act: clients.disable(tx, act, "payments"))
    sealed.seal()
    assert sealed.findings() == ()
    _, found = sealed.after("DELETE FROM revocations WHERE version < (SELECT max(version) FROM revocations)")
    assert "revoked the tokens of the client" in found


@pytest.mark.sqlite_suffices
def test_a_revocation_that_servers_have_deleted_after_eight_days_is_no_finding(estate: Any) -> None:
    sealed = sealed_estate(estate)
    for days, agent in ((0, "helper"), (1, "payments"), (9, "helper")):
        estate.act = replace(estate.act, now=estate.act.now + timedelta(days=days))
        estate.do(lambda tx, act, slug=agent: clients.revoke_tokens(tx, act, slug))
        sealed.seal()
    estate.database.append(lambda tx: revocations.forget(tx, estate.act.now))
    assert len(estate.endings()) == 1
    assert sealed.findings() == ()
