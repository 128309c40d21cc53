"""Somebody changes rows of revocations, has the server read a snapshot of the feed, and puts the rows back.

The rows are genuine again, so no check finds anything. A server that keeps the snapshot would sign it for hours, and an
API that starts then would never hear of a revoked signing key.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.revocations import service as revocations
from authsec_server.revocations import store
from authsec_server.revocations.feed import SNAPSHOT_SECONDS
from authsec_server.revocations.model import SubjectKind
from databases import settings_for
from sqlalchemy import text

FEED = "/authsec/v1/revocations"
TO_ANOTHER = "UPDATE revocations SET subject_id = '{new}' WHERE subject_id = '{old}'"


def test_rows_that_were_put_back_are_in_the_next_snapshot(
    house: Callable[..., Any], database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    its = house(**settings_for(database_url, tmp_path))
    monkeypatch.setattr(revocations, "SNAPSHOT_FROM", 2)
    for name in ("lowest", "stolen-key", "newest"):
        its.authority.database.change(lambda tx, n=name: revocations.end(tx, SubjectKind.KEY, n, its.clock.at))
    door = its.door()

    def told() -> list[str]:
        page = door.get(FEED, params={"since": 0}).json()
        assert page["snapshot"]
        return [entry["subject"] for entry in page["entries"]]

    def rename(old: str, new: str) -> None:
        statement = text(TO_ANOTHER.format(old=old, new=new))
        its.authority.database.append(lambda tx: tx.connection.execute(statement) and None)

    rename("stolen-key", "nobody")
    assert told() == ["lowest", "nobody", "newest"], "a server signs what its database has"
    rename("nobody", "stolen-key")
    its.clock.at += timedelta(seconds=SNAPSHOT_SECONDS)
    assert told() == ["lowest", "stolen-key", "newest"]


def test_all_who_ask_within_some_seconds_share_one_snapshot(
    house: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    its, read, newest_of_each = house(), list[int](), store.newest_of_each

    def counting(connection: Any, limit: int) -> Any:
        read.append(limit)
        return newest_of_each(connection, limit)

    monkeypatch.setattr(store, "newest_of_each", counting)
    its.authority.database.change(lambda tx: revocations.end(tx, SubjectKind.TOKEN, "one", its.clock.at))
    for seconds in (0, 1, SNAPSHOT_SECONDS - 2, 1, 1):
        its.clock.at += timedelta(seconds=seconds)
        its.authority.feed.document(10**9, 1)
    assert len(read) == 2
