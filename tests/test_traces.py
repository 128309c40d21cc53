"""One trace: the agent's SDK, the authority and the API, in a collector of OpenTelemetry."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from authsec import AuthSecClient, DelegationDenied, TokenVerifier
from authsec.asgi import BearerAuth as AsgiBearerAuth
from authsec.wsgi import BearerAuth
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from .otlp_collector import Collector, collecting

SDK, VERIFY = "authsec token request", "authsec verify"
DOOR = "authsec /authsec/uflow/sdk/delegation-token"
STEPS = ("authsec decide", "authsec record", "authsec sign")
SERVER = pytest.param("authsec_server.app", marks=pytest.mark.soak)
STRANGER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as started:
        yield started


@pytest.fixture(scope="module")
def program(collector: Collector) -> Iterator[trace.Tracer]:
    """The tracer of a program that calls AuthSec's packages: an agent, or an API."""
    provider = TracerProvider(resource=Resource.create({"service.name": "program"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{collector.endpoint}/v1/traces")))
    with pytest.MonkeyPatch.context() as patched:  # a program sets it once and for all; this process has other tests
        patched.setattr(trace, "_TRACER_PROVIDER", provider)
        yield provider.get_tracer("program")
    provider.shutdown()


@pytest.fixture(scope="module")
def its(serving: Any, collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server that exports traces at once."""
    with serving(tmp_path_factory.mktemp("traced"), "") as serve:
        yield serve(
            AUTHSEC_SERVER_TRACES="1",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
            OTEL_BSP_SCHEDULE_DELAY="50",
            AUTHSEC_SERVER_LOG_FORMAT="json",
        )


@pytest.fixture(scope="module")
def agent(its: Any) -> Any:
    agent = its.agent("Traced")
    its.delegate(its.role("Reader", "customers:read"), agent, "customers:read", audiences=["crm"])
    return agent


def trace_of(span: trace.Span) -> str:
    return f"{span.get_span_context().trace_id:032x}"


def test_one_trace_has_the_sdk_the_authority_and_the_api(
    its: Any, agent: Any, program: trace.Tracer, collector: Collector
) -> None:
    api = BearerAuth(lambda _environ, _start: [b"ok"], verifier=TokenVerifier(issuer=its.url, audience="crm"))
    client = AuthSecClient(base_url=its.url, client_id=agent.client_id)
    with program.start_as_current_span("work") as work:
        token = client.get_token().value
    header = f"00-{trace_of(work)}-{work.get_span_context().span_id:016x}-01"
    environ = {"PATH_INFO": "/", "HTTP_AUTHORIZATION": f"Bearer {token}", "HTTP_TRACEPARENT": header}
    assert [*api(environ, lambda *_: None)] == [b"ok"]
    spans = collector.wait_for(trace_of(work), "work", SDK, DOOR, VERIFY, *STEPS)
    parents = {
        name: next((it.name for it in spans.values() if it.span_id == span.parent_id), "")
        for name, span in spans.items()
    }
    assert parents == {
        "work": "",
        SDK: "work",
        DOOR: SDK,
        VERIFY: "work",
        **dict.fromkeys(STEPS, DOOR),
    }
    assert {spans[DOOR].service, spans["authsec sign"].service, spans[SDK].service} == {"authsec-server", "program"}
    door = spans[DOOR]
    assert all(door.began <= spans[step].began <= spans[step].ended <= door.ended for step in STEPS)
    assert spans["authsec record"].ended <= spans["authsec sign"].began
    (line,) = [each for each in lines_of(its) if each.get("trace_id") == trace_of(work)]
    assert door.attributes == {
        "http.route": "/authsec/uflow/sdk/delegation-token",
        "http.response.status_code": 200,
        "authsec.request_id": line["request_id"],
        "authsec.client_id": agent.client_id,
    }
    assert spans[VERIFY].attributes == {"authsec.client_id": agent.client_id}
    assert not any(token.encode() in body for body in collector.bodies)


def test_a_refusal_is_an_error_with_its_reason(
    its: Any, agent: Any, program: trace.Tracer, collector: Collector
) -> None:
    api = AsgiBearerAuth(nothing, verifier=TokenVerifier(issuer=its.url, audience="crm"))
    client = AuthSecClient(base_url=its.url, client_id=agent.client_id)
    with pytest.raises(DelegationDenied), program.start_as_current_span("denied") as denied:
        client.get_token(scope="customers:delete")
    spans = collector.wait_for(trace_of(denied), "denied", SDK, DOOR, "authsec decide", "authsec record")
    assert [(spans[each].attributes["authsec.reason"], spans[each].is_error) for each in (SDK, DOOR)] == [
        ("action_not_allowed", True),
        ("action_not_allowed", False),
    ]
    with program.start_as_current_span("call") as call:
        scope = {"type": "http", "path": "/", "headers": [(b"authorization", b"Bearer a-secret-of-a-stranger")]}
        asyncio.run(api(scope, nothing, nothing))
    refused = collector.wait_for(trace_of(call), VERIFY, "call")[VERIFY]
    assert (refused.is_error, refused.attributes["http.response.status_code"]) == (True, 401)
    assert not any(b"stranger" in body for body in collector.bodies)


@pytest.mark.parametrize(
    "header",
    [
        f"{STRANGER}-00",
        f"{STRANGER}-01-more",
        STRANGER.replace("00-", "ff-", 1) + "-01",
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
    ],
)
def test_the_caller_decides_whether_a_request_is_traced(
    its: Any, agent: Any, collector: Collector, header: str
) -> None:
    sent = {"traceparent": header, "tracestate": "vendor=stranger", "baggage": "x=stranger"}
    url = "/authsec/uflow/sdk/delegation-token"
    answer = its.http.get(url, params={"client_id": agent.client_id}, headers=sent)
    assert answer.status_code == 200
    traced = its.http.get(url, params={"client_id": "stranger"}, headers=sent | {"traceparent": f"{STRANGER[:-1]}2-01"})
    assert traced.status_code == 400
    found = collector.wait_for(STRANGER.split("-")[1], DOOR)
    assert {span.parent_id for span in found.values()} == {"b7ad6b7169203332"}
    assert not any(b"=stranger" in body or b'"stranger' in body for body in collector.bodies)


@pytest.mark.parametrize("modules", ["authsec.client, authsec.asgi, authsec.wsgi", SERVER])
def test_without_opentelemetry_in_the_program_nothing_of_it_is_imported(modules: str) -> None:
    program = (
        f"import sys; import {modules};"
        "from authsec import traces; assert traces.request_headers() == {};"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


async def nothing(*_: Any) -> Any:
    """An application that answers nothing."""


def lines_of(its: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in its.log.read_text().splitlines() if line.startswith("{")]
