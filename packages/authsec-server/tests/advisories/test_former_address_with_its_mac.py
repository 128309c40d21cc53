"""Raw SQL restores an address that a server of this data had before, with its genuine MAC, for the moment of a command.

The MAC covers the address alone, and a backup or an old copy of the row has both. A command would print a sign-in link
to a host that the company may no longer own. A restore would take the outside checkpoints of the lost time for those of
another authority. So the newest checkpoint of the audit log must name the same address.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from authsec.exit_status import Exit
from authsec.jose import PrivateKey
from authsec_server.app import open_authority
from authsec_server.app.restoration import open_restoration
from authsec_server.audit.merkle_tree import Tree
from authsec_server.audit.sealing.checkpoints import sign_checkpoint
from authsec_server.failures import StartupRefused
from authsec_server.settings import Settings
from click.testing import Result

pytestmark = [pytest.mark.sqlite_suffices, pytest.mark.opens_anew]
FORMER, PRESENT, LOST = "https://auth.former-brand.example", "https://auth.example", "U" * 43


def serve(data: Path, address: str) -> None:
    """Run a server with this address for a moment."""
    with open_authority(Settings(data=data, public_url=address)) as its:
        its.remember_issuer()
        while its.dropper.sealer.seal():
            pass


@dataclass(frozen=True)
class Moved:
    """Data of a server that has a new address. `pair` is the former address with its MAC, and `signed` a checkpoint."""

    data: Path
    pair: tuple[str, str]
    signed: str

    def write(self, statement: str, *values: str) -> None:
        with closing(sqlite3.connect(self.data / "authsec.sqlite3")) as raw, raw:
            raw.execute(statement, values)

    def go_back(self) -> None:
        """Restore the former address."""
        self.write("UPDATE authority SET issuer = ?, issuer_mac = ?", *self.pair)

    def plant(self, at: str, signed: str) -> None:
        """Insert a checkpoint that covers all seals and is the newest one, as its row says."""
        self.write("INSERT INTO checkpoints SELECT max(size), ?, ? FROM checkpoints", at, signed)


@pytest.fixture
def moved(tmp_path: Path) -> Moved:
    serve(tmp_path, FORMER)
    with closing(sqlite3.connect(tmp_path / "authsec.sqlite3")) as raw:
        pair = raw.execute("SELECT issuer, issuer_mac FROM authority").fetchone()
        (signed,) = raw.execute("SELECT signed FROM checkpoints ORDER BY size DESC").fetchone()
    serve(tmp_path, PRESENT)
    return Moved(tmp_path, pair, signed)


def test_no_command_prints_a_link_to_a_former_address(authsec: Callable[..., Result], moved: Moved) -> None:
    assert authsec("admin", "setup-url").stdout.startswith(PRESENT)
    moved.go_back()
    refused = authsec("admin", "setup-url")
    assert (refused.stdout, refused.exit_code) == ("", Exit.FAILED)
    said = " ".join(refused.stderr.split())
    assert f"is {FORMER}, but the newest checkpoint of the audit log is of {PRESENT}" in said


def test_nor_with_planted_checkpoints(authsec: Callable[..., Result], moved: Moved) -> None:
    moved.plant("2999-01-01 00:00:00.000000", moved.signed)
    moved.plant("2999-01-02 00:00:00.000000", "x.y.z")
    moved.go_back()
    assert authsec("admin", "setup-url").stdout == ""


def test_verify_names_both_addresses(authsec: Callable[..., Result], tmp_path: Path, moved: Moved) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(authsec("audit", "keys").stdout)
    moved.go_back()
    verified = authsec("audit", "verify", "--key", str(keys))
    assert verified.exit_code == Exit.NOT_CHECKED
    assert f"has the address {FORMER}, but the server at {PRESENT} signed" in " ".join(verified.stdout.split())


def test_a_restore_revokes_the_keys_of_the_lost_time(tmp_path: Path, moved: Moved) -> None:
    moved.go_back()
    with pytest.raises(StartupRefused, match="newest checkpoint"), open_restoration(Settings(data=tmp_path)):
        pass
    with open_restoration(Settings(data=tmp_path, public_url=PRESENT)) as its:
        key, now = PrivateKey.generate_ed25519(), its.runtime.now()  # a sealing key from after the backup
        line = sign_checkpoint(
            Tree(), through=0, at=now, issuer=PRESENT, key=key, authority_version=9, signing_keys=[LOST]
        ).signed
        assert its.record(its.lost([line])).revoked_unknown == [LOST]
