"""PostgreSQL: raw SQL writes 540 MB into `events.mac`. They compress to 6 MB; as text they would exceed a gigabyte.

`verify` measured the text, which PostgreSQL cannot make. So the check ended with an error instead of a finding.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from authsec_server.audit.sealing.verifying import verify
from sqlalchemy import create_engine, text

HUGE = text("UPDATE events SET mac = convert_to(repeat('a', 540000000), 'UTF8') WHERE kind = 'client.created'")


@pytest.mark.soak  # seconds, and half a gigabyte of PostgreSQL's memory
@pytest.mark.parametrize("house_on_each", ["postgresql"], indirect=True)
def test_the_check_ends_with_a_finding(house_on_each: Callable[..., Any], postgres_url: str) -> None:
    its = house_on_each(local_operator=True)
    its.clock.at = datetime.now(UTC)
    its.delegated_name("Helper")
    while its.authority.dropper.sealer.seal():
        pass
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(HUGE)
    engine.dispose()
    keys = its.authority.dropper.keys()
    report = its.authority.database.check(lambda tx: verify(tx, keys, now=its.clock.at))
    assert "has a form that AuthSec does not write" in "".join(report.findings)
