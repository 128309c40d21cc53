"""`authsec audit keys`, `checkpoint` and `verify`, as an outsider uses them on the data of a server that has run."""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import click
import pytest
from authsec.jose import PrivateKey, sign_compact
from authsec_server.app import Runtime, open_authority
from authsec_server.audit.merkle_tree import Tree
from authsec_server.audit.sealing import store, verifying
from authsec_server.audit.sealing.checkpoints import TYPE, read_checkpoint, sign_checkpoint
from authsec_server.audit.sealing.log_check import Report
from authsec_server.cli import register
from authsec_server.db import Tx
from authsec_server.settings import load_settings
from click.testing import CliRunner, Result
from planted_events import sign_anew
from starlette.testclient import TestClient
from structlog.testing import capture_logs

Authsec = Callable[..., Result]
HEAD = "/authsec/api/v1/events/checkpoint"


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def served(authsec: Authsec, tmp_path: Path) -> Path:
    """The folder of a server that has sealed its audit log and was stopped, with `keys` and `checkpoint` to keep."""
    assert authsec("audit", "checkpoint").exit_code == 1  # nobody has sealed anything
    with (
        open_authority(load_settings(data=tmp_path), local_operator=True) as authority,
        TestClient(authority.app, base_url="http://127.0.0.1") as client,
    ):
        wait_until(lambda: client.get(HEAD).status_code == 200)
        everybody = client.get("/authsec/v1/audit/keys").json()
    (tmp_path / "keys").write_text(authsec("audit", "keys").stdout)
    (tmp_path / "checkpoint").write_text(authsec("audit", "checkpoint").stdout)
    assert json.loads((tmp_path / "keys").read_text()) == everybody
    return tmp_path


def spoil(data: Path, statement: str) -> None:
    connection = sqlite3.connect(data / "authsec.sqlite3")
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_all_is_as_it_was_sealed_and_what_a_command_did_waits(served: Path, authsec: Authsec) -> None:
    key, checkpoint = ("--key", str(served / "keys")), ("--checkpoint", str(served / "checkpoint"))
    first = authsec("audit", "verify", *key, *checkpoint)
    assert first.exit_code == 0, first.output
    assert "4 events sealed, and all match their seals." in first.stdout
    assert "The log matches the checkpoint that you kept." in first.stdout
    assert (
        authsec("audit", "verify", *key, *checkpoint, "--deep").stdout == first.stdout
    )  # of PostgreSQL alone more is checked
    authsec("roles", "create", "Support", "--action", "customers:read")
    told = json.loads(authsec("audit", "verify", *key, "--json").stdout)
    assert (told["as_sealed"], told["sealed"], told["not_sealed_yet"], told["findings"]) == (True, 4, 1, [])


def test_of_checkpoints_sent_elsewhere_nothing_is_said_where_no_server_answers(served: Path, authsec: Authsec) -> None:
    """A server on the same data may send them, and fail: the data does not tell."""
    told = json.loads(authsec("audit", "checkpoint", "--json").stdout)
    assert (told["checkpoint"], told["elsewhere"]) == ((served / "checkpoint").read_text().strip(), None)


def test_what_was_changed_is_named_with_an_exit_status_of_its_own(served: Path, authsec: Authsec) -> None:
    spoil(served, "UPDATE events SET principal_name = 'Eve' WHERE id = 2")
    spoil(served, "DELETE FROM events WHERE id = 3")
    found = authsec("audit", "verify", "--key", str(served / "keys"))
    assert found.exit_code == 3
    assert found.stderr.splitlines()[-1] == "What to do now: docs/tampering.md"
    assert "Event 2 was changed" in found.stdout
    assert "Event 3 was dropped" in found.stdout
    told = authsec("audit", "verify", "--key", str(served / "keys"), "--json")
    assert told.exit_code == 3
    *of_events, of_key = json.loads(told.stdout)["findings"]
    assert (len(of_events), "feed_keys has the key" in of_key) == (2, True), "the event of a key is gone"


def test_an_event_that_was_changed_is_not_shown_as_if_it_were_what_was_sealed(served: Path, authsec: Authsec) -> None:
    assert "place 1, leaf " in authsec("audit", "show", "2").stdout
    spoil(served, "UPDATE events SET principal_name = 'Eve' WHERE id = 2")
    listed = authsec("audit", "list")
    marked = [line for line in listed.stdout.splitlines() if " changed " in line]
    assert (len(marked), "Eve" in marked[0]) == (1, True), listed.output
    assert "1 event differs from its seal. To see all changes: authsec audit verify --key" in listed.stderr
    shown = authsec("audit", "show", "2").stdout
    assert "This event was changed: it does not match its seal at place 1." in shown
    assert "leaf" not in shown
    exported = map(json.loads, authsec("audit", "export").stdout.splitlines())
    assert [(each["id"], each["as_sealed"]) for each in exported] == [(1, True), (2, False), (3, True), (4, True)]
    rows = csv.DictReader(authsec("audit", "export", "--format", "csv").stdout.splitlines())
    assert [row["as_sealed"] for row in rows] == ["true", "false", "true", "true"]


def test_a_wrong_file_is_no_finding(served: Path, authsec: Authsec, tmp_path: Path) -> None:
    """Whoever names the wrong file must not believe that the audit log was changed."""
    wrong = tmp_path / "wrong"
    tokens = PrivateKey.generate_rsa(2048).public.to_jwk()
    for content in (
        "",
        "{}",
        "[]",
        '{"keys": [7]}',
        '{"keys": []}',
        json.dumps({"keys": [tokens]}),
        "\0",
        "checkpoint",
    ):
        wrong.write_text(content)
        answer = authsec("audit", "verify", "--key", str(wrong))
        assert answer.exit_code == 1, content
        assert "authsec audit keys > FILE" in answer.stderr
    for content in ("", (served / "keys").read_text(), "é"):
        wrong.write_text(content)
        answer = authsec("audit", "verify", "--key", str(served / "keys"), "--checkpoint", str(wrong))
        assert answer.exit_code == 1, content
        assert "authsec audit checkpoint > FILE" in answer.stderr


def test_an_export_is_checked_where_there_is_no_data(served: Path, authsec: Authsec, tmp_path: Path) -> None:
    exported = authsec("audit", "export-sealed")
    assert exported.exit_code == 0, exported.output
    file, key, checkpoint = tmp_path / "export.jsonl", str(served / "keys"), str(served / "checkpoint")
    file.write_text(exported.stdout)
    whole = elsewhere("audit", "verify-export", str(file), "--key", key, "--checkpoint", checkpoint)
    assert whole.exit_code == 0, whole.output
    assert "4 events sealed, and all match their seals." in whole.stdout
    file.write_text(exported.stdout.replace('"request_id":""', '"request_id":"req_0000000000000000000other"', 1))
    changed = elsewhere("audit", "verify-export", str(file), "--key", key)
    assert changed.exit_code == 3
    assert "was changed" in changed.stdout
    file.write_text("{}\n")
    something_else = elsewhere("audit", "verify-export", str(file), "--key", key, "--json")
    assert something_else.exit_code == 1
    assert "authsec audit export-sealed > FILE" in something_else.stderr, (
        "not over what was named: it may be kept checkpoints"
    )
    file.write_text("".join(exported.stdout.splitlines(keepends=True)[:2]))
    checkpoints = tmp_path / "checkpoints"
    checkpoints.write_text((served / "checkpoint").read_text() * 3)
    cut = elsewhere("audit", "verify-export", str(file), "--key", key, "--checkpoint", str(checkpoints))
    (told,) = (line for line in cut.stdout.splitlines() if "log was cut: " in line)
    assert "The log was cut: it has 2 seals, and 3 checkpoints cover more seals: the first, signed at 20" in told
    assert told.endswith(" UTC, covers 4, and the last, signed at " + told.split("signed at ")[1][:23] + ", covers 4.")


def test_an_export_that_is_older_than_the_checkpoints_is_not_called_cut_for_certain(
    served: Path, authsec: Authsec, tmp_path: Path
) -> None:
    """Whoever copies the checkpoints after the export has such a pair, and nobody was at the log."""
    file, checkpoint = tmp_path / "export.jsonl", tmp_path / "later"
    check = ("audit", "verify-export", str(file), "--key", str(served / "keys"), "--checkpoint", str(checkpoint))
    file.write_text(authsec("audit", "export-sealed").stdout)
    checkpoint.write_text(sealed_checkpoint(served, authsec))
    older = elsewhere(*check)
    assert older.exit_code == 3
    assert "The export has 4 seals, and the checkpoint signed at 20" in older.stdout
    assert "or the export is older than the checkpoints. Make a new export, and verify the new export." in older.stdout
    file.write_text(authsec("audit", "export-sealed").stdout)
    assert elsewhere(*check).exit_code == 0


def sealed_checkpoint(data: Path, authsec: Authsec) -> str:
    """The checkpoint after one event more."""
    authsec("roles", "create", "Support", "--action", "customers:read")
    with open_authority(load_settings(data=data), local_operator=True) as authority:
        authority.dropper.sealer.seal()
    return authsec("audit", "checkpoint").stdout


def elsewhere(*arguments: str) -> Result:
    """The command on a machine that has no data."""
    group = click.Group()
    register(group)
    return CliRunner().invoke(group, arguments)


@pytest.mark.opens_anew
def test_old_months_are_dropped_after_an_export_and_every_check_says_so(
    served: Path, authsec: Authsec, tmp_path: Path
) -> None:
    """The four events of the first start, sealed anew as those of a year before."""
    file, keys = tmp_path / "old.jsonl", ("--key", str(served / "keys"))
    drop = ("audit", "drop", "--export", str(file), "--before")
    mistyped = authsec(*drop, "2026-08")
    assert (mistyped.exit_code, "does not exist" in mistyped.stderr) == (2, True)
    assert "Delete" not in mistyped.stderr, "nobody is asked for nothing"
    file.write_text(authsec("audit", "export-sealed").stdout)
    next_month = (datetime.now(UTC).replace(day=1) + timedelta(days=32)).strftime("%Y-%m")
    assert "before it is over" in authsec(*drop, next_month, "--yes").stderr
    assert "nothing to drop" in authsec(*drop, "2020-01", "--yes").stderr
    assert authsec(*drop, "2020-13").exit_code == 2
    (tmp_path / "checkpoints").write_text((served / "checkpoint").read_text())
    other = authsec("audit", "drop", "--export", str(tmp_path / "checkpoints"), "--before", "2026-01", "--yes")
    assert (other.exit_code, "checkpoints is not a sealed export" in other.stderr) == (1, True), other.output
    unasked = authsec(*drop, "2020-01")
    assert (unasked.exit_code, "nothing to drop" in unasked.stderr, "Delete" in unasked.stderr) == (4, True, False)
    year_old(served)
    file.write_text(authsec("audit", "export-sealed").stdout)
    before = authsec("audit", "list", "--json").stdout
    rehearsed = authsec(*drop, "2026-01", "--dry-run")
    assert rehearsed.exit_code == 0, rehearsed.output
    assert (
        "Nothing was dropped. All events match their seals, and 3 events before 2026-01 would be dropped"
        in rehearsed.stdout
    )
    assert json.loads(authsec(*drop, "2026-01", "--dry-run", "--json").stdout)["events"] == 3
    nothing = authsec(*drop, "2020-01", "--dry-run")
    assert (nothing.exit_code, "nothing to drop" in nothing.stderr) == (4, True)
    assert authsec("audit", "list", "--json").stdout == before
    asked = authsec(*drop, "2026-01")
    assert (asked.exit_code, "Delete 3 events before 2026-01? After that" in asked.stderr) == (1, True), "no answer"
    done = authsec(*drop, "2026-01", "--yes")
    assert done.exit_code == 0, done.output
    assert "3 events before 2026-01 were dropped." in done.stdout
    digest = sha256(file.read_bytes()).hexdigest()
    checked = authsec("audit", "verify", *keys, "--with", str(file))
    assert checked.exit_code == 0, checked.output
    assert f"by local operator, after an export with the SHA-256 {digest}." in checked.stdout
    assert "The given files contain all of these events, and the events match their seals." in checked.stdout
    assert "No given file" not in checked.stdout
    another = tmp_path / "another.jsonl"  # has the same events, and is not the export that the record names
    another.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    not_the_one = authsec("audit", "verify", *keys, "--with", str(another))
    assert not_the_one.exit_code == 6, not_the_one.output
    assert "no problem was found" in not_the_one.stdout
    assert "No given file has that SHA-256." in not_the_one.stdout
    assert f"Give the export with the SHA-256 {digest}: --with FILE" in not_the_one.stderr
    (told,) = json.loads(authsec("audit", "verify", *keys, "--with", str(another), "--json").stdout)["dropped"]
    assert (told["in_files"], told["export_is_given"]) == (3, False)
    some = tmp_path / "some.jsonl"  # as an export of an earlier drop
    some.write_text("".join(file.read_text().splitlines(keepends=True)[:2]))
    not_all = authsec("audit", "verify", *keys, "--with", str(some))
    assert (not_all.exit_code, "1 dropped events could not be checked" in not_all.stderr) == (6, True), not_all.output
    assert "The given files contain only 2 of these events." in not_all.stdout
    assert "3 events before 2026-01" in authsec("audit", "list", "--kind", "events.").stdout
    wrong = authsec("audit", "verify", *keys, "--with", str(tmp_path / "checkpoints"))
    assert (wrong.exit_code, "checkpoints is not a sealed export" in wrong.stderr) == (1, True)
    after = tmp_path / "after.jsonl"
    after.write_text(authsec("audit", "export-sealed").stdout)
    assert (
        "The given files contain none of these events."
        in authsec("audit", "verify", *keys, "--with", str(after)).stdout
    )
    exported = elsewhere("audit", "verify-export", str(after), *keys, "--json")
    (told,) = json.loads(exported.stdout)["dropped"]
    assert (exported.exit_code, told["events"], told["export_sha256"], told["in_files"]) == (6, 3, digest, 0)
    spoil(served, "DELETE FROM events WHERE kind = 'events.dropped'")
    assert authsec("audit", "verify", *keys).exit_code == 3


def year_old(data: Path) -> None:
    """Date the events and their keys back, and have the events sealed by the same key."""
    spoil(data, "UPDATE events SET at = '2025' || substr(at, 5)")
    for table in ("feed_keys", "sealing_keys"):
        spoil(data, f"UPDATE {table} SET created_at = '2025' || substr(created_at, 5)")
    for table in ("checkpoints", "sealed_events", "number_ranges"):
        spoil(data, f"DELETE FROM {table}")
    then = datetime.now(UTC).replace(year=2025) + timedelta(minutes=10)
    around = Runtime(now=lambda: then)
    with open_authority(load_settings(data=data), local_operator=True, runtime=around) as authority:
        sign_anew(authority.database)
        while authority.dropper.sealer.seal():
            pass


@pytest.mark.soak
def test_the_key_is_replaced_by_command_and_both_files_of_keys_check(
    served: Path, authsec: Authsec, tmp_path: Path
) -> None:
    for options in ((), ("--json",)):
        assert (
            "because nobody could answer the question.\n  To run without the question: --yes"
            in authsec("audit", "rotate-key", *options).stderr
        )
    present = json.loads((served / "keys").read_text())["keys"][0]["kid"]
    rehearsed = authsec("audit", "rotate-key", "--dry-run")
    assert rehearsed.stdout.splitlines() == [
        "Nothing was changed. This would happen:",
        f"  sealing key replaced: {present} → a new key in the database",
    ]
    assert json.loads(authsec("audit", "rotate-key", "--dry-run", "--json").stdout) == {
        "dry_run": True,
        "kid": None,
        "replaces": present,
    }
    assert len(json.loads(authsec("audit", "keys").stdout)["keys"]) == 1
    done = authsec("audit", "rotate-key", "--yes")
    assert done.exit_code == 0, done.output
    assert "after a server has sealed the replacement" in done.stdout
    assert authsec("audit", "rotate-key", "--yes").exit_code == 4
    with open_authority(load_settings(data=served), local_operator=True) as authority:
        while authority.dropper.sealer.seal():
            pass
    authsec("roles", "create", "Support", "--action", "customers:read")
    with open_authority(load_settings(data=served), local_operator=True) as authority:
        authority.dropper.sealer.seal()  # by the new key
    after, known = tmp_path / "after", json.loads((served / "keys").read_text())["keys"]
    after.write_text(authsec("audit", "keys").stdout)
    old, new = json.loads(after.read_text())["keys"]
    assert (old["kid"], old["checkpoints_up_to"], "checkpoints_up_to" in new) == (known[0]["kid"], 5, False)
    exported, checkpoints = tmp_path / "sealed.jsonl", tmp_path / "checkpoints"
    exported.write_text(authsec("audit", "export-sealed").stdout)
    checkpoints.write_text((served / "checkpoint").read_text() + authsec("audit", "checkpoint").stdout)
    for keys in (served / "keys", after):
        key_and_checkpoints = ("--key", str(keys), "--checkpoint", str(checkpoints))
        assert elsewhere("audit", "verify-export", str(exported), *key_and_checkpoints).exit_code == 0
        checked = authsec("audit", "verify", *key_and_checkpoints)
        assert (checked.exit_code, "6 events sealed, and all match their seals." in checked.stdout) == (0, True), (
            checked.output
        )
    after.write_text(json.dumps({"keys": [old | {"checkpoints_up_to": 3}]}))
    assert authsec("audit", "verify", "--key", str(after)).exit_code == 3
    after.write_text(json.dumps({"keys": [old | {"checkpoints_up_to": "soon"}]}))
    assert authsec("audit", "verify", "--key", str(after)).exit_code == 1


def test_a_file_of_many_checkpoints_is_checked_checkpoint_by_checkpoint(
    served: Path, authsec: Authsec, tmp_path: Path
) -> None:
    checkpoints, keys, first = (
        tmp_path / "checkpoints",
        ("--key", str(served / "keys")),
        (served / "checkpoint").read_text(),
    )
    checkpoints.write_text(first + sealed_checkpoint(served, authsec))
    whole = authsec("audit", "verify", *keys, "--checkpoint", str(checkpoints))
    assert (whole.exit_code, "all 2 checkpoints that you kept" in whole.stdout) == (0, True)


def test_a_checkpoint_that_a_server_adds_during_the_check_is_not_taken_for_a_cut_log(
    served: Path, authsec: Authsec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = tmp_path / "checkpoints"
    checkpoints.write_text((served / "checkpoint").read_text())
    verify = verifying.verify

    def seal_then_verify(tx: Tx, *given: Any, **named: Any) -> Report:
        store.size(tx.connection)  # from here on, `tx` sees nothing that others write
        with checkpoints.open("a") as file:
            file.write(sealed_checkpoint(served, authsec))
        return verify(tx, *given, **named)

    monkeypatch.setattr(verifying, "verify", seal_then_verify)
    check = ("audit", "verify", "--key", str(served / "keys"), "--checkpoint", str(checkpoints))
    told = authsec(*check)
    assert (told.exit_code, "The log matches the checkpoint that you kept." in told.stdout) == (0, True), told.output
    assert len(checkpoints.read_text().splitlines()) == 2


@pytest.mark.soak
def test_a_torn_line_among_the_checkpoints_is_named_and_the_others_are_checked(
    served: Path, authsec: Authsec, tmp_path: Path
) -> None:
    """A full disk tears a line, and in a file that is only appended to it stays for good."""
    checkpoints, checkpoint = tmp_path / "checkpoints", (served / "checkpoint").read_text().strip()
    check = ("audit", "verify", "--key", str(served / "keys"), "--checkpoint", str(checkpoints))
    for torn in ("eyJhbGc", checkpoint[: checkpoint.rindex(".")], checkpoint[:-9]):
        checkpoints.write_text(f"{checkpoint}\n{torn}\n{checkpoint}\n")
        told = authsec(*check)
        assert (told.exit_code, "all 2 checkpoints that you kept" in told.stdout) == (0, True), told.output
        assert f"Line 2 of {checkpoints} is not a complete checkpoint and was ignored." in told.stderr
    checkpoints.write_text(f"{checkpoint}\nhead\n{checkpoint}\nhead\n")
    told = authsec(*check, "--json")
    assert json.loads(told.stdout)["checkpoints"] == {"checked": 2, "lines_without_checkpoint": 2}
    assert f"2 lines of {checkpoints} are not complete checkpoints and were ignored, the first at line 2" in told.stderr
    spoil(served, "DELETE FROM events WHERE id = 3")
    assert authsec(*check).exit_code == 3


def test_what_another_key_signed_is_found_in_the_log_as_among_the_checkpoints(
    served: Path, authsec: Authsec, tmp_path: Path
) -> None:
    """One exit status for both, and words that name the other cause: these keys are another authority's."""
    checkpoints, checkpoint, keys = (
        tmp_path / "checkpoints",
        (served / "checkpoint").read_text().strip(),
        tmp_path / "others",
    )
    other = PrivateKey.generate_ed25519()
    forged = sign_compact({"typ": TYPE, "kid": other.public.thumbprint()}, {"size": 4}, other)
    checkpoints.write_text(f"{checkpoint}\n{forged}\n{forged}\n")
    told = authsec("audit", "verify", "--key", str(served / "keys"), "--checkpoint", str(checkpoints))
    assert told.exit_code == 3
    assert f"The checkpoint in line 2 of {checkpoints} is signed by a key that was not given" in told.stdout
    assert "And 1 more." in told.stdout
    keys.write_text(json.dumps({"keys": [other.public.to_jwk()]}))
    told = authsec("audit", "verify", "--key", str(keys))
    assert told.exit_code == 3
    assert "4 events sealed, but no checkpoint is signed by these keys: the keys are another authority's" in told.stdout


def test_of_an_export_that_was_cut_it_is_said_that_it_was_cut(served: Path, authsec: Authsec, tmp_path: Path) -> None:
    whole, cut = authsec("audit", "export-sealed").stdout.splitlines(keepends=True), tmp_path / "cut.jsonl"
    assert "checkpoint" in whole[-1]
    cut.write_text("".join(whole[:2]) + whole[2][:100])
    told = elsewhere("audit", "verify-export", str(cut), "--key", str(served / "keys"))
    assert told.exit_code == 3
    assert told.stdout.splitlines()[:2] == [
        "2 events sealed, but there is no checkpoint: the audit log or its export was cut.",
        "Line 3 is not complete: the export was cut there.",
    ]


def test_a_server_on_a_broken_log_says_so_and_goes_on_without_sealing(served: Path) -> None:
    spoil(served, "UPDATE sealed_events SET hash = x'00' WHERE position = 1")
    with (
        capture_logs() as said,
        open_authority(load_settings(data=served), local_operator=True) as authority,
        TestClient(authority.app, base_url="http://127.0.0.1") as client,
    ):
        wait_until(lambda: bool(said))
        made = client.post("/authsec/api/v1/roles", json={"name": "Support", "actions": ["customers:read"]})
        assert made.status_code == 201
        before = (served / "checkpoint").read_text().strip()
        assert client.get(HEAD).json()["checkpoint"] == before
    assert [entry["why"] for entry in said if "not sealed any further" in entry["event"]] == [
        "The log's last checkpoint does not match the seals before it: its root hash differs."
    ]


@pytest.mark.parametrize("damaged", ["ix_events_jti", "events"])
def test_a_damaged_file_is_found_as_the_database_names_the_damage(served: Path, authsec: Authsec, damaged: str) -> None:
    database = served / "authsec.sqlite3"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (damaged,)).fetchone()
    with database.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    told = authsec("audit", "verify", "--key", str(served / "keys"))
    assert (told.exit_code, "The database file is damaged: " in told.stdout) == (3, True), told.output


@pytest.mark.soak
@pytest.mark.opens_anew
def test_a_recorded_restore_is_reported_with_the_backup_that_it_began_from(
    served: Path, authsec: Authsec, tmp_path: Path
) -> None:
    shutil.copy(served / "authsec.sqlite3", tmp_path / "backup")
    (tmp_path / "lost").write_text(sealed_checkpoint(served, authsec))
    shutil.copy(tmp_path / "backup", served / "authsec.sqlite3")
    check = ("--key", str(served / "keys"), "--checkpoint", str(served / "checkpoint"))
    assert "Restored" not in authsec("audit", "verify", *check).stdout
    assert authsec("admin", "restored", "--yes", "--checkpoint", str(tmp_path / "lost")).exit_code == 0
    with open_authority(load_settings(data=served), local_operator=True) as authority:
        authority.dropper.sealer.seal()
    checked = authsec("audit", "verify", *check)
    assert checked.exit_code == 0, checked.output
    (told,) = (line for line in checked.stdout.splitlines() if line.startswith("Restored at 20"))
    assert "UTC: authority version raised from 1 to 1,000,002. Events after the backup are lost: " in told
    assert "the backup's last checkpoint covers 4 events, signed at 20" in told
    (restore,) = json.loads(authsec("audit", "verify", *check, "--json").stdout)["restores"]
    assert (restore["version_before"], restore["authority_version"], restore["sealed"]) == (1, 1_000_002, 4)
    assert restore["checkpoint_at"] < restore["at"] or restore["checkpoint_at"] == restore["at"]
    (tmp_path / "export").write_text(authsec("audit", "export-sealed").stdout)
    assert told in elsewhere("audit", "verify-export", str(tmp_path / "export"), *check).stdout


def test_an_export_of_a_lost_database_needs_the_checkpoints_file_from_before_the_restore(
    served: Path, authsec: Authsec, tmp_path: Path
) -> None:
    """The server adds lines to the file after the restore: docs/backup.md says to copy the file first."""
    shutil.copy(served / "authsec.sqlite3", tmp_path / "backup")
    file, copy, lost = tmp_path / "checkpoints", tmp_path / "copy", tmp_path / "lost.jsonl"
    copy.write_text(sealed_checkpoint(served, authsec))
    lost.write_text(authsec("audit", "export-sealed").stdout)
    shutil.copy(tmp_path / "backup", served / "authsec.sqlite3")
    assert authsec("admin", "restored", "--yes", "--checkpoint", str(copy)).exit_code == 0
    authsec("roles", "create", "One", "--action", "a:b")
    file.write_text(copy.read_text() + sealed_checkpoint(served, authsec))
    check = ("audit", "verify-export", str(lost), "--key", str(served / "keys"), "--checkpoint")
    assert elsewhere(*check, str(copy)).exit_code == 0
    refused = elsewhere(*check, str(file))
    assert refused.exit_code == 3
    assert "a copy of the checkpoints file from before the restore: docs/backup.md" in refused.stdout


def test_the_last_checkpoint_of_a_backup_has_one_time_before_and_after_the_record(
    served: Path, authsec: Authsec
) -> None:
    """A server that records nothing signs a checkpoint of the same size each minute."""
    with open_authority(load_settings(data=served), local_operator=True) as authority:
        key = authority.sealing_keyring.signing_key()
        first = read_checkpoint((served / "checkpoint").read_text().strip(), authority.sealing_keyring.by_kid())
        tree = authority.database.read(lambda tx: Tree().with_leaves(store.hashes(tx.connection, after=-1, limit=99)))
        hour = timedelta(hours=-1)  # the earlier one: no checkpoint may be in the future
        earlier = sign_checkpoint(tree, through=first.through, at=first.at + hour, issuer=authority.issuer, key=key)
        authority.database.append(lambda tx: store.add_checkpoint(tx.connection, earlier))
    shown = f"signed at {first.at:%Y-%m-%d %H:%M:%S} UTC"
    check = ("audit", "verify", "--key", str(served / "keys"))
    assert f"The last checkpoint was {shown}." in authsec(*check).stdout
    assert authsec("admin", "restored", "--yes").exit_code == 0
    assert f"the backup's last checkpoint covers 4 events, {shown}." in authsec(*check).stdout


@pytest.mark.parametrize(
    ("words", "option", "source"),
    [
        (("audit", "verify"), "--key", "authsec audit keys > "),
        (("audit", "drop", "--before", "2026-08"), "--export", "authsec audit export-sealed > "),
        (("apply",), "--file", "authsec export > "),
        (("backup",), "FILE", "/backups/"),
    ],
)
def test_a_missing_file_is_named_with_the_place_where_it_is(
    authsec: Authsec, words: tuple[str, ...], option: str, source: str
) -> None:
    refused = authsec(*words)
    missing = refused.stderr.splitlines()[-1]
    assert (refused.exit_code, option in missing, source in missing) == (2, True, True), refused.output


def test_a_missing_export_is_named_with_the_command_that_makes_it() -> None:
    refused = elsewhere("audit", "verify-export", "--key", "keys")
    assert (refused.exit_code, "authsec audit export-sealed > " in refused.stderr) == (2, True), refused.output


def test_the_checkpoints_that_were_compared_are_counted_where_something_is_found_as_well(
    served: Path, authsec: Authsec
) -> None:
    spoil(served, "UPDATE events SET principal_name = 'Eve' WHERE id = 2")
    check = ("audit", "verify", "--key", str(served / "keys"))
    found = authsec(*check, "--checkpoint", str(served / "checkpoint"))
    assert (found.exit_code, "The log was compared with the checkpoint that you kept." in found.stdout) == (3, True), (
        found.output
    )
    assert "compared" not in authsec(*check).stdout
