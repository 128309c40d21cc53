"""A server whose clock is ahead revokes a delegation at the end of a month, and then disables it. A drop keeps both.

Then raw SQL makes the delegation valid for a moment, and a token is issued. `verify` once looked only at the last
change: a dropped event may have enabled the delegation again. But nothing undoes a revocation.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import pytest
from authsec_server.audit.model import Named
from authsec_server.db import Database
from authsec_server.delegations import service as delegations
from authsec_server.delegations.model import Proposal, ResolvedDelegation, Terms

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import Year, midnight

pytestmark = [pytest.mark.changes_rows_only, pytest.mark.sqlite_suffices]

TERMS = Terms(max_token_lifetime=86_400, default_audience="authsec-api")
PROPOSAL = Proposal(
    role="support",
    client="helper",
    target_type="AutoGen AI agent",
    max_duration=60,
    actions=("customers:read",),
    slug="d",
)


@pytest.mark.parametrize("is_disabled_later", [False, True])
def test_the_token_is_found(database: Database, is_disabled_later: bool) -> None:
    year = Year(database)
    made: list[ResolvedDelegation] = []
    year.do(lambda tx, act: made.append(delegations.create(tx, act, PROPOSAL, TERMS)))
    (its,) = made
    year.edit_at(midnight(9) - timedelta(minutes=20))
    year.at = midnight(9) + timedelta(minutes=2)  # a server whose clock is ten minutes ahead
    year.do(lambda tx, act: delegations.revoke(tx, act, "d", TERMS))
    if is_disabled_later:
        year.do(lambda tx, act: delegations.disable(tx, act, "d", TERMS))
    year.at = midnight(9) - timedelta(minutes=8)  # another server
    year.edit_at(year.at)
    year.seal(midnight(9) - timedelta(minutes=1))
    year.at = midnight(9) + timedelta(days=3)
    year.settle()
    year.edit(9)
    year.drop(9)
    year.files.clear()
    assert year.report().findings == ()
    named = Named(id=its.delegation.id, name="D"), Named(id=its.role.id, name="Support")
    year.issue(delegations=named[:1], roles=named[1:])
    year.settle()
    assert "issued a token under the delegation" in "".join(year.report().findings)
