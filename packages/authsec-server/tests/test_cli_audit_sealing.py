"""`authsec audit keys`, `head` and `verify`, as an outsider uses them on the data of a server that has run."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from authsec.jose import PrivateKey
from authsec_server.app import open_authority
from authsec_server.cli import register
from authsec_server.settings import load_settings
from click.testing import CliRunner, Result
from starlette.testclient import TestClient
from structlog.testing import capture_logs

Authsec = Callable[..., Result]
HEAD = "/authsec/api/v1/events/head"


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def served(authsec: Authsec, tmp_path: Path) -> Path:
    """The folder of a server that has sealed its journal and was stopped, with `keys` and `head` to keep."""
    assert authsec("audit", "head").exit_code == 1  # nobody has sealed anything
    with (
        open_authority(load_settings(data=tmp_path), local_operator=True) as authority,
        TestClient(authority.app, base_url="http://127.0.0.1") as client,
    ):
        wait_until(lambda: client.get(HEAD).status_code == 200)
        everybody = client.get("/authsec/v1/audit/keys").json()
    (tmp_path / "keys").write_text(authsec("audit", "keys").stdout)
    (tmp_path / "head").write_text(authsec("audit", "head").stdout)
    assert json.loads((tmp_path / "keys").read_text()) == everybody
    return tmp_path


def spoil(data: Path, statement: str) -> None:
    connection = sqlite3.connect(data / "authsec.sqlite3")
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_all_is_as_it_was_sealed_and_what_a_command_did_waits(served: Path, authsec: Authsec) -> None:
    key, head = ("--key", str(served / "keys")), ("--head", str(served / "head"))
    first = authsec("audit", "verify", *key, *head)
    assert first.exit_code == 0, first.output
    assert "4 events sealed, all as sealed." in first.stdout
    assert "It leads to the head that you kept." in first.stdout
    authsec("roles", "create", "Support", "--action", "customers:read")
    told = json.loads(authsec("audit", "verify", *key, "--json").stdout)
    assert (told["as_sealed"], told["sealed"], told["not_sealed_yet"], told["findings"]) == (True, 4, 1, [])


def test_what_was_changed_is_named_with_an_exit_status_of_its_own(served: Path, authsec: Authsec) -> None:
    spoil(served, "UPDATE events SET principal_name = 'Eve' WHERE id = 2")
    spoil(served, "DELETE FROM events WHERE id = 3")
    found = authsec("audit", "verify", "--key", str(served / "keys"))
    assert found.exit_code == 3
    assert "Event 2 was changed" in found.stdout
    assert "Event 3 was dropped" in found.stdout
    told = authsec("audit", "verify", "--key", str(served / "keys"), "--json")
    assert told.exit_code == 3
    assert len(json.loads(told.stdout)["findings"]) == 2


def test_a_wrong_file_is_no_finding(served: Path, authsec: Authsec, tmp_path: Path) -> None:
    """Whoever names the wrong file must not believe that the journal was changed."""
    wrong = tmp_path / "wrong"
    tokens = PrivateKey.generate_rsa(2048).public.to_jwk()
    for content in ("", "{}", "[]", '{"keys": [7]}', '{"keys": []}', json.dumps({"keys": [tokens]}), "\0", "head"):
        wrong.write_text(content)
        answer = authsec("audit", "verify", "--key", str(wrong))
        assert answer.exit_code == 1, content
        assert "authsec audit keys > FILE" in answer.stderr
    for content in ("", (served / "keys").read_text(), "é"):
        wrong.write_text(content)
        answer = authsec("audit", "verify", "--key", str(served / "keys"), "--head", str(wrong))
        assert answer.exit_code == 1, content
        assert "authsec audit head > FILE" in answer.stderr


def test_an_export_is_checked_where_there_is_no_data(served: Path, authsec: Authsec, tmp_path: Path) -> None:
    exported = authsec("audit", "export-sealed")
    assert exported.exit_code == 0, exported.output
    file, key, head = tmp_path / "export.jsonl", str(served / "keys"), str(served / "head")
    file.write_text(exported.stdout)
    whole = elsewhere("audit", "verify-export", str(file), "--key", key, "--head", head)
    assert whole.exit_code == 0, whole.output
    assert "4 events sealed, all as sealed." in whole.stdout
    file.write_text(exported.stdout.replace('"request_id":""', '"request_id":"req_other"', 1))
    changed = elsewhere("audit", "verify-export", str(file), "--key", key)
    assert changed.exit_code == 3
    assert "was changed" in changed.stdout
    file.write_text("{}\n")
    something_else = elsewhere("audit", "verify-export", str(file), "--key", key, "--json")
    assert something_else.exit_code == 1
    assert "authsec audit export-sealed >" in something_else.stderr


def elsewhere(*arguments: str) -> Result:
    """The command on a machine that has no data."""
    group = click.Group()
    register(group)
    return CliRunner().invoke(group, arguments)


def test_data_of_an_older_version_is_not_taken_for_data_that_was_changed(served: Path, authsec: Authsec) -> None:
    for table in ("seal_heads", "sealed_events"):
        spoil(served, f"DROP TABLE {table}")
    answer = authsec("audit", "verify", "--key", str(served / "keys"))
    assert answer.exit_code == 1
    assert "has no seals" in answer.stderr


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
        before = (served / "head").read_text().strip()
        assert client.get(HEAD).json()["head"] == before
    assert [entry["why"] for entry in said if "not sealed any further" in entry["event"]] == [
        "The log does not lead to its last head."
    ]
