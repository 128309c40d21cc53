"""A backup is from before the server's address and its sealing key changed. No attack.

The database then names the former address, and the checkpoints of the lost time name the present one. A key that the
database lacks signed them. A restore that takes these for those of another authority would revoke no signing key of the
lost time, and the server would remain older than its checkpoints.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from authsec.exit_status import Exit
from authsec.jose import PrivateKey
from authsec_server.app import open_authority
from authsec_server.app.restoration import open_restoration
from authsec_server.audit.merkle_tree import Tree
from authsec_server.audit.sealing.checkpoints import sign_checkpoint
from authsec_server.settings import Settings
from click.testing import Result

pytestmark = [pytest.mark.sqlite_suffices, pytest.mark.opens_anew]
FORMER, PRESENT, FOREIGN = "https://auth.former-brand.example", "https://auth.example", "https://elsewhere.example"
LOST, OF_ANOTHER = "U" * 43, "V" * 43


def serve(data: Path, address: str) -> None:
    """Run a server with this address for a moment."""
    with open_authority(Settings(data=data, public_url=address)) as its:
        its.remember_issuer()
        while its.dropper.sealer.seal():
            pass


@pytest.fixture
def restored(authsec: Callable[..., Result], tmp_path: Path) -> Path:
    """A data folder with the backup, and `checkpoints.txt` beside it: of the lost time, and of another authority."""
    data, backup = tmp_path, tmp_path.with_name(f"{tmp_path.name}-backup")
    serve(data, FORMER)
    shutil.copytree(data, backup)
    serve(data, PRESENT)
    shutil.rmtree(data)
    backup.rename(data)
    with open_restoration(Settings(data=data)) as its:
        now = its.runtime.now()
    lines = [
        sign_checkpoint(
            Tree(),
            through=0,
            at=now,
            issuer=issuer,
            key=PrivateKey.generate_ed25519(),
            authority_version=9,
            signing_keys=[kid],
        ).signed
        for issuer, kid in ((PRESENT, LOST), (FOREIGN, OF_ANOTHER))
    ]
    (data / "checkpoints.txt").write_text("".join(f"{line}\n" for line in lines))
    return data


def test_the_keys_of_the_lost_time_are_revoked_and_the_server_is_not_older(restored: Path) -> None:
    outside = restored / "checkpoints.txt"
    with open_restoration(Settings(data=restored), others=[FOREIGN]) as its:
        revoked = its.record(its.lost(outside.read_text().splitlines())).revoked_unknown
    with open_authority(Settings(data=restored, public_url=PRESENT, audit_checkpoints=str(outside))) as served:
        problem = served.comparison.problem
    assert (revoked, problem) == ([LOST], None)


def test_the_operator_says_which_checkpoints_are_of_another_authority(
    authsec: Callable[..., Result], restored: Path
) -> None:
    command = ("admin", "restored", "--checkpoint", str(restored / "checkpoints.txt"), "--dry-run")
    all_taken = authsec(*command)
    assert f"no key of this database signed name {PRESENT}, {FOREIGN}" in " ".join(all_taken.stderr.split())
    assert "--other-authority ISSUER" in all_taken.stderr
    assert (LOST in all_taken.stdout, OF_ANOTHER in all_taken.stdout) == (True, True)
    some = authsec(*command, "--other-authority", FOREIGN)
    assert (LOST in some.stdout, OF_ANOTHER in some.stdout, some.exit_code) == (True, False, Exit.DONE)
