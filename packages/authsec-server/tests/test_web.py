"""What every request meets before a room sees it, and what every answer looks like."""

from __future__ import annotations

import json
import re
import threading
from datetime import timedelta
from typing import Any

import anyio
import pytest
import structlog
import structlog.testing
from authsec_server.app import lifecycle
from authsec_server.failures import Unavailable
from authsec_server.web.health import PATIENCE
from long_runs import some_rows_of
from process_metrics import metric
from starlette.applications import Starlette

API = "/authsec/api/v1"


def test_every_answer_is_hardened_and_can_be_found_again(house: Any) -> None:
    door = house().door()
    first, second = door.get("/healthz"), door.get("/nowhere")
    assert first.headers["X-Request-ID"] != second.headers["X-Request-ID"]
    for answer in (first, second):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Frame-Options"] == "DENY"
    assert second.json() == {
        "error": "There is nothing at this address.",
        "reason": "not_found",
        "details": "",
        "retryable": False,
        "request_id": second.headers["X-Request-ID"],
    }


def test_a_request_id_of_the_callers_choice_does_not_count(house: Any) -> None:
    answer = house().door().get("/healthz", headers={"X-Request-ID": "req_00000000000000000000mine"})
    assert answer.headers["X-Request-ID"] != "req_00000000000000000000mine"


def test_the_log_has_what_was_asked_and_not_what_belongs_to_a_page(house: Any) -> None:
    """Two dozen files and a probe every second would push out of sight whatever somebody looks for."""
    door = house().door()
    page = door.get("/console/sign-in")
    files = set(re.findall(r"/console/static/[^\"' ]+", page.text))
    assert len(files) > 1
    with structlog.testing.capture_logs() as lines:
        for path in (*files, "/healthz", "/readyz"):
            assert door.get(path).status_code == 200
        assert lines == []
        missing = "/console/static/0/nothing.css"
        for path in (missing, "/console/sign-in", "/healthz/more"):
            door.get(path)
        door.post("/healthz")
    assert [(line["event"], line.get("path", line["route"]), line["status"]) for line in lines] == [
        ("request", missing, 404),
        ("request", "/console/sign-in", 200),
        ("request", "/healthz/more", 404),
        ("request", "/healthz", 405),
    ]


def test_a_probe_that_fails_is_logged(house: Any) -> None:
    its = house()
    its.authority.readiness.draining = True
    with structlog.testing.capture_logs() as lines:
        its.door().get("/readyz")
    assert [(line["route"], line["status"]) for line in lines] == [("/readyz", 503)]


def test_a_foreign_host_is_not_answered(house: Any) -> None:
    door = house(public_url="https://authsec.example.com", allowed_hosts=("inner",)).door()
    for host in ("authsec.example.com", "AUTHSEC.example.com:8443", "inner:7468", "localhost", "[::1]:7468"):
        assert door.get("/.well-known/jwks.json", headers={"Host": host}).status_code == 200, host
    for host in ("evil.example", "authsec.example.com.evil.example", "", "authsec.example.com@evil.example"):
        answer = door.get("/.well-known/jwks.json", headers={"Host": host})
        assert (answer.status_code, answer.json()["reason"]) == (421, "host_not_allowed"), host
    assert door.get("/readyz", headers={"Host": "10.1.2.3:7468"}).status_code == 200, "a probe asks by address"


def test_the_issuer_is_the_setting_whatever_host_was_asked(house: Any) -> None:
    door = house(public_url="https://authsec.example.com").door()
    for prefix in ("", "/authsec"):
        for name in ("oauth-authorization-server", "openid-configuration"):
            document = door.get(f"{prefix}/.well-known/{name}", headers={"Host": "localhost"}).json()
            assert document["issuer"] == "https://authsec.example.com"


@pytest.mark.parametrize(
    ("body", "says"),
    some_rows_of(
        [
            (b"{", "JSON"),
            (b"[]", "body"),
            (b'{"name": "A", "name": "B"}', "JSON"),
            (b'{"name": NaN}', "JSON"),
            (b'\xff{"name": "A"}', "JSON"),
            (b'{"name": "A", "actions": ["a:b"], "surprise": 1}', "surprise"),
            (b'{"name": 7, "actions": ["a:b"]}', "name"),
            (b'{"actions": ["a:b"]}', "name"),
            (b"", "name"),
            (b'{"name": "A\\u0000", "actions": ["a:b"]}', ""),
            (b'{"name": "\\u202egnp.exe", "actions": ["a:b"]}', "invisible"),
            (b'{"name": "A", "actions": []}', "actions"),
            (b'{"name": "A", "actions": ["a:*"]}', "wildcard"),
            (b"[" * 9000, "JSON"),
        ]
    ),
    ids=lambda value: str(value)[:30],
)
def test_a_bad_body_is_named_and_leaves_nothing(house: Any, body: bytes, says: str) -> None:
    door = house(local_operator=True).door()
    answer = door.post(f"{API}/roles", content=body)
    assert (answer.status_code, answer.json()["reason"]) == (400, "invalid_request")
    assert says in json.dumps(answer.json())
    assert door.get(f"{API}/roles").json()["items"] == []


def test_an_oversized_body_is_not_read(house: Any) -> None:
    answer = house(local_operator=True).door().post(f"{API}/roles", content=b" " * 70_000)
    assert (answer.status_code, answer.json()["reason"]) == (413, "body_too_large")


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=-1", "limit=x", "limit=1&limit=2", "cursor=%00"])
def test_a_bad_page_is_refused(house: Any, query: str) -> None:
    answer = house(local_operator=True).door().get(f"{API}/events?{query}")
    assert (answer.status_code, answer.json()["reason"]) == (400, "invalid_request")


def test_a_wrong_method_names_the_right_ones(house: Any) -> None:
    answer = house().door().delete(f"{API}/roles")
    assert (answer.status_code, answer.json()["reason"]) == (405, "method_not_allowed")
    assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize("limits", [{"max_in_flight": 1}, {"max_in_flight": 2, "workers": 2}])
def test_too_much_at_once_is_answered_at_once(house: Any, limits: dict[str, int]) -> None:
    its = house(local_operator=True, **limits)
    entered, leave = threading.Event(), threading.Event()
    answers = []
    before = metric("authsec_requests_refused_total", reason="overloaded")

    def hold_the_lock(_tx: Any) -> None:
        entered.set()
        leave.wait(10)

    def write() -> None:
        door = its.door()
        while not answers or answers[-1].status_code == 503:  # the one place may be taken by the question below
            answers.append(door.post(f"{API}/roles", json={"name": "A", "actions": ["a:b"]}))

    threads = [threading.Thread(target=lambda: its.authority.database.change(hold_the_lock))]
    threads.append(threading.Thread(target=write))
    threads[0].start()
    entered.wait(10)
    threads[1].start()
    door = its.door()
    refused = next(answer for _ in range(10_000) if (answer := door.get("/.well-known/jwks.json")).status_code != 200)
    assert door.get("/healthz").status_code == 200, "a busy server is not dead"
    metadata = door.get("/.well-known/oauth-authorization-server")
    assert metadata.status_code == 200, "a client without it may send its secret to an API"
    leave.set()
    for thread in threads:
        thread.join()
    assert (refused.status_code, refused.json()["reason"]) == (503, "unavailable")
    assert refused.headers["Retry-After"] == "1"
    assert answers[-1].status_code == 201
    assert metric("authsec_requests_refused_total", reason="overloaded") > before
    assert metric("authsec_request_duration_seconds_count", route="(none)", status="5xx") > 0
    assert metric("authsec_requests_in_flight") == 0
    assert door.get("/healthz").status_code == 200


def test_an_error_of_ours_shows_nothing_of_itself(
    house: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    its = house(local_operator=True)

    def broken(*_: object) -> None:
        raise RuntimeError("".join(["what ", "the caller ", "sent"]))

    monkeypatch.setattr(type(its.authority.database), "read", broken)
    answer = its.door().get(f"{API}/roles")
    assert (answer.status_code, answer.json()["reason"]) == (500, "internal_error")
    logged = "".join(capfd.readouterr())
    assert answer.headers["X-Request-ID"] == answer.json()["request_id"]
    assert answer.json()["request_id"] in logged
    assert "what the caller sent" not in answer.text + logged


def test_a_committed_change_is_not_answered_as_undone(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database fails between the commit and the read of the answer."""
    its = house(local_operator=True)
    kind = type(its.authority.database)
    change = kind.change

    def failing(*_: object) -> None:
        raise Unavailable("The database is away.")

    def then_away(database: Any, work: Any) -> Any:
        done = change(database, work)
        monkeypatch.setattr(kind, "read", failing)
        return done

    monkeypatch.setattr(kind, "change", then_away)
    answer = its.door().post(f"{API}/clients", json={"name": "Helper", "platform": "unattested"})
    assert (answer.status_code, answer.json()["retryable"]) == (503, False)
    assert answer.json()["details"] == "The change may have been made. Check before you repeat it."


def test_ready_means_the_database_too(house: Any) -> None:
    its = house()
    door = its.door()
    assert door.get("/readyz").status_code == 200
    its.authority.readiness.draining = True
    assert (door.get("/readyz").status_code, door.get("/healthz").status_code) == (503, 200)
    its.authority.readiness.draining = False
    its.clock.at += timedelta(seconds=PATIENCE)  # nothing has been written since
    assert door.get("/readyz").status_code == 503
    assert door.get("/healthz").status_code == 200


def test_each_step_of_the_maintenance_runs_although_another_fails() -> None:
    done: list[int] = []

    def fail() -> None:
        raise Unavailable("The table is locked.")

    with pytest.raises(Unavailable, match="locked"):
        lifecycle.run_all(lambda: done.append(1), fail, lambda: done.append(2), fail, lambda: done.append(3))
    assert done == [1, 2, 3]


def test_maintenance_that_fails_once_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it failed of: keys that no longer rotate while the server seems well are found too late."""
    monkeypatch.setattr(lifecycle, "MAINTENANCE_SECONDS", 0.01)
    tries: list[int] = []

    async def until_the_third() -> None:
        third = anyio.Event()

        def maintain() -> None:
            tries.append(1)
            if len(tries) == 1:
                raise RuntimeError("unforeseen")
            if len(tries) == 3:
                anyio.from_thread.run_sync(third.set)

        served = Starlette(lifespan=lifecycle.lifespan(maintain, anyio.sleep_forever))
        with anyio.fail_after(10):
            async with served.router.lifespan_context(served):
                await third.wait()

    anyio.run(until_the_third)


@pytest.mark.parametrize("path", [f"{API}/roles", "/console/clients/selectors"])
def test_who_hangs_up_is_no_error_of_ours(house: Any, capfd: pytest.CaptureFixture[str], path: str) -> None:
    """Also a browser that has sent the form, and asks no more whether it would be right."""
    its = house(local_operator=True)
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": b"",
        "query_string": b"",
        "headers": [
            (b"host", b"localhost"),
            (b"sec-fetch-site", b"same-origin"),
            (b"content-type", b"application/x-www-form-urlencoded"),
        ],
        "client": ("127.0.0.1", 1),
    }

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(_message: Any) -> None:
        raise AssertionError("nobody is there")

    anyio.run(its.authority.app, scope, receive, send)
    logged = "".join(capfd.readouterr())
    assert "status=499" in logged
    assert "unexpected" not in logged
