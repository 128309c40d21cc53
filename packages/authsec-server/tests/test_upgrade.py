"""`authsec db upgrade`, the upgrade at the start, and this program on the schema of a newer one."""

from __future__ import annotations

import json
import shutil
import threading
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from authsec.exit_status import Exit
from authsec_server.app import open_authority
from authsec_server.audit.sealing.verifying import verify
from authsec_server.cli import register
from authsec_server.db import Database, Tx, open_database, sqlite_upgrade
from authsec_server.db.catalog import is_extension
from authsec_server.db.migrate import newest_revision, oldest_release, pending, upgrade
from authsec_server.db.releases import may_run, order_of, this_release
from authsec_server.db.table_digests import product_of_rows, stored, stored_products, write_products
from authsec_server.failures import Failure, Fault, StartupRefused, Unavailable
from authsec_server.roles import service as roles
from authsec_server.settings import Settings
from click import Group
from click.testing import CliRunner, Result
from next_release import RELEASE, next_release
from sqlalchemy import create_engine, text

OLDER = "0108"
NEWER = f"{int(newest_revision()) + 1:04}"


def run(*statements: str) -> Callable[[Tx], None]:
    def work(tx: Tx) -> None:
        for each in statements:
            tx.connection.execute(text(each))

    return work


def newer(oldest: str = this_release()) -> Callable[[Tx], None]:
    """A newer program's upgrade: a column of digests, an index and a table."""
    later = json.dumps({"roles": {"note": ""}})
    return run(
        "ALTER TABLE roles ADD COLUMN note VARCHAR(20) DEFAULT '' NOT NULL",
        "CREATE INDEX ix_roles_note ON roles (note)",
        "CREATE TABLE next_things (id VARCHAR(36) NOT NULL PRIMARY KEY)",
        f"UPDATE alembic_version SET version_num = '{NEWER}'",
        f"UPDATE authority SET schema_release = '{RELEASE}', oldest_release = '{oldest}', later_columns = '{later}'",
    )


@pytest.fixture
def upgraded(estate: Any) -> Any:
    """An estate on the schema of a newer program, once per kind of database."""
    estate.role()
    estate.agent()
    estate.database.append(newer())
    return estate


@pytest.fixture
def older_data(tmp_path: Path) -> Path:
    """The data folder of an authority with an older schema."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    older_file(data / "authsec.sqlite3")
    return data


def older_file(file: Path) -> None:
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        upgrade(connection, OLDER)
    engine.dispose()
    file.chmod(0o600)


def revision(file: Path) -> str | None:
    with closing(open_database(f"sqlite:///{file}")) as database:
        return database.revision()


def authsec(*arguments: str) -> Result:
    group = Group()
    register(group)
    return CliRunner().invoke(group, arguments)


# Each migration


def test_each_migration_names_a_release_that_exists() -> None:
    migrations = pending(None)
    assert migrations[-1].revision == newest_revision()
    ours = order_of(this_release())
    assert ours is not None
    for each in migrations:
        named = order_of(each.oldest_release)
        assert named is not None, each.revision
        assert named <= ours, each.revision


@pytest.mark.parametrize(
    ("release", "may"), [("0.0.9", True), (this_release(), True), (RELEASE, False), ("", False), (7, False)]
)
def test_a_program_runs_on_a_schema_whose_oldest_release_is_not_newer(release: object, may: bool) -> None:
    assert may_run(release) is may


def test_a_new_database_stores_its_releases(database: Database) -> None:
    columns = "schema_release, oldest_release, later_columns"
    made_by, oldest, later = database.read(
        lambda tx: tx.connection.execute(text(f"SELECT {columns} FROM authority")).one()
    )
    assert (made_by, oldest) == (this_release(), oldest_release())
    assert json.loads(later)["apis"] == {"signing_algorithm": "RS256"}


# The upgrade on PostgreSQL


@pytest.fixture
def older_postgresql(empty_database_url: str) -> str:
    engine = create_engine(empty_database_url)
    with engine.begin() as connection:
        upgrade(connection, OLDER)
    engine.dispose()
    return empty_database_url


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_on_postgresql_the_upgrade_is_explicit(older_postgresql: str, tmp_path: Path) -> None:
    key = tmp_path / "master.key"
    its = Settings(database=older_postgresql, data=tmp_path, master_key_file=key)
    for local in (False, True):
        with (
            pytest.raises(StartupRefused, match=f"has schema {OLDER}") as refused,
            open_authority(its, local_operator=local),
        ):
            pass
        assert "authsec db upgrade" in refused.value.remedy
    where = ("--database", older_postgresql)
    dry = authsec("db", "upgrade", "--dry-run", *where)
    assert f"would be upgraded from schema {OLDER} to schema {newest_revision()}" in dry.output
    assert json.loads(authsec("db", "upgrade", "--json", *where).stdout)["from"] == OLDER
    assert "Nothing was changed" in authsec("db", "upgrade", *where).output
    with closing(open_database(older_postgresql)) as database:
        database.prepare(serves=True)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_of_two_upgrades_at_once_one_runs_and_the_other_finds_it_done(older_postgresql: str) -> None:
    failures: list[Exception] = []

    def upgrade_it() -> None:
        try:
            with closing(open_database(older_postgresql)) as database:
                database.migrate()
        except Exception as error:  # noqa: BLE001 - the test reports it
            failures.append(error)

    threads = [threading.Thread(target=upgrade_it) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert not failures
    with closing(open_database(older_postgresql)) as database:
        assert database.revision() == newest_revision()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_upgrade_that_postgresql_refuses_changes_nothing(database_url: str) -> None:
    """The role does not own the tables, or somebody changed the schema or its version."""
    with closing(open_database(database_url)) as database:
        database.migrate()
        database.append(run(f"UPDATE alembic_version SET version_num = '{OLDER}'"))
    refused = authsec("db", "upgrade", "--database", database_url)
    assert refused.exit_code == 1
    assert "PostgreSQL refused the upgrade of the schema, so nothing was changed: column" in refused.output


@pytest.mark.soak  # the command waits for seconds
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_upgrade_gives_up_while_a_reader_has_the_tables(
    older_postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authsec_server.cli.db._LOCK_SECONDS", 1)
    reader = create_engine(older_postgresql)
    with reader.begin() as connection:
        connection.execute(text("LOCK TABLE authority IN ACCESS SHARE MODE"))
        refused = authsec("db", "upgrade", "--database", older_postgresql)
    reader.dispose()
    assert refused.exit_code == Exit.UNREACHABLE
    assert "has kept a lock too long" in refused.output
    assert authsec("db", "upgrade", "--database", older_postgresql).exit_code == 0


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_the_first_start_makes_an_empty_database(empty_database_url: str) -> None:
    with closing(open_database(empty_database_url)) as database:
        database.prepare(serves=True)
        assert database.revision() == newest_revision()


# The upgrade on SQLite


def test_on_sqlite_the_start_upgrades_after_a_backup(older_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_authority(Settings(data=older_data)):
        pass
    (backup,) = older_data.glob(f"*.schema-{OLDER}.*")
    assert revision(backup) == OLDER
    assert revision(older_data / "authsec.sqlite3") == newest_revision()
    assert backup.stat().st_mode & 0o777 == 0o600
    assert str(backup) in capsys.readouterr().out, "the log says so"
    with open_authority(Settings(data=older_data)):
        pass
    assert [*older_data.glob("*.schema-*Z")] == [backup]


def test_a_command_does_not_upgrade_a_sqlite_file_by_the_way(older_data: Path) -> None:
    refused = authsec("roles", "list", "--data", str(older_data))
    assert refused.exit_code == 1
    assert "authsec db upgrade" in refused.output
    restored = authsec("admin", "restored", "--yes", "--data", str(older_data))
    assert restored.exit_code == 1
    assert "authsec db upgrade" in restored.output
    with closing(open_database(f"sqlite:///{older_data}/authsec.sqlite3")) as database:
        report = database.check(lambda tx: verify(tx, {}))
    assert not report.findings
    assert "upgrade the schema first: authsec db upgrade" in report.skipped[0]
    done = json.loads(authsec("db", "upgrade", "--json", "--data", str(older_data)).stdout)
    assert Path(done["backup"]).exists()
    assert done["migrations"][-1]["revision"] == newest_revision()


def test_without_room_for_the_backup_nothing_changes(older_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = shutil.disk_usage(older_data)._replace(free=1000)
    monkeypatch.setattr(sqlite_upgrade.shutil, "disk_usage", lambda _: full)
    with pytest.raises(StartupRefused, match="there is no room"), open_authority(Settings(data=older_data)):
        pass
    assert revision(older_data / "authsec.sqlite3") == OLDER


def test_a_backup_overwrites_no_file(older_data: Path) -> None:
    file, at = older_data / "authsec.sqlite3", datetime(2026, 12, 1, tzinfo=UTC)
    there = sqlite_upgrade.backup_of(file, OLDER, at)
    assert there.name == "authsec.sqlite3.schema-0108.2026-12-01T00-00-00Z"
    there.write_text("other")
    with pytest.raises(StartupRefused, match="already exists"):
        sqlite_upgrade.back_up(file, OLDER, at)
    assert there.read_text() == "other"


# This program on the schema of a newer one


def test_this_program_runs_on_a_newer_schema(upgraded: Any) -> None:
    upgraded.database.prepare(serves=True)
    upgraded.role("Other", "orders:read")
    upgraded.delegate()
    assert upgraded.database.revision() == NEWER


def test_a_change_of_this_program_keeps_the_digest_of_the_newer_one(upgraded: Any) -> None:
    """The digest has the column that this program does not know, except where a row has the default."""
    upgraded.role("Other", "orders:read")

    def product(tx: Tx) -> int:
        names = ("id", "slug", "name", "description", "created_at", "revision", "changed_at", "changed_by", "note")
        rows = [dict(row._mapping) for row in tx.connection.execute(stored(tx.connection.dialect.name, "roles", names))]
        written = [{name: value for name, value in each.items() if (name, value) != ("note", "")} for each in rows]
        return product_of_rows("roles", written)

    def write_as_newer(tx: Tx) -> None:
        run("UPDATE roles SET note = 'next' WHERE slug = 'support'")(tx)
        write_products(tx.connection, {"roles": product(tx)})

    upgraded.database.append(write_as_newer)
    for slug in ("support", "other"):
        upgraded.do(partial(roles.edit, id_or_slug=slug, revision=1, changes={"name": f"New {slug}"}))
    expected, kept = upgraded.see(lambda tx, _: (product(tx), dict(stored_products(tx.connection))["roles"]))
    assert kept == expected


def test_verify_of_an_older_program_finds_nothing_and_checks_nothing(upgraded: Any) -> None:
    report = upgraded.database.check(lambda tx: verify(tx, {}))
    assert not report.findings
    assert not report.is_checked
    assert f"has schema {NEWER}" in report.skipped[0]
    assert f"Verify with AuthSec {RELEASE}." in report.skipped[0]
    with pytest.raises(Failure, match="cannot be verified"):
        report.require_checked()


def test_a_schema_that_is_too_new_is_refused_at_the_start_and_while_a_server_runs(estate: Any) -> None:
    estate.role()
    estate.database.append(newer(RELEASE))
    with pytest.raises(Unavailable, match=f"needs AuthSec {RELEASE} or newer") as refused:
        estate.agent()
    assert refused.value.fault is Fault.SCHEMA_NEWER
    for act in (estate.database.read, estate.database.record, estate.database.append):
        with pytest.raises(Unavailable):
            act(lambda _: None)
    with pytest.raises(StartupRefused, match=f"schema {NEWER}, made by a newer AuthSec"):
        estate.database.prepare(serves=True)


@pytest.mark.soak  # the processes take seconds
def test_the_next_release_verifies_what_both_releases_changed(tmp_path: Path, begun_today: Path) -> None:
    """The next release writes a column of digests that this one does not know, and then this one edits the row."""
    data = tmp_path / "data"
    shutil.copytree(begun_today, data)
    where, later = ("--data", str(data)), next_release(tmp_path / "next")
    create, edit = ("roles", "create", "Reader", "--action", "a:b"), ("roles", "edit", "reader", "--name")
    assert authsec(*create, *where).exit_code == 0
    done = later.run_all(("db", "upgrade", *where), (*edit, "Of the next", *where))
    assert done.returncode == 0, done.stdout + done.stderr
    refused = authsec("audit", "verify", "--key", keys_of(data), *where)
    assert refused.exit_code == Exit.NOT_CHECKED, refused.output
    assert f"Verify with AuthSec {RELEASE}." in refused.output
    assert authsec(*edit, "Of this", *where).exit_code == 0
    with open_authority(Settings(data=data)) as authority:
        while authority.dropper.sealer.seal():
            pass
    verified = later.run_all(("audit", "verify", "--key", keys_of(data), *where))
    assert verified.returncode == 0, verified.stdout + verified.stderr


def keys_of(data: Path) -> str:
    file = data / "keys.json"
    file.write_text(authsec("audit", "keys", "--data", str(data)).stdout)
    return str(file)


@pytest.mark.soak  # a process for each kind of database
def test_an_interrupted_upgrade_changes_nothing_and_runs_again(database_url: str, tmp_path: Path) -> None:
    with closing(open_database(database_url)) as database:
        database.migrate()
    later, key = next_release(tmp_path / "next"), tmp_path / "master.key"
    key.write_bytes(b64encode(bytes(32)))
    key.chmod(0o600)
    command = ("db", "upgrade", "--database", database_url)
    its = {"AUTHSEC_SERVER_MASTER_KEY_FILE": str(key)}
    assert later.run(*command, **its, END_DURING_UPGRADE="yes").returncode == 9
    with closing(open_database(database_url)) as database:
        assert database.revision() == newest_revision()
        database.change(lambda _: None)
    done = later.run(*command, **its)
    assert done.returncode == 0, done.stdout + done.stderr
    with closing(open_database(database_url)) as database:
        assert database.revision() == NEWER
        database.change(lambda _: None)


TABLES = ("CREATE TABLE roles(id TEXT|,CONSTRAINT pk_roles PRIMARY KEY(id))", "CREATE TABLE links(a INTEGER|)")


@pytest.mark.parametrize(
    ("added", "is_plain"),
    [
        ("", True),
        (",note TEXT", True),
        (",note VARCHAR(20)DEFAULT '' NOT NULL,other INTEGER DEFAULT 0", True),
        (",note UNIQUE", False),
        (",note TEXT UNIQUE", False),
        (",note TEXT COLLATE NOCASE", False),
        (",note AS(id)", False),
        (",note TEXT CHECK(id = 1)", False),
        (",note TEXT DEFAULT(random())", False),
        (",note TEXT REFERENCES roles(id)", False),
        (",note TEXT NOT NULL ON CONFLICT REPLACE", False),
    ],
)
def test_only_plain_columns_may_be_added_to_a_table_of_sqlite(added: str, is_plain: bool) -> None:
    for each in TABLES:
        assert is_extension(each.replace("|", added), each.replace("|", "")) is is_plain
        assert not is_extension(f"{each.replace('|', '')}{added or ' STRICT'}", each.replace("|", ""))
