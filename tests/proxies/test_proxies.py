"""What callers of an API behind a proxy get, and what the API is told: the same, whichever proxy it is."""

from __future__ import annotations

import signal
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from authsec.verify_server import identity

AUDIENCE = "https://crm.example.com"
METADATA = "/.well-known/oauth-protected-resource"
NAMES = {name.lower() for name in identity.NAMES}
REALM = f'Bearer realm="{AUDIENCE}", resource_metadata="{AUDIENCE}{METADATA}"'


WAYS_ROUND = [
    "/open/../delete/42",
    "/customers/../delete/42",
    "/customers/%2e%2e/delete/42",
    "/open/%2e%2e/delete/42",
    "/open/..%2fdelete/42",
    "/open//../delete/42",
    "//delete/42",
    "/%64elete/42",
    "/customers/%64elete/42",
    "/./delete/42",
    f"{METADATA}/../../delete/42",
    "/open/..;/delete/42",
    "/open/..;x/delete/42",
    "/open/%2e%2e;/delete/42",
    "/open/%2e.;/delete/42",
    "/open/..%3b/delete/42",
    "/open/.;/../delete/42",
    "/customers/..;/delete/42",
    "/delete;x/42",
    "/delete%3Bx/42",
    "/customers/delete;x/42",
    "/open/..%5cdelete/42",
    "/open/..%5Cdelete/42",
    "/open/..\\delete/42",
    "/customers\\delete\\42",
    "/open/%252e%252e/delete/42",
    "/open/..%252fdelete/42",
    "/open/..%25253b/delete/42",
    "/delete%00/42",
    "/delete%0a/42",
    "/open/#/delete/42",
    "/DELETE/42",
    "/customers/Delete/42",
    "/delete",
]


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
    answered = forgotten.headers["content-type"], forgotten.json()["reason"], forgotten.headers.get("authsec-refusal")
    assert (forgotten.status_code, *answered) == (500, "application/json", "proxy_misconfigured", None)
    assert "configuration for /forgotten/42 cannot be followed" in estate.log.read_text()
    for path in (
        "/customers/own-refusal",
        "/open/own-refusal",
        "/customers/own-failure",
        "/open/own-failure",
    ):  # of the API
        own = estate.ask(proxy, path, token)
        assert (own.status_code, own.headers["content-type"]) == (403 if "refusal" in path else 500, "text/plain")
        assert own.json().get("authsec-permissions") == ("customers:read" if "customers" in path else None)
    metadata = estate.ask(proxy, METADATA)
    assert (metadata.status_code, metadata.json()["authorization_servers"]) == (200, [estate.authority.url])
    assert token not in estate.log.read_text()


def test_what_cannot_stand_in_an_address_is_said(estate: Any) -> None:
    """nginx puts the requirement into one, as it is."""
    if "nginx" not in estate.urls:
        pytest.skip("nginx is not installed here; where it must be, the fixture proxy says so")
    token, _ = estate.agent("Spaced", "customers:read")
    for path in ("/spaced/42", "/cut-off/42"):
        refused = estate.ask("nginx", path, token)
        assert (refused.status_code, refused.json()["reason"]) == (500, "proxy_misconfigured")
        assert f"for {path} cannot be followed: require holds 'several_are_joined_by_commas_" in estate.log.read_text()


def test_a_revocation_ends_a_token(estate: Any, proxy: str) -> None:
    ended, delegation = estate.agent(f"Ended {proxy}", "customers:read")
    assert estate.ask(proxy, "/customers/42", ended).status_code == 200
    estate.authority.post(f"delegations/{delegation}/revoke")
    assert estate.eventually(lambda: estate.ask(proxy, "/customers/42", ended).status_code == 401) < 3
    assert estate.ask(proxy, "/customers/42", ended).json()["reason"] == "token_revoked"


def test_a_rotation_ends_no_token(estate: Any) -> None:
    """One for all proxies: verify-server asks for keys that it does not have only now and then."""
    agent = estate.authority.agent("Staying")
    estate.authority.delegate("support", agent, "customers:read", audiences=[AUDIENCE])
    before = estate.token(agent)
    estate.authority.post("keys/rotate", force=True)
    after = estate.token(agent)
    for url in estate.urls.values():
        with httpx2.Client(base_url=url, trust_env=False) as http:  # one connection, kept alive
            for turn in range(100):
                token = (before, after)[turn % 2]
                assert http.get("/customers/42", headers={"Authorization": f"Bearer {token}"}).status_code == 200, url


def test_no_way_round_leads_to_what_is_protected(estate: Any, proxy: str) -> None:
    """The proxy matches one spelling of a path, and the API reads another as the same."""
    token, _ = estate.agent(f"Walker {proxy}", "customers:read")
    estate.seen.clear()
    for way in [*WAYS_ROUND, f"{estate.urls[proxy]}/open/..;/delete/42"]:
        for lines in ([], [f"Authorization: Bearer {token}"]):
            status = _raw(estate.urls[proxy], way, *lines)
            assert (estate.seen, status[0]) == ([], "4"), (way, status)
    for way in ("/customers/x/../../open/42", "/customers/./../open/42", "/customers//../open/42"):
        _raw(estate.urls[proxy], way)
        assert {each.path for each in estate.seen} <= {"/open/42"}, way  # what was not checked is not what the API reads
    estate.seen.clear()
    told = estate.ask(proxy, "/open/42;x")
    assert (told.status_code, told.headers["content-type"], told.json()["retryable"]) == (
        400,
        "application/json",
        False,
    )
    for fine in (
        "/customers/J%C3%BCrgen%20M.",
        "/customers/42?next=/a/../b;c=%2F%5C//",
        "/customers/50%25",
        f"{estate.urls[proxy]}/customers/42",
    ):
        assert _raw(estate.urls[proxy], fine, f"Authorization: Bearer {token}") == "200", fine


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
        "AuthSec.Agent: evil",
        "AuthSec~Agent: evil",
        "AuthSec_Agent:",
        "AuthSec-Token_Id:",
        "AuthSec_Attestation:\r\nAuthSec_Agent: evil",
        "AuthSec_Agent: evil\r\nAuthSec_Attestation:",
        "AuthSec.Agent: evil\r\nAuthSec~Agent:",
        "AuthSec_Client.Id: evil\r\nAuthSec~Agent:",
    ]
    for path in ("/customers/42", "/open/42"):
        for spelling in spellings:
            estate.seen.clear()
            status = _raw(estate.urls[proxy], path, spelling, f"Authorization: Bearer {token}")
            for headers in (each.headers for each in estate.seen):
                brought = {name: value for name, value in headers.items() if "authsec" in name.replace("_", "-")}
                assert "evil" not in str(brought), (spelling, brought)
                assert set(brought) <= NAMES if path == "/customers/42" else not any(brought.values()), spelling
            assert status in {"200", "400", "403"}, (spelling, status)


def test_nobody_has_the_identity_taken_out_again(estate: Any, proxy: str) -> None:
    """What a request calls a header of its connection, the next proxy takes out (RFC 9110 §7.6.1); so does Apache."""
    token, _ = estate.agent(f"Nobody {proxy}", "customers:read")
    for line in (
        "Connection: close, AuthSec-Agent, AuthSec-Permissions, AuthSec-Attestation",
        "Connection: authsec-agent",
        "Connection: upgrade,\tAUTHSEC-Attestation ,close",
        "Connection: Authorization",
        "Proxy-Connection: AuthSec-Agent",
    ):
        estate.seen.clear()
        status = _raw(estate.urls[proxy], "/customers/42", line, f"Authorization: Bearer {token}")
        assert status == ("200" if line.startswith("Proxy") else "400"), line
        assert all(set(each.headers) >= NAMES for each in estate.seen), line
    for line in ("Connection: Keep-Alive, TE\r\nTE: trailers", "Connection: upgrade\r\nUpgrade: chat", "Connection:"):
        assert _raw(estate.urls[proxy], "/customers/42", line, f"Authorization: Bearer {token}") == "200", line


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
            alone = estate.ask(name, "/customers/42", token)
            assert (alone.status_code, alone.json()["reason"]) == (
                500 if name == "apache" else 503,
                "verify_server_unreachable",
            )
            assert alone.headers["content-type"] == "application/json"
        assert estate.seen == []


def _raw(url: str, path: str, *lines: str) -> str:
    """The status of a request that no library would send."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    request = "\r\n".join([f"GET {path} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close", *lines, "", ""])
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=10) as connection:
        connection.sendall(request.encode())
        answer = b""
        while b"\r\n\r\n" not in answer and (piece := connection.recv(65_536)):
            answer += piece
    return answer.split(b" ", 2)[1].decode()
