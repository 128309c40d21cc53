"""What happens when the machine fails: nothing is issued without a record, and no record is lost."""

from __future__ import annotations

import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

DYING = [sys.executable, str(Path(__file__).with_name("dying_server.py"))]


def prepared(its: Any) -> Any:
    agent = its.agent("Open")
    its.delegate(its.role("Reader", "customers:read"), agent, "customers:read")
    return agent


def issued(its: Any) -> list[dict[str, Any]]:
    events = its.admin.get("events", params={"limit": 200}).json()["items"]
    return [event for event in events if event["kind"] == "token.issued"]


@pytest.mark.sqlite_suffices
def test_killed_between_audit_log_and_answer(serve: Any) -> None:
    """The caller has no token, the audit log has it as issued: the safe side of the two."""
    first = serve()
    agent = prepared(first)
    first.stop()
    dying = serve(program=DYING)
    with pytest.raises(httpx2.TransportError):
        dying.ask(agent)
    assert dying.process.wait(10) == -signal.SIGKILL
    again = serve()
    assert len(issued(again)) == 1
    assert again.ask(agent).status_code == 200
    assert len(issued(again)) == 2


@pytest.mark.sqlite_suffices
def test_killed_under_load_loses_no_record(serve: Any) -> None:
    """Every token that anybody holds is in the audit log, however abrupt the end."""
    first = serve(AUTHSEC_SERVER_UNPROVED_LIMIT="100000")
    agent = prepared(first)
    received = {first.ask(agent).headers["X-Request-ID"] for _ in range(50)}
    first.stop(signal.SIGKILL)
    again = serve()
    assert received <= {event["request_id"] for event in issued(again)}


@pytest.mark.skipif(sys.platform != "linux", reason="limits another process's file size, which is Linux's to do")
@pytest.mark.parametrize("database_option", ["sqlite"], indirect=True)
def test_a_full_disk(serve: Any) -> None:
    its = serve()
    agent = prepared(its)
    assert its.ask(agent).status_code == 200
    unlimited = resource.prlimit(its.process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    for _ in range(3):
        answer = its.ask(agent)
        assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
    assert its.http.get("/healthz").status_code == 200
    resource.prlimit(its.process.pid, resource.RLIMIT_FSIZE, unlimited)
    assert its.ask(agent).status_code == 200
    assert len(issued(its)) == 2


@pytest.mark.sqlite_suffices
def test_sigterm_drains_first(serve: Any) -> None:
    its = serve(AUTHSEC_SERVER_DRAIN_SECONDS="1")
    agent = prepared(its)
    its.process.send_signal(signal.SIGTERM)
    for _ in range(100):
        if (ready := its.http.get("/readyz")).status_code == 503:
            break
    assert ready.json()["status"] == "draining"
    assert its.ask(agent).status_code == 200, "what still arrives is answered"
    assert its.process.wait(20) == 0


@pytest.mark.parametrize("database_option", ["sqlite"], indirect=True)
def test_a_request_line_without_an_end_costs_nothing(serve: Any) -> None:
    its = serve()
    host, port = its.url.removeprefix("http://").split(":")

    def talk() -> None:
        with socket.create_connection((host, int(port))) as connection:
            for _ in range(200):
                connection.sendall(b"GET /" + b"x" * 100_000)

    with pytest.raises(ConnectionError):
        talk()
    assert its.http.get("/healthz").status_code == 200
