"""PgBouncer before PostgreSQL: a server works through it in session mode, and refuses to start in other modes."""

from __future__ import annotations

import base64
import os
import secrets
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import processes
import psycopg
import pytest
from authsec_server.db import open_database
from authsec_server.failures import Fault, Unavailable
from free_ports import free_port
from processes import AUTHSEC
from sqlalchemy import text

from .pgbouncer import IGNORED, pgbouncer

SETTINGS = {  # of a session, as PostgreSQL shows them
    "lock_timeout": "5s",
    "statement_timeout": "15s",
    "idle_in_transaction_session_timeout": "30s",
    "synchronous_commit": "on",
    "row_security": "off",
    "TimeZone": "UTC",
}


def sqlalchemy(uri: str) -> str:
    return uri.replace("postgresql://", "postgresql+psycopg://")


def shown(uri: str) -> dict[str, str]:
    """The settings of a transaction through PgBouncer."""
    with closing(open_database(sqlalchemy(uri))) as database:
        return database.read(
            lambda tx: {name: tx.connection.execute(text(f"SHOW {name}")).scalar_one() for name in SETTINGS}
        )


def refusal(uri: str) -> Unavailable:
    with closing(open_database(sqlalchemy(uri))) as database, pytest.raises(Unavailable) as refused:
        database.record(lambda _: None)
    return refused.value


def test_sessions_keep_their_settings_although_pgbouncer_ignores_the_options(postgres_url: str) -> None:
    with pgbouncer(postgres_url, "session") as uri:
        assert shown(uri) == SETTINGS


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_mode_that_shares_sessions_is_refused(postgres_url: str, mode: str) -> None:
    with pgbouncer(postgres_url, mode) as uri:
        refused = refusal(uri)
    assert refused.fault is Fault.OTHER_SESSION
    assert "pool_mode = session" in refused.remedy


@pytest.mark.parametrize("more", ["server_round_robin = 1", "server_reset_query_always = 1"])
def test_transaction_mode_is_refused_in_whatever_order_backends_are_taken(postgres_url: str, more: str) -> None:
    with pgbouncer(postgres_url, "transaction", more=f"{IGNORED}\n{more}") as uri:
        for _ in range(5):
            assert refusal(uri).fault is Fault.OTHER_SESSION


def test_a_pool_mode_that_changes_under_a_server_is_refused(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    with (
        closing(open_database(sqlalchemy(f"postgresql://postgres@127.0.0.1:{port}/authsec"))) as database,
        pgbouncer(postgres_url, "session", port=port) as uri,
    ):
        database.record(lambda _: None)
        pgbouncer_mode(uri, "transaction")
        database.record(lambda _: None)  # then PgBouncer takes the backend away from the idle session
        with psycopg.connect(uri) as other:
            other.execute("SELECT 1")  # and gives it to this one, until the transaction ends
            for verb in (database.record, database.read):
                with pytest.raises(Unavailable) as refused:
                    verb(lambda _: None)
                assert refused.value.fault is Fault.OTHER_SESSION


def pgbouncer_mode(uri: str, mode: str) -> None:
    """Change the pool mode of a running PgBouncer, as its administrator does."""
    console = f"{uri.rpartition('/')[0]}/pgbouncer"
    with psycopg.connect(console, autocommit=True, prepare_threshold=None) as session:
        session.execute(f"SET pool_mode = '{mode}'")


def test_options_that_pgbouncer_refuses_are_named(postgres_url: str) -> None:
    with pgbouncer(postgres_url, "session", more="") as uri:
        assert "ignore_startup_parameters = options" in refusal(uri).remedy


def test_a_server_reconnects_to_pgbouncer(postgres_url: str) -> None:
    port = free_port()
    with closing(open_database(sqlalchemy(f"postgresql://postgres@127.0.0.1:{port}/authsec"))) as database:
        for _ in range(2):
            with pgbouncer(postgres_url, "session", port=port):
                database.record(lambda _: None)
            with pytest.raises(Unavailable):
                database.record(lambda _: None)


def test_a_pool_without_a_free_connection_is_named(postgres_url: str) -> None:
    with pgbouncer(postgres_url, "session", size=1) as uri:
        assert "raise default_pool_size" in refusal(uri).remedy


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_authsec_serve_starts_in_session_mode_only(postgres_url: str, tmp_path: Path, mode: str) -> None:
    (tmp_path / "master.key").touch(0o600)
    (tmp_path / "master.key").write_bytes(base64.b64encode(secrets.token_bytes(32)))
    environment = os.environ | {"AUTHSEC_SERVER_MASTER_KEY_FILE": str(tmp_path / "master.key")}
    log = tmp_path / "log"
    with pgbouncer(postgres_url, mode) as uri:
        command = [*AUTHSEC, "serve", "--port", "0", "--database", uri]
        process = processes.start(command, env=environment, cwd=tmp_path, output=log, fork=True)
        deadline = time.monotonic() + 60
        while process.poll() is None and "listens on" not in log.read_text():
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        status = process.poll()
        process.kill()
        process.wait(10)
    assert (status, "pool_mode = session" in log.read_text()) == ((None, False) if mode == "session" else (1, True))


@pytest.mark.soak
@pytest.mark.parametrize("database_option", ["postgresql"], indirect=True)
def test_two_servers_work_through_session_mode(database_option: str, serving: Any, tmp_path: Path) -> None:
    with pgbouncer(database_option, "session") as uri, serving(tmp_path, uri) as serve:
        first = serve()
        second = serve(AUTHSEC_SERVER_PUBLIC_URL=first.url)
        agent = first.agent("Agent", keyed=True)
        delegation = first.delegate(first.role("Reader", "customers:read"), agent, "customers:read")
        for _ in range(30):  # prepared statements, and sessions that are used again
            assert first.ask(agent).status_code == 200
        began = time.monotonic()
        second.post(f"delegations/{delegation}/revoke")
        assert first.ask(agent).status_code == 410
        assert time.monotonic() - began < 3
        keys = tmp_path / "keys.json"
        keys.write_text(first.cli("audit", "keys"))
        time.sleep(2)  # the sealer
        assert "all match their seals" in first.cli("audit", "verify", "--key", str(keys))
