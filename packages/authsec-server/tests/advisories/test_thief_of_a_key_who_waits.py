"""A signing key is stolen, and revoked. The thief waits until its entry in the feed is old, and writes a token then:
for an API that has the authority's keys from a file of before.

A token begins whenever whoever has the key says. So the feed tells of a revoked key for as long as there is a feed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from authsec_server.app import open_authority
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind
from authsec_server.settings import Settings

KEY = "k" * 43


def test_the_feed_tells_of_the_key_however_long_he_waits(house: Callable[..., Any], tmp_path: Path) -> None:
    its = house()
    its.authority.database.change(lambda tx: revocations.end(tx, SubjectKind.KEY, KEY, its.clock.at))
    for weeks in range(1, 4):
        its.authority.database.change(lambda tx: revocations.end(tx, SubjectKind.TOKEN, "t", its.clock.at))
        late = replace(its.clock, at=its.clock.at + timedelta(days=9 * weeks))
        with open_authority(Settings(data=tmp_path), runtime=late.around()):  # which does what is due
            page = its.door().get("/authsec/v1/revocations", params={"since": 0}).json()
        told = [(entry["kind"], entry["subject"]) for entry in page["entries"]]
        assert ("key", KEY) in told, weeks
        assert page["last"] == 1 + 2 * weeks
