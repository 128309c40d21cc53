"""The sealing key in a file: a first start, the move of an existing authority, another file, and its loss."""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import pytest
from authsec.jose import PrivateKey
from authsec_server.app import open_authority
from authsec_server.audit.model import EventKind
from authsec_server.audit.pages import above
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.service import newest_checkpoint
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.cli import register
from authsec_server.db import Database
from authsec_server.failures import Conflict, StartupRefused, Unavailable
from authsec_server.keys import store
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_key_file import load_sealing_key
from authsec_server.keys.sealing_keys import SealingKeys, replace_by_file
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.settings import Settings, load_settings
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from long_runs import some_of

Authsec = Callable[..., Result]


def key_file(path: Path, key: PrivateKey | None = None) -> Path:
    path.write_bytes((key or PrivateKey.generate_ed25519()).to_pem())
    path.chmod(0o600)
    return path


def kid_in(path: Path) -> str:
    return PrivateKey.from_pem(path.read_bytes()).public.thumbprint()


def commands() -> click.Group:
    group = click.Group()
    register(group)
    return group


def serve(settings: Settings) -> list[str]:
    """A server runs for a while: the public keys that it publishes, oldest first."""
    settings.data.mkdir(exist_ok=True)
    with open_authority(settings) as authority:
        while authority.dropper.sealer.seal():
            pass
        keys = authority.sealing_keyring.by_kid()
        assert authority.database.read(lambda tx: verify_log(tx, keys)).as_sealed
        return [str(each["kid"]) for each in authority.sealing_keyring.published()]


def sealed_private_keys(data: Path) -> list[str]:
    with closing(sqlite3.connect(data / "authsec.sqlite3")) as connection:
        return [kid for (kid,) in connection.execute("SELECT kid FROM sealing_keys")]


def test_a_fresh_authority_seals_with_the_key_in_the_file(tmp_path: Path) -> None:
    path = key_file(tmp_path / "seal.pem")
    settings = load_settings(data=tmp_path / "data", sealing_key_file=path)
    assert serve(settings) == [kid_in(path)]
    assert serve(settings) == [kid_in(path)]
    assert sealed_private_keys(settings.data) == []
    with open_authority(settings) as authority:
        found = authority.database.read(lambda tx: above(tx.connection, 0, 1000))
    assert [each.event.kid for each in found if each.event.kind is EventKind.SEAL_KEY_CREATED] == [kid_in(path)]


def test_the_database_has_no_part_of_the_private_key(tmp_path: Path) -> None:
    key = PrivateKey.generate_ed25519()
    settings = load_settings(data=tmp_path / "data", sealing_key_file=key_file(tmp_path / "seal.pem", key))
    serve(settings)
    private = "".join(key.to_pem().decode().splitlines()[1:-1])
    for file in settings.data.iterdir():
        assert private.encode() not in file.read_bytes()
    with closing(sqlite3.connect(settings.data / "authsec.sqlite3")) as connection:
        ((signed,),) = connection.execute("SELECT signed FROM sealing_key_lists")
    assert '"d"' not in str(signed)


@pytest.mark.soak
def test_an_existing_authority_moves_to_a_file_and_from_file_to_file(
    tmp_path: Path, begun_today: Path, authsec: Authsec, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = key_file(tmp_path / "first.pem"), key_file(tmp_path / "second.pem")
    plain = load_settings(data=tmp_path)
    (before,) = serve(plain)
    kept = tmp_path / "keys"
    kept.write_text(authsec("audit", "keys").stdout)

    rehearsed = authsec("audit", "rotate-key", "--key-file", str(first), "--dry-run")
    assert rehearsed.stdout.splitlines() == [
        "Nothing was changed. This would happen:",
        f"  sealing key replaced: {before} → {kid_in(first)} in {first}",
    ]
    moved = authsec("audit", "rotate-key", "--key-file", str(first), "--yes")
    assert moved.exit_code == 0, moved.output
    assert f"The key {kid_in(first)} has replaced {before}, and the replacement is sealed." in moved.stdout
    assert sealed_private_keys(tmp_path) == []
    with_first = plain.model_copy(update={"sealing_key_file": first})
    assert serve(with_first) == [before, kid_in(first)]
    assert authsec("roles", "create", "Support", "--action", "customers:read").exit_code == 0
    serve(with_first)

    monkeypatch.setenv("AUTHSEC_SERVER_SEALING_KEY_FILE", str(first))
    assert authsec("audit", "rotate-key", "--yes").exit_code == 4  # the next one is in a file, too
    again = authsec("audit", "rotate-key", "--key-file", str(first), "--yes")
    assert again.exit_code != 0
    moved = authsec("audit", "rotate-key", "--key-file", str(second), "--yes")
    assert moved.exit_code == 0, moved.output
    with pytest.raises(StartupRefused, match=r"was replaced"), open_authority(with_first):
        raise AssertionError("it started")
    with_second = plain.model_copy(update={"sealing_key_file": second})
    assert serve(with_second) == [before, kid_in(first), kid_in(second)]
    monkeypatch.setenv("AUTHSEC_SERVER_SEALING_KEY_FILE", str(second))
    published = json.loads(authsec("audit", "keys").stdout)["keys"]
    assert ["checkpoints_up_to" in each for each in published] == [True, True, False]
    authsec("roles", "create", "Other", "--action", "customers:read")
    serve(with_second)
    checked = authsec("audit", "verify", "--key", str(kept))  # who kept the first key checks across both changes
    assert checked.exit_code == 0, checked.output


def test_the_key_in_the_database_seals_that_a_file_replaces_it(database: Database, act: Act, tmp_path: Path) -> None:
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    keys.keep(act.now)
    before, file = keys.signing_key().public.thumbprint(), load_sealing_key(key_file(tmp_path / "seal.pem"))
    its: dict[str, Any] = {
        "issuer": "https://authsec.example.com",
        "signing_key": keys.signing_key,
        "keys": keys.by_kid,
    }
    sealer = Sealer(database, now=lambda: act.now, **its)
    sealer.seal()
    made = replace_by_file(database, keys, sealer, act, issuer=its["issuer"], file=file)
    assert made == (file.kid, before)
    later = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes, file=file)
    later.check()
    later.keep(act.now)
    assert database.read(lambda tx: store.all_head_keys(tx.connection, store.sealing_keys)) == []
    assert list(later.by_kid()) == [before, file.kid]
    assert Sealer(database, now=lambda: act.now, **its).key().public.thumbprint() == file.kid
    with pytest.raises(Conflict, match="was already used to seal this audit log"):
        database.change(lambda tx: later.replace(tx, act, issuer=its["issuer"], file=file))


def test_the_file_may_be_named_already_when_the_key_is_replaced_by_its_own(
    tmp_path: Path, authsec: Authsec, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = key_file(tmp_path / "seal.pem")
    serve(load_settings(data=tmp_path))
    monkeypatch.setenv("AUTHSEC_SERVER_SEALING_KEY_FILE", str(path))
    moved = authsec("audit", "rotate-key", "--key-file", str(path), "--yes")
    assert moved.exit_code == 0, moved.output
    assert kid_in(path) in serve(load_settings(data=tmp_path))


def test_the_old_private_key_stays_until_it_has_sealed_its_replacement(
    database: Database, act: Act, tmp_path: Path
) -> None:
    """The command was killed after its change: only a server with the old key can seal the change."""
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    keys.keep(act.now)
    file = load_sealing_key(key_file(tmp_path / "seal.pem"))
    sealer = Sealer(
        database, issuer="https://a.example", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: act.now
    )
    sealer.seal()
    database.change(lambda tx: keys.replace(tx, act, issuer="https://a.example", file=file))
    later = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes, file=file)
    later.keep(act.now)
    assert len(database.read(lambda tx: store.all_head_keys(tx.connection, store.sealing_keys))) == 1
    keys.take_over(file)
    sealer.seal()
    later.keep(act.now)
    assert database.read(lambda tx: store.all_head_keys(tx.connection, store.sealing_keys)) == []


def test_the_command_says_that_servers_must_restart_before_it_asks_and_what_to_do_next(tmp_path: Path) -> None:
    present, new, data = key_file(tmp_path / "seal.pem"), key_file(tmp_path / "new key.pem"), tmp_path / "data"
    serve(load_settings(data=data, sealing_key_file=present))
    rotate = ["audit", "rotate-key", "--key-file", str(new), "--data", str(data), "--sealing-key-file", str(present)]
    setting = f"AUTHSEC_SERVER_SEALING_KEY_FILE='{new}'"
    unnamed = CliRunner().invoke(commands(), rotate[:-2], input="y\n")
    assert ("no such file is set" in unnamed.stderr, "[y/N]" in unnamed.output) == (True, False)
    refused = CliRunner().invoke(commands(), rotate, input="n\n")
    assert (refused.exit_code, kid_in(new) in refused.output) == (1, False)
    said, _, asked = refused.output.partition("Replace the key that seals the audit log?")
    assert (f"must then be restarted with {setting}" in said, "[y/N]" in asked) == (True, True)
    done = CliRunner().invoke(commands(), [*rotate, "--yes"])
    assert f"Restart every server with {setting}\n" in done.stdout
    assert f"{setting} authsec audit keys --data {data} > FILE" in done.stdout


def test_a_key_file_that_does_not_fit_is_refused_before_anybody_is_asked(tmp_path: Path, authsec: Authsec) -> None:
    path = key_file(tmp_path / "seal.pem")
    path.chmod(0o644)
    refused = authsec("audit", "rotate-key", "--key-file", str(path))
    assert ("can be read or written by other users" in refused.output, "[y/N]" in refused.output) == (True, False)


def test_public_keys_are_printed_without_the_private_key(tmp_path: Path) -> None:
    path, new = key_file(tmp_path / "seal.pem"), key_file(tmp_path / "new.pem")
    settings = load_settings(data=tmp_path / "data", sealing_key_file=path)
    serve(settings)

    def keys(*options: str) -> Result:
        return CliRunner().invoke(commands(), ["audit", "keys", "--data", str(settings.data), *options])

    proved, unproved = keys("--sealing-key-file", str(path)), keys()
    assert (unproved.exit_code, unproved.stdout) == (0, proved.stdout)
    assert (proved.stderr, "These keys are not proved" in unproved.stderr) == ("", True)
    rotate = ["--sealing-key-file", str(path), "--key-file", str(new), "--yes", "--data", str(settings.data)]
    assert CliRunner().invoke(commands(), ["audit", "rotate-key", *rotate]).exit_code == 0
    assert keys().stdout == keys("--sealing-key-file", str(new)).stdout
    replaced = keys("--sealing-key-file", str(path))
    assert (replaced.exit_code, f"the key {kid_in(new)} now seals" in replaced.stderr) == (5, True)


NEEDY = (
    ("audit", "rebuild-counts", "--yes"),
    ("audit", "rebuild-counts"),  # nobody is asked before
    ("audit", "rotate-key", "--yes"),
    ("audit", "rotate-key"),
    ("admin", "restored", "--yes"),
)


@pytest.mark.parametrize("command", some_of(NEEDY))
def test_a_command_that_needs_the_key_says_how_to_name_its_file(tmp_path: Path, command: tuple[str, ...]) -> None:
    settings = load_settings(data=tmp_path / "data", sealing_key_file=key_file(tmp_path / "seal.pem"))
    serve(settings)
    refused = CliRunner().invoke(commands(), [*command, "--data", str(settings.data)])
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == (
        "✗ The audit log of this database is sealed with a key in a file, but no such file is set.\n"
        "  Name the file of the sealing key: --sealing-key-file FILE, or AUTHSEC_SERVER_SEALING_KEY_FILE=FILE\n"
    )


def test_counts_are_rebuilt_with_the_file_that_the_option_names(tmp_path: Path) -> None:
    path = key_file(tmp_path / "seal.pem")
    settings = load_settings(data=tmp_path / "data", sealing_key_file=path)
    serve(settings)
    rebuild = ["audit", "rebuild-counts", "--dry-run", "--data", str(settings.data), "--sealing-key-file", str(path)]
    done = CliRunner().invoke(commands(), rebuild)
    assert (done.exit_code, done.stderr) == (0, "")


@pytest.mark.parametrize("option", ["--key-file", "--sealing-key-file"])
def test_a_private_key_is_not_sent_to_a_server(tmp_path: Path, option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHSEC_ADMIN_KEY", "key")
    monkeypatch.setenv("AUTHSEC_BASE_URL", "https://authsec.example.com")
    path = key_file(tmp_path / "seal.pem")
    refused = CliRunner().invoke(commands(), ["audit", "rotate-key", option, str(path), "--yes"])
    assert (refused.exit_code, "A private key cannot be sent to a server" in refused.output) == (1, True)


def missing(path: Path) -> None:
    path.unlink()


def another(path: Path) -> None:
    key_file(path)


def open_to_all(path: Path) -> None:
    path.chmod(0o644)


def of_another_kind(path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir(0o755)


def no_key(path: Path) -> None:
    path.write_bytes(b"nothing")


REFUSALS = {
    missing: r"The sealing key file .*seal\.pem is missing\.",
    another: r"The key in .*seal\.pem \(.*\) is not the one that seals the audit log of this database\.",
    open_to_all: r"can be read or written by other users",
    of_another_kind: r"has a key that is not an Ed25519 key",
    a_folder: r"is not a regular file",
    no_key: r"has no private key",
}


@pytest.mark.parametrize("change", some_of(REFUSALS))
def test_a_server_does_not_start_without_the_key_that_seals(tmp_path: Path, change: Callable[[Path], None]) -> None:
    path = key_file(tmp_path / "seal.pem")
    settings = load_settings(data=tmp_path / "data", sealing_key_file=path)
    serve(settings)
    change(path)
    with pytest.raises(StartupRefused, match=REFUSALS[change]), open_authority(settings):
        raise AssertionError("it started")


def test_a_server_without_the_file_does_not_start_and_makes_no_key(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path / "data", sealing_key_file=key_file(tmp_path / "seal.pem"))
    serve(settings)
    without = settings.model_copy(update={"sealing_key_file": None})
    with pytest.raises(StartupRefused, match=r"sealed with a key in a file"), open_authority(without):
        raise AssertionError("it started")
    with open_authority(without, local_operator=True) as authority:  # a command that needs no seal works
        with pytest.raises(Unavailable, match=r"sealed with a key in a file"):
            authority.sealing_keyring.by_kid()
        with pytest.raises(Unavailable):
            authority.dropper.sealer.key()
    assert sealed_private_keys(settings.data) == []


def test_when_the_file_is_lost_a_new_log_begins_over_the_events_that_are_there(tmp_path: Path) -> None:
    """As docs/audit.md says it: the old log is kept as an export, and the server gets a new file of checkpoints."""
    lost, new = key_file(tmp_path / "lost.pem"), key_file(tmp_path / "new.pem")
    checkpoints = tmp_path / "checkpoints.txt"
    settings = load_settings(data=tmp_path, sealing_key_file=lost, audit_checkpoints=str(checkpoints))
    serve(settings)
    with open_authority(settings) as authority:
        signed = authority.database.read(lambda tx: newest_checkpoint(tx, LOCAL_OPERATOR, None))
        old_keys = authority.sealing_keyring.by_kid()
    checkpoints.write_text(signed + "\n")  # only a server that is served writes it
    told = (Path(__file__).parents[3] / "docs" / "audit.md").read_text("utf-8")
    statements = re.findall(r"DELETE FROM checkpoints;[^\"]*", told)
    with closing(sqlite3.connect(tmp_path / "authsec.sqlite3")) as connection:
        connection.executescript(statements[0])
    begun = settings.model_copy(update={"sealing_key_file": new})
    with open_authority(begun) as authority:
        problem = str(authority.comparison.problem)
        assert "which this database does not have" in problem
        assert "do not run `authsec admin restored`. Name a new file with --audit-checkpoints" in problem
    begun = begun.model_copy(update={"audit_checkpoints": str(tmp_path / "checkpoints-2.txt")})
    assert serve(begun) == [kid_in(new)]
    with open_authority(begun) as authority:
        assert authority.comparison.problem is None
        report = authority.database.read(lambda tx: verify_log(tx, authority.sealing_keyring.by_kid()))
        by_old_keys = authority.database.read(lambda tx: verify_log(tx, old_keys))
    assert (report.findings, report.sealed > 1) == ((), True)
    assert not by_old_keys.as_sealed


def test_two_servers_that_start_together_with_one_file_agree(tmp_path: Path) -> None:
    path = key_file(tmp_path / "seal.pem")
    settings = load_settings(data=tmp_path, sealing_key_file=path)
    with open_authority(settings) as one, open_authority(settings) as other:
        one.dropper.sealer.seal()
        other.dropper.sealer.seal()
        assert other.dropper.sealer.key().public.thumbprint() == kid_in(path)
    other_file = settings.model_copy(update={"sealing_key_file": key_file(tmp_path / "other.pem")})
    with pytest.raises(StartupRefused, match=r"is not the one that seals"), open_authority(other_file):
        raise AssertionError("it started")


def test_a_file_that_openssl_makes_is_read(tmp_path: Path) -> None:
    pem = (
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
        "-----END PRIVATE KEY-----\n"  # RFC 8037, appendix A.1
    )
    path = tmp_path / "seal.pem"
    path.write_text(pem)
    path.chmod(0o600)
    assert load_sealing_key(path).kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    assert not re.search("nWGx", repr(load_sealing_key(path)))
