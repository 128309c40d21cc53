"""Raw SQL writes another address into `authority.issuer`.

`authsec admin setup-url` on the server's machine then prints a sign-in link to that address. Whoever answers there gets
the code of the link, and becomes the administrator. The last checkpoint has the issuer of the server that signed it, so
`verify` and the command name both addresses.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from datetime import timedelta
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

pytestmark = pytest.mark.sqlite_suffices


@pytest.mark.opens_anew
def test_verify_names_the_address_of_links_that_no_server_has(authsec: Callable[..., Result], tmp_path: Path) -> None:
    with open_authority(Settings(data=tmp_path)) as its:  # as a server that starts does
        its.database.append(lambda tx: remember_issuer(tx, its.issuer))
        while its.dropper.sealer.seal():
            pass
    keys, checkpoint = tmp_path / "keys.json", tmp_path / "kept.txt"
    keys.write_text(authsec("audit", "keys").stdout)
    checkpoint.write_text(authsec("audit", "checkpoint").stdout)

    def verify() -> Any:
        report = authsec("audit", "verify", "--key", str(keys), "--checkpoint", str(checkpoint), "--json")
        return report.exit_code, json.loads(report.stdout)["skipped"]

    assert verify() == (0, [])
    assert "another address" not in authsec("admin", "setup-url").stderr
    with sqlite3.connect(tmp_path / "authsec.sqlite3") as raw:
        raw.execute("UPDATE authority SET issuer = 'https://evil.example'")
    link = authsec("admin", "setup-url")
    assert link.stdout.startswith("https://evil.example/")
    assert f"This URL leads to another address than {its.issuer}, whose server signed" in " ".join(link.stderr.split())
    status, doubts = verify()
    assert status == Exit.NOT_CHECKED
    assert doubts[0].startswith(
        f"Links that commands print lead to https://evil.example, but the server at {its.issuer} signed the last"
    )


def test_a_server_that_starts_at_another_address_signs_a_checkpoint_at_once(database: Database) -> None:
    log = fill(database)
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=bytes)
    at = LATER + timedelta(minutes=5)

    def start(issuer: str) -> Sealer:
        """A server of this issuer starts, and seals once."""
        database.append(lambda tx: remember_issuer(tx, issuer))
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
