"""PostgreSQL hangs under two workers: `/metrics` answers, and the log has a few lines and not one a request."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from authsec_server.accounts.model.admin_keys import new_admin_key
from free_ports import free_port
from frozen_postgresql import frozen
from prometheus_client.parser import text_string_to_metric_families
from served_process import TOKEN, Served, served

WORKERS, AT_ONCE = 2, 8
SCRAPE_SECONDS = 2.0


class Observed:
    """A server with two workers, its metrics and its log."""

    def __init__(self, its: Served, metrics: str, client: str) -> None:
        self.its = its
        self.client = client
        self._metrics = metrics

    def value(self, name: str, **labels: str) -> float:
        """The value of one series, from a scrape that has to be quick."""
        answer = httpx2.get(self._metrics, trust_env=False, timeout=SCRAPE_SECONDS)
        samples = [each for family in text_string_to_metric_families(answer.text) for each in family.samples]
        return sum(each.value for each in samples if each.name == name and labels.items() <= each.labels.items())

    def await_value(self, name: str, is_right: Callable[[float], bool], **labels: str) -> None:
        until = time.monotonic() + 60
        while not is_right(found := self.value(name, **labels)):
            assert time.monotonic() < until, (name, found)
            time.sleep(0.05)

    def token(self) -> int:
        """Ask for a token on a connection of its own: the status."""
        return self.its.token(self.client, seconds=60).status_code

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.its.log.read_text().splitlines()]


@pytest.fixture
def observed(postgres_url: str, tmp_path: Path) -> Iterator[Observed]:
    key, port = tmp_path / "admin.key", free_port()
    key.write_text(new_admin_key(lambda size: bytes(range(size))))
    key.chmod(0o600)
    settings = {
        "AUTHSEC_SERVER_BOOTSTRAP_KEY_FILE": str(key),
        "AUTHSEC_SERVER_WORKERS": str(WORKERS),
        "AUTHSEC_SERVER_MAX_IN_FLIGHT": str(AT_ONCE * WORKERS),
        "AUTHSEC_SERVER_METRICS_PORT": str(port),
        "AUTHSEC_SERVER_LOG_FORMAT": "json",
        "AUTHSEC_SERVER_LOG_GRANTED": "0",
    }
    with served(postgres_url, tmp_path, **settings) as its, ExitStack() as stack:
        admin = httpx2.Client(base_url=f"{its.url}/authsec/api/v1/", trust_env=False, timeout=30)
        stack.enter_context(admin)
        admin.headers["Authorization"] = f"Bearer {key.read_text()}"
        role = admin.post("roles", json={"name": "Reader", "actions": ["customers:read"]}).json()["slug"]
        client = admin.post("clients", json={"name": "Agent", "platform": "unattested"}).json()["client_id"]
        terms = {"target_type": "AutoGen AI agent", "max_duration": 3600, "actions": ["customers:read"]}
        assert admin.post("delegations", json={"role": role, "client": client, **terms}).is_success
        one = Observed(its, f"http://127.0.0.1:{port}/metrics", client)
        one.await_value("authsec_ready", lambda ready: ready == 1)
        assert {one.token() for _ in range(8)} == {200}
        yield one


@pytest.mark.soak
def test_metrics_and_log_of_a_database_that_hangs_under_too_many_requests(
    observed: Observed, postgres_server: str
) -> None:
    granted = observed.value("authsec_token_requests_total", outcome="granted")
    with ThreadPoolExecutor(100) as callers, frozen(postgres_server):
        asked = [callers.submit(observed.token) for _ in range(100)]
        observed.await_value("authsec_requests_in_flight", lambda number: number >= AT_ONCE)
        observed.await_value("authsec_requests_refused_total", lambda number: number > 0, reason="overloaded")
        observed.await_value("authsec_ready", lambda ready: ready == 0)
        statuses = Counter(each.result() for each in asked)
        assert statuses == {503: 100}
        assert observed.value("authsec_token_requests_total", outcome="granted") == granted
        assert observed.value("authsec_database_failures_total") > 0
    observed.await_value("authsec_ready", lambda ready: ready == 1)
    assert observed.token() == 200
    until = time.monotonic() + 30
    while sum(each["requests"] for each in ended(observed)) < 100:
        assert time.monotonic() < until, ended(observed)
        time.sleep(0.2)
    lines = [each for each in observed.lines() if each.get("status") == 503 and each["route"] in {TOKEN, "(none)"}]
    begun = Counter((each["worker"], each["outage"]) for each in lines)
    assert {*begun.values()} == {1}, "one line for each outage of a worker"
    assert 2 <= len(begun) <= 8
    assert all(each["seconds"] < 60 for each in ended(observed))


def ended(observed: Observed) -> list[dict[str, Any]]:
    return [each for each in observed.lines() if each["event"] == "the outage has ended"]
