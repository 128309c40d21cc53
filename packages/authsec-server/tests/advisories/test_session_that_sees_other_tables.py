"""A superuser leads the server's sessions to another table `events`, or makes them fail, and takes it back.

The server has the role `server`. `verify` has another role, and comes when nothing is left to find.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import psycopg
import pytest
from audit_answers import LATER, SealedLog, answers, fill
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database, Tx, open_database, postgresql_connection
from authsec_server.failures import Fault, Unavailable
from long_runs import some_of
from sqlalchemy import make_url
from sqlalchemy.exc import ProgrammingError

EVIL = (
    "CREATE SCHEMA evil",
    "CREATE VIEW evil.events AS SELECT * FROM public.events WHERE id <> 4",
    "GRANT USAGE ON SCHEMA evil TO PUBLIC",
    "GRANT ALL ON ALL TABLES IN SCHEMA evil TO PUBLIC",
)


def at_login(done: str) -> tuple[str, ...]:
    return (
        "CREATE FUNCTION public.at_login() RETURNS event_trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN IF session_user = '{{role}}' THEN {done} END IF; END $$",
        "CREATE EVENT TRIGGER at_login ON login EXECUTE FUNCTION public.at_login()",
    )


def raw(setting: str) -> str:
    return (
        f"INSERT INTO pg_db_role_setting SELECT d.oid, r.oid, ARRAY['{setting}'] FROM pg_database d, pg_roles r"
        " WHERE d.datname = current_database() AND r.rolname = '{role}'"
    )


WAYS: dict[str, tuple[str, ...]] = {
    "a search path of the role": ("ALTER ROLE {role} SET search_path = evil, public",),
    "a search path of the database": ("ALTER DATABASE {database} SET search_path = evil, public",),
    "a schema of the role's name": ('ALTER SCHEMA evil RENAME TO "{role}"',),
    "a comma in the schema's name": (
        'ALTER SCHEMA evil RENAME TO "ev,il"',
        'ALTER ROLE {role} SET search_path = "ev,il", public',
    ),
    "a setting in capitals": (raw("SEARCH_PATH=evil, public"),),
    "a setting with a hyphen": (raw("search-path=evil, public"),),
    "a schema in capitals": (raw("search_path=EVIL, public"),),
    "a superuser that does not own the tables": (
        "ALTER ROLE {role} SUPERUSER",
        "ALTER ROLE {role} SET search_path = evil, public",
    ),
    "a role of the session": (
        "GRANT {boss} TO {role} WITH INHERIT FALSE",
        "ALTER ROLE {role} SET role = {boss}",
        "ALTER ROLE {role} SET search_path = evil, public",
    ),
    "a trigger at login that sets a search path": at_login("PERFORM set_config('search_path', 'evil, public', false);"),
    "a trigger at login that makes a temporary view": at_login(
        "CREATE TEMP VIEW events AS SELECT * FROM public.events WHERE id <> 4;"
    ),
    "another style of dates": ("ALTER DATABASE {database} SET datestyle = 'SQL, DMY'",),
    "another encoding": ("ALTER ROLE {role} SET client_encoding = 'SQL_ASCII'",),
}
TAKE_BACK = (
    "ALTER ROLE {role} RESET ALL",
    "DELETE FROM pg_db_role_setting WHERE setrole = (SELECT oid FROM pg_roles WHERE rolname = '{role}')",
    "ALTER DATABASE {database} RESET ALL",
    "ALTER ROLE {role} NOSUPERUSER",
    "DROP EVENT TRIGGER IF EXISTS at_login",
    "DROP FUNCTION IF EXISTS public.at_login()",
)
CLEAN = (
    *TAKE_BACK,
    'DROP SCHEMA IF EXISTS evil, "{role}", "ev,il" CASCADE',
    "DROP POLICY IF EXISTS hiding ON events",
    "ALTER TABLE events DISABLE ROW LEVEL SECURITY",
)


@contextmanager
def superuser(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        yield connection


class Place:
    """A sealed log in PostgreSQL, and the role of its server."""

    def __init__(self, url: str, log: SealedLog) -> None:
        self.url, self.log = url, log
        self.role, self.boss = (f"{name}_{secrets.token_hex(4)}" for name in ("server", "boss"))
        self.database = make_url(url).database

    def run(self, *statements: str) -> None:
        with superuser(self.url) as connection:
            for statement in statements:
                connection.execute(statement.format(role=self.role, boss=self.boss, database=self.database).encode())

    def opened(self) -> Database:
        """As the server opens it."""
        return open_database(make_url(self.url).set(username=self.role).render_as_string(hide_password=False))

    def said(self, database: Database, readers: Collection[str] = ()) -> dict[str, Any]:
        return database.read(lambda tx: answers(tx, self.log.covered, readers))


@pytest.fixture
def place(postgres_url: str) -> Iterator[Place]:
    database = open_database(postgres_url)
    made = Place(postgres_url, fill(database))
    database.close()
    made.run(
        "CREATE ROLE {role} LOGIN",
        "CREATE ROLE {boss}",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}, {boss}",
    )
    yield made
    made.run(*CLEAN, "DROP OWNED BY {role}, {boss}", "DROP ROLE {role}, {boss}")


@pytest.mark.parametrize("readers", [("newest of everything", "one by one"), pytest.param((), marks=pytest.mark.soak)])
def test_nothing_that_is_set_for_a_session_and_taken_back_changes_an_answer(
    place: Place, readers: tuple[str, ...]
) -> None:
    """In short runs, two readers are asked after the first way; in long ones all after each."""
    server = place.opened()
    genuine = place.said(server, readers)
    server.close()
    misled = {}
    for way, statements in [*WAYS.items()][:: 13 if readers else 1]:
        place.run(*EVIL, *statements)
        server = place.opened()
        try:
            with suppress(Unavailable) if "trigger" in way else nullcontext():  # no server opens a session beside one
                if place.said(server, readers) != genuine:
                    misled[way] = "other answers in the meantime"
            place.run(*TAKE_BACK)
            if place.said(server, readers) != genuine:
                misled[way] = "other answers"
        except Exception as error:  # noqa: BLE001 - a reader that fails for good is misled as well
            misled[way] = repr(error)
        finally:
            server.close()
            place.run(*CLEAN)
    assert misled == {}
    auditor = open_database(place.url)
    try:
        report = auditor.read(lambda tx: verify(tx, place.log.keys, [place.log.checkpoint], now=LATER))
    finally:
        auditor.close()
    assert report.findings == ()


def test_no_setting_of_the_database_ends_a_check_or_shows_other_names(place: Place) -> None:
    others = {
        "quote_all_identifiers": ("on", "off"),
        "constraint_exclusion": ("on", "off"),
        "enable_partition_pruning": ("off", "on"),
        "idle_session_timeout": ("1h", "0"),
        "transaction_timeout": ("1h", "0"),
        "temp_file_limit": ("1GB", "-1"),
    }

    def shown(tx: Tx) -> dict[str, Any]:
        return {name: tx.connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in others}

    for name, (other, _) in others.items():
        place.run(f"ALTER DATABASE {{database}} SET {name} = '{other}'")
    auditor = open_database(place.url)
    try:
        found = auditor.read(shown)
    finally:
        auditor.close()
        place.run("ALTER DATABASE {database} RESET ALL")
    assert found == {name: pinned for name, (_, pinned) in others.items()}


def test_row_security_makes_a_reader_fail_and_hides_nothing(place: Place) -> None:
    place.run("CREATE POLICY hiding ON events USING (id <> 4)", "ALTER TABLE events ENABLE ROW LEVEL SECURITY")
    server = place.opened()
    try:
        with pytest.raises(ProgrammingError, match="row-level security"):
            server.read(lambda tx: _numbers(tx.connection))
        report = server.read(lambda tx: verify(tx, place.log.keys, [place.log.checkpoint], now=LATER))
    finally:
        server.close()
    assert "The policy hiding of events is unknown to AuthSec" in "\n".join(report.findings)


REFUSED = {
    "no right to the schema": (
        ("REVOKE USAGE ON SCHEMA public FROM {role}, PUBLIC", "ALTER ROLE {role} SET search_path = public, evil"),
        'cannot use the schema "public", or the schema does not exist',
    ),
    "triggers that are off": (
        ("ALTER ROLE {role} SET session_replication_role = replica",),
        "The setting session_replication_role of the database session is replica, not origin.",
    ),
    "a second schema with the tables": (
        (
            "DROP VIEW evil.events",
            "CREATE TABLE evil.events AS SELECT * FROM public.events WHERE id <> 4",
            "CREATE TABLE evil.authority AS TABLE authority",
            "CREATE TABLE evil.alembic_version AS TABLE alembic_version",
        ),
        "Several schemas of the database have AuthSec's tables: evil, public.",
    ),
}


@pytest.mark.parametrize("way", REFUSED)
def test_a_session_that_would_see_other_tables_is_refused_with_its_reason(way: str, place: Place) -> None:
    statements, reason = REFUSED[way]
    place.run(*EVIL, *statements)
    server = place.opened()
    try:
        with pytest.raises(Unavailable) as refusal:
            server.read(lambda tx: tx.version)
    finally:
        server.close()
        place.run("GRANT USAGE ON SCHEMA public TO PUBLIC")
    assert reason in refusal.value.message
    assert refusal.value.fault is Fault.OTHER_SESSION


AS_VIEWS = """
DO $$ DECLARE name text; BEGIN
FOR name IN SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
    AND NOT relispartition AND relname NOT IN ('alembic_version', 'events') LOOP
    EXECUTE format('CREATE {kind} evil.%I AS SELECT * FROM public.%I', name, name);
END LOOP;
EXECUTE 'CREATE {kind} evil.events AS SELECT * FROM public.events WHERE id <> 4'; END $$
"""
LED_AWAY = (
    "ALTER TABLE public.alembic_version RENAME TO away",
    "CREATE {kind} evil.alembic_version AS SELECT * FROM public.away",
)
LED_BACK = ("DROP {kind} evil.alembic_version", "ALTER TABLE public.away RENAME TO alembic_version")
MAY_READ = ("GRANT USAGE ON SCHEMA evil TO PUBLIC", "GRANT ALL ON ALL TABLES IN SCHEMA evil TO PUBLIC")


def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions compare where they are again."""
    passed = postgresql_connection.monotonic() + postgresql_connection.HOME_SECONDS
    monkeypatch.setattr(postgresql_connection, "monotonic", lambda: passed)


def test_a_search_path_that_code_of_others_sets_ends_with_its_transaction(place: Place) -> None:
    server = place.opened()
    place.run(*EVIL)
    try:
        genuine = server.read(lambda tx: _numbers(tx.connection))
        server.append(
            lambda tx: tx.connection.exec_driver_sql("SELECT set_config('search_path', 'evil, public', false)")
        )
        assert server.read(lambda tx: _numbers(tx.connection)) == genuine
    finally:
        server.close()
        place.run("DROP SCHEMA evil CASCADE")


def test_a_session_with_temporary_tables_is_closed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def has_temporary_tables(tx: Tx) -> bool:
        return bool(tx.connection.exec_driver_sql("SELECT pg_my_temp_schema() <> 0").scalar())

    server = place.opened()
    try:
        server.append(lambda tx: tx.connection.exec_driver_sql("CREATE TEMP VIEW events AS TABLE public.events"))
        assert server.read(has_temporary_tables)
        later(monkeypatch)
        assert not server.read(has_temporary_tables)
    finally:
        server.close()


@pytest.mark.parametrize("kind", some_of(["VIEW", "TABLE"], each=2))
def test_a_schema_that_is_the_only_one_for_a_moment_keeps_no_session(
    place: Place, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Sessions that were opened in that moment stay where they are; those of `verify` come later."""
    place.run("CREATE SCHEMA evil", *(each.replace("{kind}", kind) for each in (AS_VIEWS, *LED_AWAY)), *MAY_READ)
    server = place.opened()
    try:
        during = server.read(lambda tx: _numbers(tx.connection))
        assert (4 in during) is (kind == "VIEW")  # a schema of views is none of AuthSec's
        place.run(*(each.replace("{kind}", kind) for each in LED_BACK))
        later(monkeypatch)
        assert 4 in server.read(lambda tx: _numbers(tx.connection))
    finally:
        server.close()
        place.run("DROP SCHEMA evil CASCADE")


def test_a_database_that_has_the_name_for_a_moment_keeps_no_session(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swap(maintenance: psycopg.Connection[Any]) -> None:
        with maintenance.transaction():
            for one, other in ((place.database, "between"), (copy, place.database), ("between", copy)):
                maintenance.execute("UPDATE pg_database SET datname = %s WHERE datname = %s", (other, one))

    copy = f"copy_{secrets.token_hex(4)}"
    place.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
        " AND pid <> pg_backend_pid()"
    )
    with superuser(make_url(place.url).set(database="postgres").render_as_string(hide_password=False)) as maintenance:
        maintenance.execute(f'CREATE DATABASE {copy} TEMPLATE "{place.database}"'.encode())
        try:
            swap(maintenance)
            server = place.opened()
            genuine = server.read(lambda tx: _numbers(tx.connection))
            swap(maintenance)
            assert server.read(lambda tx: tx.connection.exec_driver_sql("SELECT current_database()").scalar()) == copy
            later(monkeypatch)
            assert (
                server.read(lambda tx: tx.connection.exec_driver_sql("SELECT current_database()").scalar())
                == place.database
            )
            assert server.read(lambda tx: _numbers(tx.connection)) == genuine
            server.close()
        finally:
            maintenance.execute(f"DROP DATABASE {copy} WITH (FORCE)".encode())


def test_the_database_url_may_name_the_schema(place: Place) -> None:
    place.run(*EVIL, *REFUSED["a second schema with the tables"][0])
    for schema, is_genuine in (("public", True), ("evil", False)):
        server = open_database(f"{place.url}&schema={schema}" if "?" in place.url else f"{place.url}?schema={schema}")
        try:
            assert (4 in server.read(lambda tx: _numbers(tx.connection))) is is_genuine
        finally:
            server.close()


def _numbers(connection: Any) -> list[int]:
    return list(connection.exec_driver_sql("SELECT id FROM events").scalars())
