"""A tool that has worked, when what was delegated is revoked, and delegated again: a real authority, a real API."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import requests
from authsec import AuthSecClient, TokenVerifier
from authsec.wsgi import BearerAuth

pytestmark = pytest.mark.sqlite_suffices


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """A test's output is the test's."""


@pytest.fixture
def crm() -> Iterator[Callable[[str], str]]:
    """Start an API that asks this authority; its address."""
    running = []

    def start(issuer: str) -> str:
        def ada(_: Any, start_response: Any) -> list[bytes]:
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"Ada"]

        guarded = BearerAuth(ada, verifier=TokenVerifier(issuer, "authsec-api"))
        server = make_server("127.0.0.1", 0, guarded, handler_class=Quiet)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_model_is_told_and_a_new_delegation_is_enough(serve: Any, crm: Callable[[str], str]) -> None:
    """As the examples in examples/frameworks do it. Nobody restarts the agent."""
    its = serve()
    role, agent = its.role("Reader", "customers:read"), its.agent("Agent")
    delegation = its.delegate(role, agent, "customers:read")
    api = crm(its.url)
    authsec = AuthSecClient(base_url=its.url, client_id=agent.client_id)

    @authsec.delegated(scope="customers:read", on_denied="tell_model")
    def fetch_customer(customer_id: str, *, delegation_token: str) -> str:
        headers = {"Authorization": f"Bearer {delegation_token}"}
        response = requests.get(f"{api}/customers/{customer_id}", headers=headers, timeout=5)
        response.raise_for_status()
        return response.text

    assert fetch_customer("42") == "Ada"
    its.post(f"delegations/{delegation}/revoke")
    began, told = time.monotonic(), "Ada"
    while told == "Ada" and time.monotonic() - began < 10:  # until the API has heard of it
        told = fetch_customer("42")
    assert (
        told == "The API answered 401 (invalid_token). The token has been revoked. The next call will use a new token."
    )
    for _ in range(2):
        assert fetch_customer("42").startswith("The delegations of this agent have expired or were revoked.")
    its.delegate(role, agent, "customers:read")
    assert fetch_customer("42") == "Ada"
