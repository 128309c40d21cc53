"""Raw SQL writes another text into `authority.issuer_mac`.

Each command would refuse its work, also those that only read, and `verify` would find nothing. A text beyond ASCII or a
BLOB would end the command with a wrong message.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from authsec.exit_status import Exit
from authsec_server.app import open_authority
from authsec_server.settings import Settings
from click.testing import Result

pytestmark = [pytest.mark.sqlite_suffices, pytest.mark.opens_anew]
ISSUER = "https://auth.example"


@pytest.fixture
def served(tmp_path: Path) -> Callable[[str], None]:
    """Data of a server. A call writes an SQL expression into the column of the MAC."""
    with open_authority(Settings(data=tmp_path, public_url=ISSUER)) as its:
        its.remember_issuer()
        while its.dropper.sealer.seal():
            pass

    def spoil(value: str) -> None:
        with closing(sqlite3.connect(tmp_path / "authsec.sqlite3")) as raw, raw:
            raw.execute(f"UPDATE authority SET issuer_mac = {value}")

    return spoil


@pytest.mark.parametrize("value", ["NULL", "'x'", "'\u00e9'", "x'ff'", f"'{'0' * 64}'"])
def test_links_are_refused_and_verify_says_why(
    authsec: Callable[..., Result], tmp_path: Path, served: Callable[[str], None], value: str
) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(authsec("audit", "keys").stdout)
    assert authsec("audit", "verify", "--key", str(keys)).exit_code == Exit.DONE
    served(value)
    assert authsec("audit", "list").exit_code == Exit.DONE
    refused = authsec("admin", "setup-url")
    assert (refused.stdout, refused.exit_code) == ("", Exit.FAILED)
    assert "was not written by a server of this data" in " ".join(refused.stderr.split())
    verified = authsec("audit", "verify", "--key", str(keys))
    assert verified.exit_code == Exit.NOT_CHECKED
    assert "has no valid MAC by the master key" in " ".join(verified.stdout.split())


def test_changes_without_an_address_are_made_and_no_record_is_signed(
    authsec: Callable[..., Result], served: Callable[[str], None]
) -> None:
    served("'x'")
    assert authsec("roles", "create", "Another", "--action", "customers:delete").exit_code == Exit.DONE
    for command in (("agents", "create", "Helper", "--platform", "unattested"), ("admin", "create-key", "ci")):
        refused = authsec(*command)
        assert (refused.stdout, refused.exit_code) == ("", Exit.FAILED)
        assert "was not written by a server of this data" in " ".join(refused.stderr.split())
    assert "Helper" not in authsec("agents", "list").stdout
    rotated = authsec("audit", "rotate-key", "--yes")
    assert rotated.exit_code == Exit.CONFLICT
    assert "Nothing proves the address of the server" in " ".join(rotated.stderr.split())
    assert authsec("audit", "list", "--kind", "seal_key.replaced", "--json").stdout.count("seal_key.replaced") == 0


@pytest.mark.parametrize("another", [None, "A" * 43 + "="])
def test_verify_elsewhere_has_no_master_key_and_checks_the_form_alone(
    authsec: Callable[..., Result], tmp_path: Path, served: Callable[[str], None], another: str | None
) -> None:
    keys, master_key = tmp_path / "keys.json", tmp_path / "master.key"
    keys.write_text(authsec("audit", "keys").stdout)
    master_key.unlink()
    if another:
        master_key.write_text(another)
        master_key.chmod(0o600)
    served(f"'{'0' * 64}'")
    checked = authsec("audit", "verify", "--key", str(keys))
    assert checked.exit_code == (Exit.NOT_CHECKED if another else Exit.DONE)
    assert ("opens no signing key of this database" in " ".join(checked.output.split())) is (another is not None)
    assert master_key.exists() is (another is not None)
    served("'x'")
    assert authsec("audit", "verify", "--key", str(keys)).exit_code == Exit.NOT_CHECKED
