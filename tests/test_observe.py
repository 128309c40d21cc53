"""What a platform team gets for its Prometheus: the alerts fire when they must, and ask for metrics that exist."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from authsec_server.metrics.catalogue import PROCESS
from free_ports import free_port
from prometheus_client.parser import text_string_to_metric_families

from .environments import do_without

ROOT = Path(__file__).resolve().parents[1]
ALERTS = ROOT / "deploy" / "alerts.yaml"
DASHBOARD = ROOT / "deploy" / "grafana.json"
PAGE = ROOT / "docs" / "observe.md"
RULES = [rule for group in yaml.safe_load(ALERTS.read_text("utf-8"))["groups"] for rule in group["rules"]]
NAME = re.compile(r"\b(?:authsec|process)_[a-z_]+\b")
PARTS = ("_bucket", "_sum", "_count")
TOKEN = "/authsec/uflow/sdk/delegation-token"
UNKNOWN = "00000000-0000-4000-8000-000000000000"


def promtool(*words: str, given: str = "") -> None:
    program = shutil.which("promtool") or do_without("promtool is not installed: apt-get install prometheus")
    done = subprocess.run(
        [program, *words], input=given, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_after_its_time_and_not_before() -> None:
    promtool("check", "rules", str(ALERTS))
    promtool("test", "rules", "tests/alerts/alerts.test.yaml")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["for"]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert {*rule["annotations"]} == {"summary", "action", "runbook"}
    page, _, heading = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^### (.+)$", (ROOT / page).read_text("utf-8"), re.MULTILINE)
    assert rule["alert"] in headings
    assert rule["alert"].lower() == heading


@pytest.fixture(scope="module")
def served(serving: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str]]:
    """A server with one process, and the address of its metrics."""
    port = free_port()
    with serving(tmp_path_factory.mktemp("served"), "") as serve:
        yield serve(AUTHSEC_SERVER_METRICS_PORT=str(port)), f"http://127.0.0.1:{port}/metrics"


def test_alerts_dashboard_and_docs_name_the_metrics_of_a_real_server(served: tuple[Any, str]) -> None:
    page = httpx2.get(served[1], trust_env=False).text
    promtool("check", "metrics", given=page)
    metrics = set(re.findall(r"^# TYPE (\S+)", page, re.MULTILINE))
    histograms = set(re.findall(r"^# TYPE (\S+) histogram", page, re.MULTILINE))
    series = metrics | {each + part for each in histograms for part in PARTS}
    expressions = [rule["expr"] for rule in RULES]
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    expressions += [its["expr"] for panel in panels for its in panel["targets"]]
    assert {name for each in expressions for name in NAME.findall(each)} <= series
    rows = set(re.findall(r"^\| `([a-z_]+)` \|", PAGE.read_text("utf-8"), re.MULTILINE))
    assert rows == metrics == {each.name for each in PROCESS.definitions} | {"process_start_time_seconds"}


def test_token_requests_are_counted_by_how_they_ended(served: tuple[Any, str]) -> None:
    its, url = served
    agent = its.agent("Open")
    its.delegate(its.role("Reader", "customers:read"), agent, "customers:read")
    for parameters in ({"client_id": agent.client_id}, {"client_id": UNKNOWN}, {"client_id": 'x"}\n'}, {}):
        its.http.get(TOKEN, params=parameters)
    for secret in ("x", "y"):
        form = {"grant_type": "client_credentials", "client_id": agent.client_id, "client_secret": secret}
        its.http.post("/oauth/token", data=form)
    families = text_string_to_metric_families(httpx2.get(url, trust_env=False).text)
    samples = [sample for family in families for sample in family.samples]
    counted = {
        (each.labels["door"], each.labels["outcome"]): each.value
        for each in samples
        if each.name == "authsec_token_requests_total"
    }
    assert counted == {
        ("delegation_token", "granted"): 1,
        ("delegation_token", "client_not_found"): 1,
        ("delegation_token", "client_id_invalid"): 1,
        ("delegation_token", "client_id_missing"): 1,
        ("oauth", "attestation_invalid"): 2,
    }
    times = {
        each.labels["status"]: each.value
        for each in samples
        if each.name == "authsec_request_duration_seconds_count" and each.labels["route"] == TOKEN
    }
    assert times == {"2xx": 1, "4xx": 3}
    assert its.http.get("/metrics").status_code == 404, "not on the port that strangers reach"


@pytest.mark.soak
def test_a_real_prometheus_scrapes_the_server_and_fires_when_it_hangs(
    serving: Any, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    program = shutil.which("prometheus") or do_without("prometheus is not installed: apt-get install prometheus")
    (tmp_path / "alerts.yaml").write_text(re.sub("for: .*", "for: 1s", ALERTS.read_text("utf-8")), "utf-8")
    metrics, web = free_port(), free_port()
    settings = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["alerts.yaml"],
        "scrape_configs": [{"job_name": "authsec", "static_configs": [{"targets": [f"127.0.0.1:{metrics}"]}]}],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(settings), "utf-8")
    command = [
        program,
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        f"--web.listen-address=127.0.0.1:{web}",
    ]

    def asked(path: str, **query: str) -> list[Any]:
        with suppress(httpx2.TransportError):
            answer = httpx2.get(f"http://127.0.0.1:{web}/api/v1/{path}", params=query, trust_env=False)
            data = answer.json().get("data", {})
            return list(data.get("result") or data.get("alerts") or [])
        return []

    def eventually(is_so: Callable[[], Any]) -> Any:
        until = time.monotonic() + 60
        while not (found := is_so()):
            assert time.monotonic() < until, (tmp_path / "log").read_text()
            time.sleep(0.2)
        return found

    with serving(tmp_path_factory.mktemp("scraped"), "") as serve, (tmp_path / "log").open("wb") as log:
        its = serve(AUTHSEC_SERVER_METRICS_PORT=str(metrics))
        with subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log) as prometheus:
            try:
                ready = eventually(lambda: asked("query", query="authsec_ready == 1"))
                assert ready[0]["metric"]["instance"] == f"127.0.0.1:{metrics}"
                assert asked("query", query="scrape_samples_scraped > 50")
                time.sleep(3)
                assert asked("alerts") == []
                its.process.send_signal(signal.SIGSTOP)
                firing = eventually(lambda: [each for each in asked("alerts") if each["state"] == "firing"])
                assert [each["labels"]["alertname"] for each in firing] == ["AuthSecNotReady"]
            finally:
                its.process.send_signal(signal.SIGCONT)
                prometheus.terminate()
