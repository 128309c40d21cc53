"""Raw SQL writes an address, or plants a checkpoint that names one, for the moment of a command.

A command would print a sign-in link to that address. `authsec admin restored` would take the outside checkpoints of the
lost time for those of another authority, and would leave the signing keys of that time valid.
"""

from __future__ import annotations

import base64
import json
import secrets
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from authsec.jose import PrivateKey
from authsec_server.app import open_authority
from authsec_server.app.restoration import open_restoration
from authsec_server.audit.merkle_tree import Tree
from authsec_server.audit.sealing.checkpoints import TYPE, sign_checkpoint
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.db.served import remember_issuer
from authsec_server.failures import StartupRefused
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.settings import Settings, load_settings
from click.testing import Result
from long_runs import some_of
from sqlalchemy import text

pytestmark = pytest.mark.sqlite_suffices
ISSUER, EVIL, LOST = "https://auth.example", "https://evil.example", "U" * 43


def forged() -> str:
    """A text with the form of a checkpoint that nobody signed."""
    parts = ({"typ": TYPE, "alg": "EdDSA", "kid": "x"}, {"iss": EVIL})
    head, claims = (base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=").decode() for each in parts)
    return f"{head}.{claims}.x"


@pytest.mark.opens_anew
def test_a_planted_checkpoint_gives_a_link_no_other_address(authsec: Callable[..., Result], tmp_path: Path) -> None:
    with open_authority(Settings(data=tmp_path)) as its:  # as a server that starts does
        its.remember_issuer()
        while its.dropper.sealer.seal():
            pass
    with closing(sqlite3.connect(tmp_path / "authsec.sqlite3")) as raw, raw:
        raw.execute("INSERT INTO checkpoints SELECT 999999, at, ? FROM checkpoints LIMIT 1", [forged()])
    assert authsec("admin", "setup-url").stdout.startswith(f"{its.issuer}/console/set-up?code=")


@pytest.mark.parametrize("mac", some_of(["issuer_mac", "NULL"], each=2))
def test_a_restore_revokes_the_keys_of_the_lost_time(database_url: str, tmp_path: Path, mac: str) -> None:
    settings = _served(database_url, tmp_path)
    with open_restoration(settings) as its:
        write = text(f"UPDATE authority SET issuer = NULL, issuer_mac = {mac}")
        its.database.append(lambda tx: tx.connection.execute(write))
    with open_restoration(settings) as its:
        later = PrivateKey.generate_ed25519()
        line = sign_checkpoint(
            Tree(), through=0, at=its.runtime.now(), issuer=ISSUER, key=later, authority_version=9, signing_keys=[LOST]
        ).signed
        assert its.record(its.lost([line])).revoked_unknown == [LOST]


@pytest.mark.parametrize("mac", ["NULL", "'x'", "issuer_mac"])
def test_a_restore_refuses_an_address_that_no_server_wrote(database_url: str, tmp_path: Path, mac: str) -> None:
    settings = _served(database_url, tmp_path)
    with open_restoration(settings) as its:
        write = text(f"UPDATE authority SET issuer = '{EVIL}', issuer_mac = {mac}")
        its.database.append(lambda tx: tx.connection.execute(write))
    with pytest.raises(StartupRefused, match="not written by a server"), open_restoration(settings):
        pass


def _served(database_url: str, folder: Path) -> Settings:
    """The settings of a database that a server has served. It has keys, and a signed checkpoint."""
    file = folder / "master.key"
    file.write_bytes(base64.b64encode(secrets.token_bytes(32)))
    file.chmod(0o600)
    settings = load_settings(data=folder, database=database_url, master_key_file=file)
    with open_restoration(settings) as its:
        now, keys = its.runtime.now(), its.authority_keys.sealing_keyring
        act = Act(principal=LOCAL_OPERATOR, now=now, request_id="", address="", token_bytes=secrets.token_bytes)
        its.authority_keys.key_ring.keep(act)
        keys.keep(now)
        its.database.append(lambda tx: remember_issuer(tx, ISSUER, its.authority_keys.issuer_key))
        sealer = Sealer(
            its.database, issuer=ISSUER, signing_key=keys.signing_key, keys=keys.by_kid, now=its.runtime.now
        )
        while sealer.seal():
            pass
    return settings
