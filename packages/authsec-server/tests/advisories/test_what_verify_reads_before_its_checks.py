"""Raw SQL changes `signing_keys` or `authority`, which `verify` reads to find the key of the MACs of events.

On a machine with the master key, `verify` read both tables before it compared the schema. Values of another type, a
missing row and functions that never end kept it from the changed event.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from authsec_server.audit.sealing.verifying import verify
from authsec_server.cli import register
from click.testing import CliRunner, Result
from long_runs import some_of
from sqlalchemy import create_engine, text

CHANGED = "UPDATE events SET address = '192.0.2.99' WHERE kind = 'client.created'"
VALUES = {
    "text": "'x'",
    "negative": "-1",
    "real": "1.5",
    "large": "9000000000000000000",
    "text that is not UTF-8": "CAST(x'ff' AS TEXT)",
}
OCTETS = (
    "CREATE CAST (bytea AS text) WITHOUT FUNCTION",
    "UPDATE signing_keys s SET kid = {kid}",
    "DROP CAST (bytea AS text)",
)
ON_POSTGRESQL = {
    "a kid that begins a character": [
        each.format(kid="('\\xff'::bytea || substr(kid::bytea, 1, 20))::text") for each in OCTETS
    ],
    "a kid with an octet": [
        each.format(
            kid="set_byte('\\x00', 0, 200 + (SELECT count(*)::int FROM signing_keys o WHERE o.kid < s.kid))::text"
        )
        for each in OCTETS
    ],
    "a sealed key as JSON": ["ALTER TABLE signing_keys ALTER sealed_private TYPE jsonb USING '1'::jsonb"],
    "a sealed key as text": ["ALTER TABLE signing_keys ALTER sealed_private TYPE text USING 'x'"],
}
TRAP = (
    "CREATE SCHEMA evil",
    "CREATE FUNCTION evil.trap() RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN"
    " IF current_setting('application_name') <> 'planting' THEN RAISE EXCEPTION 'the trap ran'; END IF;"
    " RETURN true; END $$",
    "CREATE INDEX planned ON signing_keys (state) WHERE evil.trap()",
)


@pytest.fixture
def its(house_on_each: Callable[..., Any]) -> Any:
    its = house_on_each(local_operator=True)
    if its.authority.database.dialect == "postgresql":
        its.clock.at = datetime.now(UTC)
    its.delegated_name("Helper")
    while its.authority.dropper.sealer.seal():
        pass
    return its


def verified(its: Any, folder: Path, *statements: str) -> Result:
    """Run the statements on the file, and `authsec audit verify`."""
    (folder / "keys").write_text(its.door().get("/authsec/api/v1/events/keys").text)
    its.authority.database.close()
    with closing(sqlite3.connect(folder / "authsec.sqlite3")) as connection:
        for statement in (CHANGED, *statements):
            connection.execute(statement)
        connection.commit()
    group = click.Group()
    register(group)
    command = ["audit", "verify", "--key", str(folder / "keys"), "--data", str(folder)]
    return CliRunner().invoke(group, command)


@pytest.mark.parametrize("house_on_each", ["sqlite"], indirect=True)
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_signing_key_of_another_type_hides_nothing(its: Any, tmp_path: Path, value: str) -> None:
    told = verified(its, tmp_path, f"UPDATE signing_keys SET sealed_private = {value}")
    assert (told.exit_code, "was changed" in told.output) == (3, True), (told.output, told.exception)
    assert "opens no signing key of this database" in told.output


@pytest.mark.parametrize("house_on_each", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM authority",
        "UPDATE authority SET change_id = CAST(x'ff' AS TEXT)",
        "UPDATE signing_keys SET kid = CAST(x'ff' AS TEXT) WHERE kid = (SELECT min(kid) FROM signing_keys)",
    ],
)
def test_a_damaged_row_hides_nothing(its: Any, tmp_path: Path, statement: str) -> None:
    told = verified(its, tmp_path, statement)
    assert (told.exit_code, "was changed" in told.output) == (3, True), (told.output, told.exception)


@pytest.mark.parametrize("house_on_each", ["sqlite"], indirect=True)
def test_a_view_in_the_place_of_the_table_is_not_read(its: Any, tmp_path: Path) -> None:
    view = "CREATE VIEW signing_keys AS SELECT 'kid' AS kid, abs(-9223372036854775808) AS sealed_private"
    told = verified(its, tmp_path, "DROP TABLE signing_keys", view)
    assert told.exit_code == 3, told.output
    assert "The view signing_keys of signing_keys is unknown to AuthSec" in told.output
    assert "overflow" not in told.output


@pytest.mark.parametrize("house_on_each", ["sqlite"], indirect=True)
def test_a_master_key_that_others_can_read_is_named(its: Any, tmp_path: Path) -> None:
    (tmp_path / "master.key").chmod(0o644)
    told = verified(its, tmp_path)
    assert "master.key can be read or written by other users (mode 0644). So the MACs of the events" in told.output
    assert "opens no signing key" not in told.output


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root reads each folder")
@pytest.mark.parametrize("house_on_each", ["sqlite"], indirect=True)
def test_without_the_right_to_read_the_master_key_the_rest_is_verified(its: Any, tmp_path: Path) -> None:
    """An auditor with the server's settings and a copy of its file, or with PostgreSQL."""
    (tmp_path / "keys").write_text(its.door().get("/authsec/api/v1/events/keys").text)
    its.authority.database.close()
    closed, copied = tmp_path / "closed", tmp_path / "copied"
    for folder in (closed, copied):
        folder.mkdir(mode=0o700)
    shutil.move(tmp_path / "master.key", closed)
    for each in tmp_path.glob("authsec.sqlite3*"):
        shutil.copy(each, copied)
    closed.chmod(0)
    without_root = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    command = [*without_root, str(Path(sys.executable).with_name("authsec")), "audit", "verify"]
    command += ["--key", str(tmp_path / "keys"), "--database", f"sqlite:///{copied / 'authsec.sqlite3'}"]
    env = {**os.environ, "AUTHSEC_SERVER_MASTER_KEY_FILE": str(closed / "master.key")}
    try:
        told = subprocess.run(command, capture_output=True, text=True, env=env, timeout=100, check=False)
    finally:
        closed.chmod(0o700)
    assert told.returncode == 0, told.stdout + told.stderr


@pytest.mark.parametrize("house_on_each", ["postgresql"], indirect=True)
def test_no_table_is_read_where_the_planner_would_run_a_foreign_function(its: Any, postgres_url: str) -> None:
    """A function that catches each cancellation never ends."""
    engine = create_engine(postgres_url, connect_args={"application_name": "planting"})
    with engine.begin() as connection:
        for statement in TRAP:
            connection.execute(text(statement))
    engine.dispose()
    keys = its.authority.dropper.keys()
    report = its.authority.database.check(lambda tx: verify(tx, keys, now=its.clock.at))
    findings = "\n".join(report.findings)
    assert "The index planned of signing_keys is unknown to AuthSec" in findings
    assert "No table was read, because PostgreSQL could run code of others" in findings
    assert "the trap ran" not in findings


@pytest.mark.parametrize("way", some_of(ON_POSTGRESQL))
@pytest.mark.parametrize("house_on_each", ["postgresql"], indirect=True)
def test_a_signing_key_that_no_program_reads_hides_nothing(
    its: Any, tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    (tmp_path / "keys").write_text(its.door().get("/authsec/api/v1/events/keys").text)
    for statement in (CHANGED, *ON_POSTGRESQL[way]):
        its.authority.database.append(lambda tx, each=statement: tx.connection.exec_driver_sql(each) and None)
    monkeypatch.setenv("AUTHSEC_SERVER_MASTER_KEY_FILE", str(tmp_path / "master.key"))
    group = click.Group()
    register(group)
    where = ["--database", postgres_url.replace("+psycopg", "")]
    told = CliRunner().invoke(group, ["audit", "verify", "--key", str(tmp_path / "keys"), *where])
    assert (told.exit_code, "was changed" in told.output) == (3, True), (told.output, told.exception)
    assert "opens no signing key of this database" in told.output
