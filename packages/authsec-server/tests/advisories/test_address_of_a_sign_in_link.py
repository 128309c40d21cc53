"""Raw SQL writes another address into `authority.issuer`.

`authsec admin setup-url` on the server's machine would then print a sign-in link to that address. Whoever answers there
would get the code of the link, and become the administrator. `audit drop` would sign a checkpoint under the address. So
commands take the address from the last checkpoint, and `verify` names both addresses.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from audit_answers import LATER, fill
from authsec.exit_status import Exit
from authsec_server.app import open_authority
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.db import Database
from authsec_server.db.served import remember_issuer
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from authsec_server.settings import Settings
from click.testing import Result
from long_runs import some_of

pytestmark = pytest.mark.sqlite_suffices


@pytest.mark.opens_anew
@pytest.mark.parametrize("address", some_of(["https://evil.example", "https://evil.example/" + "x" * 10_000], each=2))
def test_commands_keep_the_address_of_the_server_and_verify_names_both(
    authsec: Callable[..., Result], tmp_path: Path, address: str
) -> None:
    with open_authority(Settings(data=tmp_path)) as its:  # as a server that starts does
        its.remember_issuer()
        while its.dropper.sealer.seal():
            pass
    keys, checkpoint = tmp_path / "keys.json", tmp_path / "kept.txt"
    keys.write_text(authsec("audit", "keys").stdout)
    checkpoint.write_text(authsec("audit", "checkpoint").stdout)

    def verify() -> Any:
        report = authsec("audit", "verify", "--key", str(keys), "--checkpoint", str(checkpoint), "--json")
        return report.exit_code, json.loads(report.stdout)["skipped"]

    assert verify() == (0, [])
    export = tmp_path / "export.jsonl"
    export.write_text(authsec("audit", "export-sealed").stdout)
    with closing(sqlite3.connect(tmp_path / "authsec.sqlite3")) as raw, raw:
        raw.execute("UPDATE authority SET issuer = ?", [address])
    refused = authsec("admin", "setup-url")
    assert (refused.stdout, refused.exit_code) == ("", Exit.FAILED), refused.stderr
    assert "was not written by a server of this data" in refused.stderr
    authsec("audit", "drop", "--before", f"{datetime.now(UTC):%Y-%m}", "--export", str(export), "--yes")
    status, doubts = verify()
    assert status == Exit.NOT_CHECKED
    assert f"but the server at {its.issuer} signed the last checkpoint" in doubts[0]


@pytest.mark.soak
def test_a_server_that_starts_at_another_address_signs_a_checkpoint_at_once(database: Database) -> None:
    log = fill(database)
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=bytes)
    at = LATER + timedelta(minutes=5)

    def start(issuer: str) -> Sealer:
        """A server of this issuer starts, and seals once."""
        database.append(lambda tx: remember_issuer(tx, issuer, bytes(32)))
        sealer = Sealer(database, issuer=issuer, signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: at)
        sealer.seal()
        return sealer

    def doubts() -> tuple[str, ...]:
        return database.read(lambda tx: verify_log(tx, log.keys, [log.checkpoint], now=at)).skipped

    first = start("https://a.example")
    assert doubts() == ()
    at += timedelta(seconds=5)
    start("https://b.example")
    assert doubts() == ()
    at += timedelta(seconds=5)
    first.seal()  # it runs on, and signs no checkpoint out of turn
    assert doubts() == ()
