"""deploy/nginx.conf, changed in addresses and files only, before one server for agents and one with the console."""

from __future__ import annotations

import datetime
import http.client
import re
import shutil
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from authsec.grant_url import grant_page
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from free_ports import free_port

from ..environments import do_without

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "deploy" / "nginx.conf"
AGENTS, CONSOLE = "authsec.example.com", "console.example.com"
FEED = "/authsec/v1/revocations"
AROUND = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    {paths}
    include {folder}/authsec.conf;
}}
"""


def make_certificate(folder: Path) -> None:
    """A certificate for both names, which is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, AGENTS)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(AGENTS), x509.DNSName(CONSOLE)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    for host in (AGENTS, CONSOLE):
        (folder / f"{host}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        (folder / f"{host}.key").write_bytes(pem)


@contextmanager
def nginx(folder: Path, tls: int, agents: int, admin: int) -> Iterator[None]:
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if program is None:
        do_without("nginx is not installed: apt-get install nginx")
    make_certificate(folder)
    text = SHIPPED.read_text("utf-8")
    changes = {"listen 443 ": f"listen 127.0.0.1:{tls} ", "/etc/nginx/": f"{folder}/", "/var/log/nginx/": f"{folder}/"}
    changes |= {"127.0.0.1:7468;": f"127.0.0.1:{agents};", "127.0.0.1:7469;": f"127.0.0.1:{admin};"}
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "authsec.conf").write_text(text)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "\n    ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder, paths=paths))
    process = subprocess.Popen([program, "-p", folder, "-c", folder / "nginx.conf"], stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 20
        while "ready" not in http_status(tls):
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline, (folder / "error.log").read_text()
            time.sleep(0.02)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


def http_status(port: int) -> str:
    """Whether something answers plain HTTP at the port, which nginx refuses."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return "ready" if connection.getresponse().status == 400 else "other"
    except (OSError, http.client.HTTPException):
        return "silent"
    finally:
        connection.close()


@dataclass
class Front:
    """Both servers behind nginx. `agents` and `console` call it by the two names."""

    served: Any
    admin: Any
    folder: Path
    agents: httpx2.Client
    console: httpx2.Client


class Named(httpx2.HTTPTransport):
    """Calls 127.0.0.1 by a host name. `local` is the address of the caller."""

    def __init__(self, name: str, context: ssl.SSLContext, local: str = "127.0.0.2") -> None:
        super().__init__(verify=context, local_address=local)
        self._name = name

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.headers["Host"] = self._name
        request.extensions["sni_hostname"] = self._name
        return super().handle_request(request)


@pytest.fixture(scope="module")
def front(serving: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("nginx")
    tls, ports = free_port(), (free_port(), free_port())
    settings = dict(re.findall(r"^# +(AUTHSEC_SERVER_\w+)=(\S+)", SHIPPED.read_text("utf-8"), re.MULTILINE))
    assert len(settings) == 3
    with ExitStack() as stack:
        serve = stack.enter_context(serving(tmp_path_factory.mktemp("data"), ""))
        served = serve(port=ports[0], AUTHSEC_SERVER_SURFACE="agents", **settings)
        admin = serve(port=ports[1], AUTHSEC_SERVER_SURFACE="admin", **settings)
        stack.enter_context(nginx(folder, tls, *ports))
        context = ssl.create_default_context(cafile=str(folder / f"{AGENTS}.pem"))
        clients = [
            stack.enter_context(
                httpx2.Client(base_url=f"https://127.0.0.1:{tls}", transport=Named(name, context), timeout=20)
            )
            for name in (AGENTS, CONSOLE)
        ]
        yield Front(served, admin, folder, *clients)


def test_an_agent_gets_a_token_and_its_own_address_is_recorded(front: Front) -> None:
    agent = front.admin.agent("Helper", keyed=True)
    front.admin.delegate(front.admin.role("Support", "customers:read"), agent, "customers:read")
    proof = front.admin.assertion(agent, aud=f"https://{AGENTS}")
    headers = {"Authorization": f"Bearer {proof}", "X-Forwarded-For": "203.0.113.9"}
    answer = front.agents.get(
        "/authsec/uflow/sdk/delegation-token", params={"client_id": agent.client_id}, headers=headers
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["strict-transport-security"]
    (event,) = front.admin.admin.get("events", params={"kind": "token.issued"}).json()["items"]
    assert event["address"] == "127.0.0.2"


def test_the_metadata_names_the_agents_host(front: Front) -> None:
    metadata = front.agents.get("/.well-known/oauth-authorization-server").json()
    assert {url.split("/")[2] for url in metadata.values() if str(url).startswith("https:")} == {AGENTS}
    assert front.agents.get("/.well-known/jwks.json").json()["keys"]
    assert front.agents.get("/authsec/sdk/").json()["reason"] == "wheels_not_built_in"  # a wheel has them


def test_the_console_is_at_its_own_name_only(front: Front) -> None:
    assert "Sign in" in front.console.get("/console/sign-in").text
    unknown = front.agents.get("/nowhere")
    for path in ("/console", "/console/sign-in", "/authsec/api/v1/roles"):
        answer = front.agents.get(path)
        assert (answer.status_code, answer.json() | {"request_id": ""}) == (404, unknown.json() | {"request_id": ""})
    for path in ("/oauth/token", "/authsec/uflow/sdk/delegation-token", FEED, "/.well-known/jwks.json"):
        assert front.console.get(path).status_code == 404


def test_the_first_administrator_signs_in_over_tls_and_no_log_has_the_code(front: Front) -> None:
    link = front.admin.cli("admin", "setup-url", "--public-url", f"https://{CONSOLE}")
    assert link.startswith(f"https://{CONSOLE}/console/set-up?code=")
    path = link.removeprefix(f"https://{CONSOLE}")
    password = "correct horse battery staple"
    form = {"code": path.partition("=")[2], "email": "ada@example.com", "name": "Ada"}
    form |= {"password": password, "again": password}
    assert front.console.get(path).status_code == 200
    origin = {"Origin": f"https://{CONSOLE}"}
    answer = front.console.post("/console/set-up", data=form, headers=origin)
    assert answer.status_code == 303, answer.text
    assert answer.headers["set-cookie"].startswith("__Host-authsec-session=")
    assert "Secure" in answer.headers["set-cookie"]
    log = (front.folder / "authsec-console.log").read_text("utf-8")
    assert "127.0.0.2" in log
    assert "/console/set-up" in log
    assert "code" not in log


def test_a_revocation_passes_at_once(front: Front) -> None:
    agent = front.admin.agent("Other")
    headers = {"Accept": "text/event-stream"}
    with front.agents.stream("GET", FEED, params={"since": "0"}, headers=headers) as stream:
        assert stream.status_code == 200
        lines = stream.iter_lines()
        next(line for line in lines if line.startswith("data:"))
        began = time.monotonic()
        front.admin.post(f"clients/{agent.client_id}/disable")
        next(line for line in lines if agent.client_id in line)
        assert time.monotonic() - began < 3


def test_nobody_gets_a_certificate_by_another_name(front: Front) -> None:
    context = ssl.create_default_context(cafile=str(front.folder / f"{AGENTS}.pem"))
    with (
        httpx2.Client(base_url=front.agents.base_url, transport=Named("elsewhere.example.com", context)) as stranger,
        pytest.raises(httpx2.ConnectError, match="unrecognized name"),
    ):
        stranger.get("/readyz")


def test_the_page_that_a_refusal_names_is_at_the_console(front: Front) -> None:
    page = urlsplit(grant_page(f"https://{AGENTS}", "11111111-1111-4111-8111-111111111111", actions=["customers:read"]))
    answer = front.agents.get(f"{page.path}?{page.query}")
    assert (answer.status_code, answer.headers["location"]) == (302, f"https://{CONSOLE}{page.path}?{page.query}")
    assert front.console.get(f"{page.path}?{page.query}").status_code in {200, 303}, "the page, or the sign-in"
