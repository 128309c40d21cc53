"""What callers of an API behind a proxy get, and what the API is told: the same, whichever proxy it is."""

from __future__ import annotations

import signal
from typing import Any

import httpx2
import pytest

from .exchanges import Http1

AUDIENCE = "https://crm.example.com"
WORDLESS = {"envoy", "traefik"}  # they answer by themselves where verify-server is away
METADATA = "/.well-known/oauth-protected-resource"
REALM = f'Bearer realm="{AUDIENCE}", resource_metadata="{AUDIENCE}{METADATA}"'


def test_who_calls_is_told_and_who_may_not_is_refused(estate: Any, proxy: str) -> None:
    token, delegation = estate.agent(f"Reader {proxy}", "customers:read")
    nobody = estate.ask(proxy, "/customers/42")
    assert nobody.status_code == 401, (nobody.headers, nobody.text)
    (challenge,) = nobody.headers.get_list("www-authenticate")
    assert challenge.startswith(f'{REALM}, DPoP algs="ES256')
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
    assert _reason(forgotten) == ((503, None) if proxy == "envoy" else (500, "proxy_misconfigured"))
    assert "authsec-refusal" not in forgotten.headers
    assert "configuration for /forgotten/42 is not valid" in estate.log.read_text()
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
    # One line a minute for each mistake, so only the first path has one.
    written = estate.log.read_text()
    assert "for /spaced/42 is not valid: require has 'several_are_joined_by_commas_" in written
    assert "for /cut-off/42 is not valid" not in written


def test_a_revocation_ends_a_token(estate: Any, proxy: str, record_property: pytest.RecordProperty) -> None:
    ended, delegation = estate.agent(f"Ended {proxy}", "customers:read")
    assert estate.ask(proxy, "/customers/42", ended).status_code == 200
    estate.authority.post(f"delegations/{delegation}/revoke")
    assert estate.eventually(lambda: estate.ask(proxy, "/customers/42", ended).status_code == 401) < 3
    assert estate.ask(proxy, "/customers/42", ended).json()["reason"] == "token_revoked"
    record_property("verdict", (proxy, "a revoked token", "refused"))


def test_a_rotation_ends_no_token(estate: Any, record_property: pytest.RecordProperty) -> None:
    """One for all proxies: verify-server asks for keys that it does not have only now and then."""
    agent = estate.authority.agent("Staying")
    estate.authority.delegate("support", agent, "customers:read", audiences=[AUDIENCE])
    before = estate.token(agent)
    estate.authority.post("keys/rotate", force=True)
    after = estate.token(agent)
    for name, url in estate.urls.items():
        with httpx2.Client(base_url=url, trust_env=False) as http:  # one connection, kept alive
            for turn in range(100):
                token = (before, after)[turn % 2]
                assert http.get("/customers/42", headers={"Authorization": f"Bearer {token}"}).status_code == 200, name
        record_property("verdict", (name, "tokens from before and after a key rotation", "accepted"))


def test_paths_with_one_reading_pass_and_others_are_refused(estate: Any, proxy: str) -> None:
    token, _ = estate.agent(f"Walker {proxy}", "customers:read")
    url = estate.urls[proxy]
    for fine in ("/customers/J%C3%BCrgen%20M.", "/customers/42?next=/a/../b;c=%2F%5C//", "/customers/50%25"):
        assert estate.ask(proxy, fine, token).status_code == 200, fine
    absolute = Http1(data=f"GET {url}/customers/42 HTTP/1.1\r\nHost: @HOST@\r\n@AUTHORIZATION@\r\n")
    assert absolute.send(url, token) == "200"
    told = estate.ask(proxy, "/open/42;x")
    assert told.status_code == 400
    if proxy != "traefik":  # it has no words of ours
        assert (told.headers["content-type"], told.json()["retryable"]) == ("application/json", False)


def test_options_of_a_connection_that_are_harmless_pass(estate: Any, proxy: str) -> None:
    token, _ = estate.agent(f"Connected {proxy}", "customers:read")
    for line in ("Connection: Keep-Alive, TE\r\nTE: trailers", "Connection: upgrade\r\nUpgrade: chat", "Connection:"):
        data = f"GET /customers/42 HTTP/1.1\r\nHost: @HOST@\r\n{line}\r\n@AUTHORIZATION@\r\n"
        refused = proxy == "envoy" and "chat" in line  # the others ignore what they do not speak
        assert Http1(data=data).send(estate.urls[proxy], token) == ("403" if refused else "200"), line


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
            # Envoy passes on no words of an answer from 500 upwards.
            assert _reason(away) == (503, None if name == "envoy" else "revocations_unavailable"), name
            assert away.headers.get("retry-after") == (None if name == "envoy" else "5"), name
        estate.verify_server.send_signal(signal.SIGTERM)
        assert estate.verify_server.wait(2) == 0
        for name in estate.urls:
            alone = estate.ask(name, "/customers/42", token)
            status = 500 if name in {"apache", "traefik"} else 503
            assert _reason(alone) == (status, None if name in WORDLESS else "verify_server_unreachable"), name
        assert estate.seen == []


def _reason(answer: httpx2.Response) -> tuple[int, str | None]:
    """The status and the reason of a refusal; none if it has no body of ours, and so no type of ours."""
    if not answer.content or answer.headers.get("content-type") != "application/json":
        return answer.status_code, None
    return answer.status_code, answer.json()["reason"]
