"""Raw SQL puts the row of a replaced feed key back, which the events say is gone.

An operator has replaced the key because somebody has stolen it. The row is encrypted by the master key as it was, so
every server publishes the key again, and signs with it later. A thief of the key signs heads of a feed that lacks
revocations, and each API believes them. No digest covers `feed_keys`.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.checkpoints import read_checkpoint
from authsec_server.audit.sealing.verifying import verify
from authsec_server.keys.feed_keys import FeedKeys
from authsec_server.keys.master_key import MasterKey
from sealed_estate import sealed_estate


@pytest.mark.sqlite_suffices
def test_a_feed_key_that_is_gone_is_not_published_again_or_it_is_found(estate: Any) -> None:
    sealed, now = sealed_estate(estate), estate.act.now
    keys = FeedKeys(estate.database, MasterKey(bytes(32)), max_age=timedelta(days=30), token_bytes=secrets.token_bytes)

    def execute(*statements: str) -> None:
        for each in statements:
            estate.database.append(lambda tx, each=each: tx.connection.exec_driver_sql(each) and None)

    def published() -> list[str]:
        return [each.thumbprint() for each in keys.published()]

    keys.keep(now - timedelta(days=3))
    (stolen,) = published()
    execute("CREATE TABLE kept AS SELECT * FROM feed_keys")
    estate.do(lambda tx, act: keys.rotate(tx, replace(act, now=now - timedelta(days=2))))
    keys.keep(now)
    assert stolen not in published()
    execute(
        f"UPDATE kept SET created_at = '{now:%Y-%m-%d %H:%M:%S}.000000'",
        "INSERT INTO feed_keys SELECT * FROM kept",
        "DROP TABLE kept",
    )
    keys.keep(now)
    sealed.seal()
    signed = estate.see(lambda tx, _: store.last_signed(tx.connection))
    outside = read_checkpoint(signed, sealed.keys.by_kid())
    assert estate.events("feed_key.gone")
    report = estate.database.check(
        lambda tx: verify(tx, sealed.keys.by_kid(), [outside], now=now + timedelta(minutes=10))
    )
    assert stolen not in published() or report.findings, report
