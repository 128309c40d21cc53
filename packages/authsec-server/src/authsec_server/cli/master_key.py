"""`authsec keys change-master-key`: encrypt all private keys with a new master key."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Any, Final

import click

from authsec_server.accounts import second_factor_store
from authsec_server.app import Runtime
from authsec_server.cli.audit_files import readable, sealing_key_option
from authsec_server.cli.caller import Caller, local_command
from authsec_server.cli.confirm import confirm
from authsec_server.cli.files import NamedFile
from authsec_server.cli.local import InProcess, Opened
from authsec_server.cli.output import Output, styled
from authsec_server.cli.transport import CallFailed
from authsec_server.keys.master_key import Purpose, load_master_key, master_key_path
from authsec_server.keys.master_key_change import ChangedMasterKey, MasterKeyChange, SealedSecrets, read_new_key
from authsec_server.settings import ENV_PREFIX

_FILE: Final = NamedFile(
    "The file has 32 random bytes in base64: umask 077; openssl rand -base64 32 > FILE", exists=True
)
_SETTING: Final = f"{ENV_PREFIX}MASTER_KEY_FILE"
_STOPS: Final = (
    "Each running server of this database stops, and /readyz says master_key_changed. Start the servers again with the "
    "new key."
)
_BACKUPS: Final = "Backups from before need the former master key. Keep it with them, and nowhere else."
_NOT_STOLEN: Final = (
    "Whoever has the former master key and a copy of the database already has the private keys in that copy. Then also "
    "replace these keys: docs/keys.md"
)


@click.command("change-master-key")
@click.option(
    "--new-key-file",
    type=_FILE,
    help="Use the master key in this file. Without it, the command makes one in place of the present file (SQLite).",
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--dry-run", is_flag=True, help="Check everything, say what would be encrypted, and change nothing.")
@local_command
@sealing_key_option
def change_master_key(caller: Caller, output: Output, new_key_file: Path | None, yes: bool, dry_run: bool) -> None:
    """Encrypt all private keys with a new master key, in one transaction.

    The former master key then opens nothing in the database, and makes no event that the audit log accepts. Tokens,
    signing keys, the audit log and its exports stay valid.

    With PostgreSQL, make a file with the new key first, and bring it to every server: --new-key-file.
    """
    assert isinstance(caller.reach, InProcess)  # always true for a local command
    with readable(), caller.reach.session() as opened:
        opened.refuse_if_older()
        change, path = _change_of(opened)
        if new_key_file is None and opened.authority.database.dialect != "sqlite":
            raise CallFailed(
                "With PostgreSQL, each server needs the new master key, so it must be in a file.",
                "umask 077; openssl rand -base64 32 > NEW.key, then: --new-key-file NEW.key",
            )
        new = read_new_key(new_key_file) if new_key_file else None
        if dry_run or not yes:  # refuse before asking for confirmation
            foreseen = change.rehearse(opened.act(), new)
        if dry_run:
            output.result(
                {"dry_run": True, **_as_json(foreseen)}, f"Nothing was changed. {_counted(foreseen, 'would')}"
            )
            return
        if not output.as_json:
            output.note(_STOPS)
            output.note(_BACKUPS)
        confirm("Change the master key?", yes=yes)
        if new is None:
            done, kept = change.in_place(opened.act(), path)
            lines = [
                f"{path} has the new key, and {kept} the former one. {_BACKUPS}",
                "1. Start the server again.",
                f"2. Make a backup of the database, and keep a copy of {path} elsewhere.",
            ]
        else:
            done, kept = change.to(opened.act(), new), path
            named = quote(str(new_key_file.absolute())) if new_key_file else ""
            lines = [
                f"1. Set {_SETTING}={named} on every server of this database, and start the servers again.",
                f"2. Make a backup of the database. {_BACKUPS}",
            ]
    told = {**_as_json(done), "former_key_file": str(kept)}
    output.result(told, styled(_counted(done, "did"), "green"), *lines, _NOT_STOLEN)


def _change_of(opened: Opened) -> tuple[MasterKeyChange, Path]:
    """Return the change of this authority's master key, and the file of the present key."""
    settings, database, around = opened.whole.settings, opened.authority.database, Runtime()
    change = MasterKeyChange(
        database=database,
        old=load_master_key(settings, database, around.token_bytes),
        secrets=SealedSecrets(Purpose.SECOND_FACTOR, second_factor_store.all_sealed, second_factor_store.set_sealed),
        token_bytes=around.token_bytes,
        verification_keys=opened.authority.sealing_keyring.by_kid,
    )
    return change, master_key_path(settings, database)


def _as_json(changed: ChangedMasterKey) -> dict[str, Any]:
    return {
        "master_key": changed.after,
        "replaces": changed.before,
        "keys": changed.keys,
        "second_factors": changed.secrets,
        "events": changed.events,
        "unreadable": list(changed.unreadable),
    }


def _counted(changed: ChangedMasterKey, verb: str) -> str:
    keys = f"{changed.keys:,} private key{'' if changed.keys == 1 else 's'}"
    if changed.secrets:
        keys += f" and {changed.secrets:,} second factor{'' if changed.secrets == 1 else 's'}"
    left = f" The present master key does not open {', '.join(changed.unreadable)}." if changed.unreadable else ""
    if verb == "would":
        return f"{keys} would be encrypted with a new master key.{left}"
    return f"The master key {changed.after} encrypts {keys}, in place of {changed.before}.{left}"
