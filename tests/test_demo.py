"""`authsec demo` as a newcomer runs it: the whole story in an interpreter of its own, on real servers."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from authsec_demo.loopback import free_port, serving
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

pytestmark = pytest.mark.soak  # test_steps_can_fail runs the steps of the demo

EXAMPLE = Path(__file__).parents[1] / "examples" / "autogen_conversation.py"
AUTHSEC = str(Path(sys.executable).with_name("authsec"))
A_WHILE = 180  # it takes a tenth of that, where nothing else runs
TO_BE_COPIED = re.compile(r"AUTHSEC_AGENT_KEY_FILE|http://127|--data ")  # whole, so not to be wrapped
READY = "stays up until you press Ctrl-C"
TOLD = [
    r"1 Start the servers",
    r"✓  authority +http://127\.0\.0\.1:\d+, DEMO, embedded SQLite",
    r"✓  model +SCRIPTED",
    r'2 Onboard the agent "Customer Support"',
    r"✓  client_id +[0-9a-f-]{36}\n",
    r"✓  SPIFFE ID +spiffe://demo/agent/[0-9a-f-]{36}\n",
    r"3 Delegate",
    r"✓  role +Support: customers:delete, customers:read",
    r"✓  delegation +AutoGen AI agent, customers:read only, 1 hour at most",
    r"4 AutoGen fetches customer 42",
    r"user_proxy +Get data for customer 42\.",
    r'assistant +calls fetch_secure_data\(customer_id="42"\)',
    r"user_proxy +returns .*Ada Lovelace",
    r"assistant +Customer 42 is Ada Lovelace",
    r"✓  allowed ",
    r"5 AutoGen is asked to delete customer 42",
    r"assistant +calls delete_customer",
    r"user_proxy +returns .*403 \(insufficient_scope\)",
    r"✓  refused +403 insufficient_scope; customer 42 is still there",
    r"6 A stranger asks for a token",
    r"✓  refused +401 attestation_required",
    r"7 The delegation is revoked",
    r"✓  refused +by the API \d+ ms later, though the token has 5\d minutes\s+left",
    r"✓  refused +410 delegation_ended",
    r"8 The audit log",
    r"client\.created +Administrator +Customer Support",
    r"token\.issued +Customer Support +customers:read, customers-api",
    r" \d\d:\d\d +token\.refused +unproved caller +attestation_required \(once\)\n",
    r"delegation\.revoked +Administrator",
    r"token\.refused +Customer Support +delegation_ended",
    r"✓  model +token found in 0 of [1-9]\d* messages to the model",
    r"10 The agent can read again",
    r"✓  delegated +customers:read, as before",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """How a run of the demo ended."""

    status: int
    out: str
    err: str


def environment(folder: Path, **changes: str) -> dict[str, str]:
    """A newcomer's, with settings in it that lead elsewhere: none of them may touch the demonstration."""
    elsewhere = f"http://127.0.0.1:{free_port()}"
    return {
        **os.environ,
        "TMPDIR": str(folder),
        "HTTP_PROXY": elsewhere,
        "http_proxy": elsewhere,
        "ALL_PROXY": elsewhere,
        "OPENAI_API_KEY": "sk-found-in-the-environment",
        "OPENAI_BASE_URL": elsewhere,
        "UV_RUN_RECURSION_DEPTH": "1",
        "AUTHSEC_BASE_URL": elsewhere,
        "AUTHSEC_ISSUER": elsewhere,
        "AUTHSEC_ADMIN_KEY": "authsec_of_production",
        "AUTHSEC_AGENT_KEY_FILE": "/nowhere/key.pem",
        "AUTHSEC_SERVER_DATABASE": "postgresql://production.example.com/authsec",
        "AUTHSEC_SERVER_PUBLIC_URL": "https://authsec.example.com",
        **changes,
    }


def tell(programs: Path, *options: str, env: dict[str, str]) -> Told:
    command = [programs / "authsec", "demo", *options]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=A_WHILE)
    return Told(status=done.returncode, out=done.stdout, err=done.stderr)


@contextmanager
def staying_up(env: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The demo once its story is told, and what it had printed by then."""
    command = [AUTHSEC, "demo"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            printed = ""
            assert process.stdout is not None
            for line in process.stdout:
                printed += line
                if READY in line:
                    break
            yield process, printed
        finally:
            process.terminate()


@pytest.mark.soak  # test_every_kind_of_proof.py has such an agent, and test_steps_can_fail.py the steps
def test_an_agent_in_a_cluster_gets_in_and_nobody_in_its_place(tmp_path: Path, programs: Path) -> None:
    """`authsec demo --kubernetes --exit`; nothing is handed over that ends at once."""
    in_cluster = tell(programs, "--kubernetes", "--exit", env=environment(tmp_path, KUBECONFIG="/nowhere/kubeconfig"))
    assert list(tmp_path.iterdir()) == []
    assert in_cluster.status == 0, in_cluster.out + in_cluster.err
    assert in_cluster.err == ""
    assert "✗" not in in_cluster.out
    assert fit_to_print(in_cluster.out)
    assert [line for line in in_cluster.out.splitlines() if len(line) > 80] == []
    for what in ("Try it yourself", "/console", "AUTHSEC_BASE_URL", "setup-url"):
        assert what not in in_cluster.out
    told = " ".join(in_cluster.out.split())
    for line in (
        r"2 Start a Kubernetes cluster",
        r"authsec issuers add kubernetes Production --from-kubeconfig --token-review --pod-lookup",
        r"✓ permitted authsec/authsec-lookups may review tokens and get a pod, and nothing else",
        r"k8s:ns production proved by the token",
        r"k8s:sa customer-support-sa proved by the token",
        r"k8s:pod-label:app customer-support proved by look-up",
        r"k8s:container-name agent by look-up: the pod has such a container",
        r"✓ pod production/customer-support-",
        r"assistant Customer 42 is Ada Lovelace",
        r"✓ validation token_review",
        r"9 Another pod asks .* ✓ refused 403 selectors_mismatch",
        r"10 The developer's laptop asks .* ✓ refused 401 attestation_required",
        r"11 The laptop is enrolled .* ✓ allowed its token says key_pair, enrolled",
        r"12 The pod is deleted .* ✓ refused 401 attestation_invalid: .* ✓ allowed the replacement pod",
        r"token\.issued Customer Support customers:read, customers-api \(kubernetes, token_review\)",
        r"token\.refused another workload selectors_mismatch \(once\)",
        r"proof\.enrolled Administrator Customer Support",
        r"token\.issued Customer Support customers:read, customers-api \(key_pair, enrolled\)",
        r"closest miss: namespace matches; service account is `reporting-sa`, registered `customer-support-sa`",
        r"token found in 0 of [1-9]\d* messages",
        r"With --exit, everything stops now\.$",
    ):
        assert re.search(line, told), f"{line}\n{in_cluster.out}"


def test_the_whole_story_is_told_and_its_exports_work_until_ctrl_c(tmp_path: Path, programs: Path) -> None:
    """The demo in an interpreter of its own; the programs that its lines name are ready ones."""
    env = environment(tmp_path)
    with staying_up(env) as (process, printed):
        for line in TOLD:
            assert re.search(line, printed), f"{line}\n{printed}"
        assert "✗" not in printed
        assert fit_to_print(printed)
        exports = dict(re.findall(r"export (\w+)=(\S+)", printed))
        assert set(exports) == {
            "AUTHSEC_BASE_URL",
            "AUTHSEC_AGENT_CLIENT_ID",
            "AUTHSEC_AGENT_KEY_FILE",
            "DOWNSTREAM_URL",
            "OPENAI_BASE_URL",
            "OPENAI_API_KEY",
            "OPENAI_MODEL",
        }
        newcomer = {name: value for name, value in env.items() if not name.startswith("AUTHSEC_")} | exports
        authsec, python = programs / "authsec", programs / "python"
        smoke = subprocess.run([authsec, "smoke"], env=newcomer, capture_output=True, text=True, timeout=A_WHILE)
        assert smoke.returncode == 0, smoke.stdout + smoke.stderr
        example = [python, EXAMPLE]
        unproxied = newcomer | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}  # as the client of openai wants it
        talk = subprocess.run(example, env=unproxied, cwd=tmp_path, capture_output=True, text=True, timeout=A_WHILE)
        assert "Customer 42 is Ada Lovelace, ada@example.com." in talk.stdout, talk.stdout + talk.stderr
        (sign_in,) = re.findall(r"http\S+/console/set-up\?code=\S+", printed)
        assert signed_in(sign_in) == "Dashboard"
        for_another = shlex.split(*re.findall(r" authsec (admin setup-url .+)", printed))
        another = subprocess.run(
            [authsec, *for_another], env=newcomer, capture_output=True, text=True, timeout=A_WHILE, check=True
        )
        assert signed_in(another.stdout.strip()) == "Dashboard"
        assert re.search(r"\$env:AUTHSEC_AGENT_CLIENT_ID = '[0-9a-f-]{36}'\n", printed)
        assert printed.count("uv run authsec smoke\n") == 2, "as the demo was run, in both kinds of shell"
        assert printed.count("uv run python examples/autogen_conversation.py\n") == 2
        assert [line for line in printed.splitlines() if len(line) > 80 and not TO_BE_COPIED.search(line)] == []
        process.send_signal(signal.SIGINT)
        assert process.wait(A_WHILE) == 0
    assert list(tmp_path.iterdir()) == []
    assert not answers(exports["AUTHSEC_BASE_URL"])
    assert not answers(exports["DOWNSTREAM_URL"])


@pytest.mark.soak  # test_steps_can_fail.py of authsec-demo has every step fail
def test_a_step_that_does_not_do_what_it_should_ends_the_story_with_status_1(tmp_path: Path, programs: Path) -> None:
    """A live model that never calls the tool: nothing is fetched, and the demo must not pretend that it was."""
    idle = {"role": "assistant", "content": "TERMINATE"}
    answer = {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "idle",
        "choices": [{"index": 0, "message": idle, "finish_reason": "stop"}],
    }

    async def complete(_request: object) -> JSONResponse:
        return JSONResponse(answer)

    with serving(Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])) as url:
        told = tell(programs, "--exit", "--live-model", env=environment(tmp_path, OPENAI_BASE_URL=f"{url}/v1"))
    assert told.status == 1
    assert re.search(rf"✓  model +LIVE: .* at {url}/v1", told.out)
    assert re.search(r"✗  expected +the tool to return .*Ada Lovelace", told.out)
    assert re.search(r" came +no call of a tool", told.out)
    assert "5 AutoGen" not in told.out
    assert list(tmp_path.iterdir()) == []


def fit_to_print(told: str) -> bool:
    """Without colour, without spaces that nobody sees, without secrets."""
    return all(line == line.rstrip() for line in told.splitlines()) and not re.search(
        r"\x1b|eyJ|authsec_|PRIVATE KEY|sk-found", told
    )


def signed_in(link: str) -> str:
    """The heading of the page where the one-time sign-in leads; a second use must be refused."""
    origin, _, code = link.partition("/console/set-up?code=")
    with httpx2.Client(base_url=origin, trust_env=False, follow_redirects=True, headers={"Origin": origin}) as http:
        assert http.get(link).is_success
        page = http.post("/console/set-up", data={"code": code})
        assert http.post("/console/set-up", data={"code": code}).status_code == 410
    return re.sub("<[^>]*>", "", *re.findall("<h1.*?</h1>", page.text, re.DOTALL)).strip()


def answers(url: str) -> bool:
    """Whether anybody listens there."""
    parts = urlsplit(url)
    try:
        socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=2).close()
    except ConnectionRefusedError:  # nobody does
        return False
    return True
