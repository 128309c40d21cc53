"""`authsec serve --workers 2`: two processes on one port serve as one server, and end as one."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import psutil
import psycopg
import pytest
from authsec.enrolment_code import hashed, read_code
from authsec.jose import PrivateKey, parse_compact, sign_compact
from authsec_server.accounts.model.admin_keys import new_admin_key
from authsec_server.db.migrate import newest_revision
from free_ports import free_port
from frozen_postgresql import frozen
from pages import get, post
from people import PASSWORD
from prometheus_client.parser import text_string_to_metric_families
from reused_postgresql import TEMPLATE, ReusedDatabase, sqlalchemy_url
from served_process import TOKEN, Served, served

ISSUER = "http://127.0.0.1:7468"  # of each server that `served` starts
WORKERS = (1, 2)
pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no workers")


@dataclass
class Workers:
    """A running server with two workers, and for each a connection that it has accepted."""

    its: Served
    admin_key: str
    stack: ExitStack
    at: dict[int, httpx2.Client] = field(default_factory=dict)
    metrics_url: str = ""

    def lines(self) -> list[dict[str, Any]]:
        """The lines of the log."""
        return [json.loads(line) for line in self.its.log.read_text().splitlines() if line.startswith("{")]

    def processes(self) -> dict[int, int]:
        """The process of each worker that has become ready, the last one."""
        return {each["worker"]: each["process"] for each in self.lines() if each["event"] == "a worker is ready"}

    def connect(self) -> None:
        """Open connections until each worker has accepted one."""
        self.at.clear()
        for _ in range(200):
            client = self.stack.enter_context(httpx2.Client(base_url=self.its.url, trust_env=False, timeout=30))
            self.at.setdefault(self.worker_of(client.get("/.well-known/jwks.json")), client)
            if len(self.at) == len(WORKERS):
                return
        raise AssertionError(f"only the workers {[*self.at]} accept connections")

    def worker_of(self, answer: httpx2.Response) -> int:
        """The worker that answered."""
        wanted = answer.headers["x-request-id"]
        while not (found := [each["worker"] for each in self.lines() if each.get("request_id") == wanted]):
            time.sleep(0.005)
        return int(found[0])

    def post(self, path: str, at: int = 1, **body: Any) -> dict[str, Any]:
        """One call of the admin API at this worker."""
        headers = {"Authorization": f"Bearer {self.admin_key}"}
        answer = self.at[at].post(f"/authsec/api/v1/{path}", json=body, headers=headers)
        assert answer.is_success, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def agent(self, *, audience: str = "", **proof: Any) -> str:
        """An agent with a delegation: its client id. It is unattested unless another proof is named."""
        name = f"Agent {secrets.token_hex(4)}"
        role = self.post("roles", name=f"Role of {name}", actions=["customers:read"])["slug"]
        client: str = self.post("clients", name=name, **(proof or {"platform": "unattested"}))["client_id"]
        terms = {"target_type": "AutoGen AI agent", "max_duration": 3600, "actions": ["customers:read"]}
        self.post("delegations", role=role, client=client, audiences=[audience] if audience else [], **terms)
        return client

    def ask(self, at: int, client: str, proof: str = "") -> httpx2.Response:
        """Ask this worker for a token."""
        headers = {"Authorization": f"Bearer {proof}"} if proof else {}
        return self.at[at].get(TOKEN, params={"client_id": client}, headers=headers)


@contextmanager
def two_workers(database_url: str, folder: Path, **settings: str) -> Iterator[Workers]:
    """A server with two workers, both of which are ready."""
    key = folder / "admin.key"
    key.write_text(new_admin_key(secrets.token_bytes))
    key.chmod(0o600)
    settings = {"AUTHSEC_SERVER_DRAIN_SECONDS": "1", "AUTHSEC_SERVER_BOOTSTRAP_KEY_FILE": str(key)} | settings
    with served(database_url, folder, AUTHSEC_SERVER_WORKERS="2", **settings) as its, ExitStack() as stack:
        workers = Workers(its, key.read_text(), stack)
        await_ready(workers)
        workers.connect()
        yield workers


def await_ready(workers: Workers) -> None:
    until = time.monotonic() + 60
    while len(workers.processes()) < len(WORKERS):
        assert time.monotonic() < until, workers.its.log.read_text()
        time.sleep(0.02)


@pytest.fixture(scope="module")
def database(postgres_server: str, reused_postgresql: ReusedDatabase) -> Iterator[str]:
    """A database for all tests of this module that share a server."""
    with psycopg.connect(postgres_server, autocommit=True) as session:
        session.execute(f"CREATE DATABASE workers TEMPLATE {TEMPLATE}")
        yield sqlalchemy_url(postgres_server, "workers")
        session.execute("DROP DATABASE workers WITH (FORCE)")


@pytest.fixture(scope="module")
def running(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Workers]]:
    """Returns the server of this module. After the test that ends the server, it starts another one."""
    folder, started = tmp_path_factory.mktemp("workers"), list[Workers]()
    with ExitStack() as stack:

        def one() -> Workers:
            if not started or started[-1].its.process.poll() is not None:
                port = free_port()
                settings = {"AUTHSEC_SERVER_METRICS_PORT": str(port), "AUTHSEC_SERVER_LOG_FORMAT": "json"}
                its = stack.enter_context(two_workers(database, folder, **settings))
                its.metrics_url = f"http://127.0.0.1:{port}/metrics"
                started.append(its)
            return started[-1]

        yield one


@pytest.fixture
def shared(running: Callable[[], Workers]) -> Workers:
    """The server of the tests that leave it as it was, and of the last one, which does not."""
    return running()


Series = tuple[str, frozenset[tuple[str, str]]]


def series(name: str, **labels: str) -> Series:
    return name, frozenset(labels.items())


def scrape(workers: Workers) -> dict[Series, float]:
    """The value of each series at `/metrics`, as Prometheus reads them."""
    answer = httpx2.get(workers.metrics_url, trust_env=False, timeout=2)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.text)
    return {series(each.name, **each.labels): each.value for family in families for each in family.samples}


GRANTED = series("authsec_token_requests_total", door="delegation_token", outcome="granted")


def fallen(before: dict[Series, float], after: dict[Series, float]) -> set[Series]:
    """The counters that are lower than before, or missing."""
    counters = {each for each in before if each[0].endswith(("_total", "_bucket", "_count", "_sum"))}
    return {each for each in counters if after.get(each, -1) < before[each]}


def test_both_issue_tokens_and_the_first_screen_is_shown_once(shared: Workers) -> None:
    client = shared.agent()
    assert [shared.worker_of(shared.ask(each, client)) for each in WORKERS] == [*WORKERS]
    said = shared.its.log.read_text()
    assert said.count(" listens on ") == 1
    assert "workers 2 processes; each has 1/2 of the rate limits" in said
    assert all("worker" in each for each in shared.lines())


def test_a_revocation_at_one_ends_tokens_at_the_other(shared: Workers) -> None:
    client = shared.agent()
    for _ in range(3):  # so that both have its facts in memory
        assert [shared.ask(each, client).status_code for each in WORKERS] == [200, 200]
    shared.post(f"clients/{client}/disable", at=1)
    assert shared.ask(2, client).json()["reason"] == "client_disabled"
    shared.post(f"clients/{client}/enable", at=2)
    assert shared.ask(1, client).status_code == 200


def test_an_assertion_proves_an_agent_once_at_either(shared: Workers) -> None:
    key = PrivateKey.generate_ed25519()
    client = shared.agent(platform="key", public_key=key.public.to_pem().decode())
    now = int(time.time())
    claims = {"iss": client, "sub": client, "aud": ISSUER, "iat": now, "exp": now + 60, "jti": secrets.token_hex(16)}
    proof = sign_compact({"alg": key.algorithm}, claims, key)
    assert shared.ask(1, client, proof).status_code == 200
    assert shared.ask(2, client, proof).json()["reason"] == "attestation_invalid"


def test_an_enrolment_code_of_one_is_redeemed_once_at_the_other(shared: Workers) -> None:
    client, key = shared.agent(), PrivateKey.generate_ed25519()
    code, now = shared.post(f"clients/{client}/enrolments", at=1)["code"], int(time.time())
    claims = {"iss": client, "aud": ISSUER, "iat": now, "exp": now + 120, "code_sha256": hashed(read_code(code) or "")}
    body = {
        "client_id": client,
        "code": code,
        "public_key": key.public.to_pem().decode(),
        "possession": sign_compact({"typ": "authsec-enrolment+jwt"}, claims, key),
        "machine": "ada-laptop",
    }
    answers = [shared.at[each].post("/authsec/v1/enrolments", json=body).status_code for each in (2, 1)]
    assert answers == [201, 403]


def test_a_new_key_of_one_signs_at_the_other(shared: Workers) -> None:
    api = f"https://{secrets.token_hex(4)}.example.com"
    shared.post("apis", at=1, name=f"API {api[8:16]}", identifier=api, signing_algorithm="EdDSA")
    client = shared.agent(audience=api)
    token = shared.ask(2, client).json()["token"]
    published = {each["kid"]: each["alg"] for each in shared.at[1].get("/.well-known/jwks.json").json()["keys"]}
    assert published[parse_compact(token).header["kid"]] == "EdDSA"


def test_a_person_signs_in_at_one_and_out_at_the_other(shared: Workers) -> None:
    link = shared.post("administrators", at=1, email="ada@example.com", name="Ada", role="admin")["link"]["path"]
    form = get(shared.at[1], link).form()
    changes = {"password": PASSWORD, "again": PASSWORD}
    pairs = [(name, value) for name, value in form.fields if name not in changes] + [*changes.items()]
    assert post(shared.at[2], form.action, pairs).status == 303
    shared.at[1].cookies.update(shared.at[2].cookies)
    page = get(shared.at[1], "/console/roles")
    assert page.status == 200
    assert page.form("/console/sign-out").send().status == 303
    assert get(shared.at[2], "/console/roles").location.startswith("/console/sign-in")


def test_metrics_are_those_of_both(shared: Workers) -> None:
    client, before = shared.agent(), scrape(shared)
    for at in (1, 2, 2):
        assert shared.ask(at, client).status_code == 200
        assert shared.at[at].get(TOKEN, params={"client_id": "x"}).status_code == 400
    after = scrape(shared)
    assert after[GRANTED] - before.get(GRANTED, 0) == 3
    route = series("authsec_request_duration_seconds_count", route=TOKEN, status="4xx")
    assert after[route] - before.get(route, 0) == 3
    assert after[series("authsec_workers", status="ready")] == 2
    assert after[series("authsec_ready")] == 1
    assert after[series("authsec_requests_in_flight")] == 0
    assert shared.at[1].get("/metrics").status_code == 404, "not where agents are"


def test_metrics_show_the_database_the_audit_log_keys_and_followers(shared: Workers) -> None:
    assert shared.ask(1, shared.agent()).status_code == 200
    with shared.at[2].stream("GET", "/authsec/v1/revocations?since=0", headers={"Accept": "text/event-stream"}) as feed:
        lines = feed.iter_lines()
        next(lines)
        until = time.monotonic() + 30
        while series("authsec_audit_checkpoint_age_seconds") not in (values := scrape(shared)):  # the first one
            assert time.monotonic() < until
            time.sleep(0.1)
    names = {name for name, _ in values}
    assert values[series("authsec_feed_followers")] == 1
    assert 0 <= values[series("authsec_feed_lag_seconds")] < 5
    assert values[series("authsec_audit_unsealed_age_seconds")] < 60
    assert values[series("authsec_audit_checkpoint_age_seconds")] < 120
    assert 0 < values[series("authsec_signing_key_age_seconds", algorithm="RS256")] < 86_400 * 365
    assert values[series("authsec_database_connections_limit")] == 32
    for resource in ("connection", "authority_lock"):
        assert values[series("authsec_database_wait_seconds_count", resource=resource)] > 0
    assert values[series("authsec_batch_requests_count", access="record")] > 0
    (build,) = [dict(labels) for name, labels in values if name == "authsec_build_info"]
    assert re.fullmatch(r"postgresql \d+\.\d+", build["database"])
    assert build["schema"] == newest_revision()
    assert {"authsec_requests_in_flight_limit", "process_start_time_seconds"} <= names


def test_no_value_of_a_client_is_in_a_metric(shared: Workers) -> None:
    """Else a stranger adds series until Prometheus has no memory left."""

    def flood(prefix: str, number: int) -> None:
        for each in range(number):
            name = f"{prefix}-{each}"
            words = {"client_id": str(uuid.uuid4()), "scope": f"{name}:read", "resource": f"https://{name}.example"}
            shared.at[1].get(TOKEN, params=words, headers={"User-Agent": name})
            shared.at[1].post("/oauth/token", data={"grant_type": name, "client_id": name})
            shared.at[1].get(f"/{name}/{name}")
            shared.at[1].get(f"/console/{name}")
            shared.at[1].get("/readyz/" + name, headers={"Host": f"{name}.example"})
            shared.at[1].request(name.upper(), TOKEN)

    flood("first", 1)
    before = scrape(shared)
    flood("then", 30)
    after = scrape(shared)
    of_requests = ("authsec_request", "authsec_token", "authsec_evidence", "authsec_introspections")
    assert {each for each in after.keys() - before.keys() if each[0].startswith(of_requests)} == set()
    assert [each for each in after if "then" in str(each)] == []
    refused = series("authsec_requests_refused_total", reason="host_not_allowed")
    assert after[refused] - before[refused] == 30


def test_metrics_answer_while_the_workers_do_not(shared: Workers) -> None:
    before = scrape(shared)
    for each in shared.processes().values():
        os.kill(each, signal.SIGSTOP)
    try:
        assert fallen(before, scrape(shared)) == set()
    finally:
        for each in shared.processes().values():
            os.kill(each, signal.SIGCONT)


def test_metrics_answer_while_the_database_hangs(shared: Workers, postgres_server: str) -> None:
    client, before = shared.agent(), scrape(shared)
    with ThreadPoolExecutor(4) as callers, frozen(postgres_server):
        asked = [callers.submit(shared.its.token, client) for _ in range(4)]
        until = time.monotonic() + 30
        while (values := scrape(shared))[series("authsec_requests_in_flight")] < 4:
            assert time.monotonic() < until
            time.sleep(0.02)
        assert fallen(before, values) == set()
    assert {each.result().status_code for each in asked} == {200}


def test_each_line_of_all_processes_is_json(shared: Workers) -> None:
    shared.ask(2, shared.agent())
    lines = [json.loads(line) for line in shared.its.log.read_text().splitlines()]
    assert {(each.get("worker"), each["event"]) for each in lines} >= {(1, "a worker is ready"), (2, "request")}
    assert all({"event", "level", "timestamp"} <= {*each} for each in lines)


def test_a_worker_that_was_killed_comes_back_and_the_other_answers_meanwhile(shared: Workers) -> None:
    shared.connect()  # a test before may have made a worker close its connection
    client, before = shared.agent(), shared.processes()
    assert shared.ask(2, client).status_code == 200
    scrapes = [scrape(shared)]
    os.kill(before[2], signal.SIGKILL)
    statuses = []
    while shared.processes()[2] == before[2]:
        statuses.append(shared.ask(1, client).status_code)
        scrapes.append(scrape(shared))
        time.sleep(0.05)
    assert {*statuses} == {200}
    shared.connect()
    assert shared.ask(2, client).status_code == 200
    scrapes.append(scrape(shared))
    assert [fallen(*pair) for pair in pairwise(scrapes)] == [set() for _ in scrapes[1:]]
    assert scrapes[-1][GRANTED] - scrapes[0][GRANTED] == len(statuses) + 1
    assert scrapes[-1][series("authsec_worker_restarts_total")] == 1
    assert any(each.get(series("authsec_workers", status="stopped")) for each in scrapes), "seen while it was away"
    assert any(each[series("authsec_ready")] == 0 for each in scrapes)
    ended = [each for each in shared.lines() if "has ended" in each["event"]]
    assert (ended[-1]["worker"], ended[-1]["status"]) == (2, -signal.SIGKILL)
    assert shared.its.log.read_text().count(" listens on ") == 1


@pytest.mark.soak
def test_sigterm_to_all_processes_loses_no_request(postgres_url: str, tmp_path: Path) -> None:
    """Systemd sends SIGTERM to all, and the supervisor passes its own on: the workers drain all the same."""
    long = {"AUTHSEC_SERVER_DRAIN_SECONDS": "4"}  # also for a busy machine
    with two_workers(postgres_url, tmp_path, **long) as workers, ThreadPoolExecutor(4) as pool:
        client, answers, drained = workers.agent(), list[httpx2.Response](), threading.Event()

        def load() -> None:
            while not drained.is_set():
                answers.append(workers.its.token(client))

        loading = [pool.submit(load) for _ in range(3)]
        try:
            time.sleep(0.3)
            for each in (*workers.processes().values(), workers.its.process.pid):
                os.kill(each, signal.SIGTERM)
            while (ready := workers.its.get("/readyz")).status_code == 200:
                time.sleep(0.02)
            time.sleep(0.3)
        finally:
            drained.set()  # as a load balancer that has seen it
        for each in loading:
            each.result()
        assert ready.json()["status"] == "draining"
        assert {each.status_code for each in answers} == {200}
        assert workers.its.process.wait(30) == 0
        assert not any(map(psutil.pid_exists, workers.processes().values()))


def test_without_their_supervisor_the_workers_end(shared: Workers) -> None:
    """The last test of the shared server, which a server of its own would make twice as long."""
    left = [psutil.Process(each) for each in shared.processes().values()]
    shared.its.process.kill()
    assert psutil.wait_procs(left, timeout=30)[1] == []


@pytest.mark.soak
def test_agents_go_on_while_workers_are_killed(postgres_url: str, tmp_path: Path) -> None:
    """Callers of the killed worker lose their connection. Each answer that a caller gets is a token."""
    with two_workers(postgres_url, tmp_path) as workers, ThreadPoolExecutor(6) as pool:
        client, statuses, lost, over = workers.agent(), list[int](), list[str](), threading.Event()

        def load() -> None:
            while not over.is_set():
                try:
                    statuses.append(workers.its.token(client).status_code)
                except httpx2.TransportError as error:
                    lost.append(type(error).__name__)

        loading = [pool.submit(load) for _ in range(6)]
        try:
            for turn in range(6):
                before = workers.processes()
                os.kill(before[1 + turn % 2], signal.SIGKILL)
                while workers.processes() == before:
                    time.sleep(0.05)
                time.sleep(1)
        finally:
            over.set()
        for each in loading:
            each.result()
        assert {*statuses} == {200}
        assert len(statuses) > 100
        assert len(lost) <= 6 * 6, "at most what each of them had sent at each kill"
