"""What callers of an API behind a proxy get, and what the API is told: the same, whichever proxy it is."""

from __future__ import annotations

import signal
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx2

AUDIENCE = "https://crm.example.com"
METADATA = "/.well-known/oauth-protected-resource"
REALM = f'Bearer realm="{AUDIENCE}", resource_metadata="{AUDIENCE}{METADATA}"'


def test_who_calls_is_told_and_who_may_not_is_refused(estate: Any, proxy: str) -> None:
    token, delegation = estate.agent(f"Reader {proxy}", "customers:read")
    nobody = estate.ask(proxy, "/customers/42")
    assert (nobody.status_code, nobody.headers.get_list("www-authenticate")) == (401, [REALM])
    assert (nobody.headers["content-type"], nobody.json()["reason"]) == ("application/json", "token_missing")

    let_in = estate.ask(proxy, "/customers/42?require=customers:delete", token)
    assert let_in.status_code == 200
    told = {name: value for name, value in let_in.json().items() if name.startswith("authsec")}
    assert told.pop("authsec-agent") == f"spiffe://authsec.internal/agent/{told.pop('authsec-client-id')}"
    assert told.pop("authsec-expires").startswith("20")
    assert len(told.pop("authsec-token-id")) == 32
    assert told == {
        "authsec-permissions": "customers:read",
        "authsec-delegations": delegation,
        "authsec-roles": "support",
        "authsec-attestation": "none",
    }
    assert "authorization" not in let_in.json()

    refused = estate.ask(proxy, "/delete/42", token)
    assert (refused.status_code, refused.headers["content-type"]) == (403, "application/json")
    assert refused.headers["www-authenticate"].startswith(f'{REALM}, error="insufficient_scope"')
    assert refused.headers["cache-control"] == "no-store"
    assert (refused.json()["missing_actions"], refused.json()["grantable"]) == (["customers:delete"], True)

    assert estate.ask(proxy, "/customers/42", token, token).status_code == 400
    forgotten = estate.ask(proxy, "/forgotten/42", token)  # its operator did not say which action
    assert forgotten.status_code >= 500
    assert "proxy_misconfigured" in forgotten.text
    for path in ("/customers/own-refusal", "/open/own-refusal"):  # of the API
        own = estate.ask(proxy, path, token)
        assert (own.status_code, own.headers["content-type"]) == (403, "text/plain")
        assert own.json().get("authsec-permissions") == ("customers:read" if "customers" in path else None)
    metadata = estate.ask(proxy, METADATA)
    assert (metadata.status_code, metadata.json()["authorization_servers"]) == (200, [estate.authority.url])
    assert token not in estate.log.read_text()


def test_a_revocation_ends_it_and_a_rotation_does_not(estate: Any, proxy: str) -> None:
    ended, delegation = estate.agent(f"Ended {proxy}", "customers:read")
    agent = estate.authority.agent(f"Staying {proxy}")
    estate.authority.delegate("support", agent, "customers:read", audiences=[AUDIENCE])
    before = estate.token(agent)
    assert estate.ask(proxy, "/customers/42", ended).status_code == 200
    estate.authority.post(f"delegations/{delegation}/revoke")
    assert estate.eventually(lambda: estate.ask(proxy, "/customers/42", ended).status_code == 401) < 3
    assert estate.ask(proxy, "/customers/42", ended).json()["reason"] == "token_revoked"

    estate.authority.post("keys/rotate", force=True)
    after = estate.token(agent)
    with httpx2.Client(base_url=estate.urls[proxy], trust_env=False) as http:  # one connection, kept alive
        for turn in range(200):
            token = (before, after)[turn % 2]
            assert http.get("/customers/42", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_no_way_round_leads_to_what_is_protected(estate: Any, proxy: str) -> None:
    """The proxy matches one spelling of a path, and the API reads another as the same."""
    token, _ = estate.agent(f"Walker {proxy}", "customers:read")
    estate.seen.clear()
    for way in (
        "/open/../delete/42",
        "/customers/../delete/42",
        "/customers/%2e%2e/delete/42",
        "/open/%2e%2e/delete/42",
        "/open/..%2fdelete/42",
        "/open//../delete/42",
        "//delete/42",
        "/%64elete/42",
        "/./delete/42",
        f"{METADATA}/../../delete/42",
    ):
        _raw(estate.urls[proxy], way, f"Authorization: Bearer {token}")
    assert estate.seen == []


def test_nobody_brings_an_identity_along(estate: Any, proxy: str) -> None:
    """Not where a token is needed, nor where none is; in no spelling that an API could read as the same header."""
    token, _ = estate.agent(f"Smuggler {proxy}", "customers:read")
    spellings = [
        "AuthSec-Agent: evil",
        "authsec_agent: evil",
        "AUTHSEC-Permissions: evil",
        "AuthSec-Client_Id: evil",
        "authsec_token_id: evil",
        "AuthSec-Agent : evil",
        "AuthSec-Agent:\tevil",
        "AuthSec-Agent:evil\r\n evil",
        "AuthSec-Roles: evil\r\nAuthSec-Roles: evil",
        "AuthSec-Delegations: 0\r\nAuthSec-Expires: evil",
    ]
    for path in ("/customers/42", "/open/42"):
        for spelling in spellings:
            estate.seen.clear()
            status = _raw(estate.urls[proxy], path, spelling, f"Authorization: Bearer {token}")
            for _, headers in estate.seen:
                brought = {name: value for name, value in headers.items() if "authsec" in name.replace("_", "-")}
                assert "evil" not in str(brought), (spelling, brought)
                assert path == "/customers/42" or brought == {}, spelling
            assert status in {"200", "400", "403"}, (spelling, status)


def test_without_verify_server_or_what_it_rests_on_nobody_passes(estates: Any) -> None:
    with estates() as estate:
        token, _ = estate.agent("Patient", "customers:read")
        statuses = {name: estate.ask(name, "/customers/42", token).status_code for name in estate.urls}
        assert set(statuses.values()) <= {200}
        estate.authority.stop(signal.SIGKILL)
        estate.eventually(lambda: "nothing accepts connections" in estate.health().text)
        estate.seen.clear()
        estate.verify_server.send_signal(signal.SIGUSR1)  # half a minute later
        estate.eventually(lambda: estate.health().status_code == 503)
        for name in estate.urls:
            away = estate.ask(name, "/customers/42", token)
            assert (away.status_code, away.json()["reason"]) == (503, "revocations_unavailable")
            assert away.headers["retry-after"] == "5"
        estate.verify_server.send_signal(signal.SIGTERM)
        assert estate.verify_server.wait(2) == 0
        for name in estate.urls:
            assert estate.ask(name, "/customers/42", token).status_code >= 500
        assert estate.seen == []


def _raw(url: str, path: str, *lines: str) -> str:
    """The status of a request that no library would send."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    request = "\r\n".join([f"GET {path} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close", *lines, "", ""])
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=10) as connection:
        connection.sendall(request.encode())
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
    return answer.split(b" ", 2)[1].decode()
