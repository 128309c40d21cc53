"""`authsec verify-server`, as proxies and the people who start it see it."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import pytest
from authsec import ConfigError, cli
from authsec.gate import Response
from authsec.verifier import TokenVerifier, VerifiedToken
from authsec.verifier.revocations.policy import NoRevocations
from authsec.verify_server.decision import Gates
from authsec.verify_server.fastcgi import FastCgi
from authsec.verify_server.identity_headers import NAMES, identity_headers
from authsec.verify_server.listen_address import ListenAddress, address_of
from authsec.verify_server.server import ServerSettings, health_of, startup_lines
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from .asking_verify_server import LOOPBACK, pairs, record, records_of, running, unix_place
from .fake_keys import AUDIENCE, ISSUER, claims, key_set

AGENT = claims()["sub"]


# --- over HTTP ---------------------------------------------------------------------------------------------------


def test_who_calls_is_told_in_headers() -> None:
    with running() as asked:
        token = asked.token()
        let_in = asked.get("/verify?require=customers:read", token)
        assert (let_in.status, let_in.data) == (204, b"")
        told = {name.lower(): let_in.headers[name] for name in NAMES}
        assert datetime.strptime(told.pop("authsec-expires"), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) > datetime.now(
            UTC
        )
        assert told == {
            "authsec-agent": AGENT,
            "authsec-client-id": AGENT.rpartition("/")[2],
            "authsec-permissions": "customers:read tickets:write",
            "authsec-delegations": "d1",
            "authsec-roles": "support",
            "authsec-attestation": "kubernetes; selectors=k8s:ns,k8s:sa",
            "authsec-token-id": "0192f0c1",
        }
        for query in ("require=customers:read,tickets:write", "require=customers:read&require=tickets:write",
                      "require_any=nothing:else,tickets:write", "require=any_agent"):  # fmt: skip
            assert asked.get(f"/verify?{query}", token).status == 204, query
        assert asked.get("/verify/require=customers:read/customers/42?a=b", token).status == 200  # as Envoy wants it
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        assert asked.get("/verify?require=customers:read", token, **upgrade).status == 204
        assert asked.get("/verify?require=customers:read", **upgrade).status == 401


def test_refusals_are_those_of_the_middlewares() -> None:
    with running() as asked:
        token = asked.token()
        nobody = asked.get("/verify?require=customers:read")
        assert (nobody.status, nobody.json()["reason"]) == (401, "token_missing")
        refused = asked.get("/verify?require=customers:delete&refusal=header", token)
        assert (refused.status, refused.json()["missing_actions"]) == (403, ["customers:delete"])
        needed = f'scope="customers:delete", error_uri="{refused.json()["grant_at"]}"'
        assert refused.headers["WWW-Authenticate"].endswith(needed)
        assert json.loads(refused.headers["AuthSec-Refusal"]) == refused.json()
        either = asked.get("/verify?require_any=a:b,c:d", token)
        assert (either.status, either.json()["missing_actions"]) == (403, ["a:b", "c:d"])
        both = asked.get("/verify?require=customers:read&require_any=a:b", token)
        assert both.status == 403
        assert asked.get("/verify?require=customers:read", token, token).status == 400
        asked.feed.end("token", "0192f0c1")
        deadline = time.monotonic() + 5
        while (ended := asked.get("/verify?require=customers:read", token)).status == 204:
            assert time.monotonic() < deadline, "it was accepted on"
        assert (ended.status, ended.json()["reason"]) == (401, "token_revoked")
        assert asked.get("/elsewhere").status == 500
        open_to_all = asked.get("/open", token)
        assert (open_to_all.status, [name for name in NAMES if name in open_to_all.headers]) == (200, [])


def test_health_and_metadata() -> None:
    with running() as asked:
        fine = asked.get("/healthz")
        assert (fine.status, fine.json()["status"], fine.json()["apis"][0]["audience"]) == (200, "ok", AUDIENCE)
        assert fine.json()["apis"][0]["revocations"]["connected"] in {True, False}
        metadata = asked.get("/.well-known/oauth-protected-resource?whatever=1")
        assert (metadata.status, metadata.json()["resource"]) == (200, AUDIENCE)
        assert asked.get("/.well-known/oauth-protected-resource/mcp").status == 404
    with running(issuer="http://127.0.0.1:9") as asked:
        away = asked.get("/healthz")
        assert (away.status, away.json()["status"]) == (503, "refusing")
        refused = asked.get("/verify?require=customers:read", asked.token(iss="http://127.0.0.1:9"))
        assert (refused.status, refused.headers["Retry-After"]) == (503, "2")
    with running(publish_metadata=False) as asked:
        assert asked.get("/.well-known/oauth-protected-resource").status == 404
        assert "resource_metadata" not in asked.get("/verify?require=a:b").headers["WWW-Authenticate"]


class NotKnown(NoRevocations):
    """Revocations are not known, and the authority is asked about each token, or nothing passes."""

    current = False


def test_health_while_revocations_are_not_known() -> None:
    verifier = TokenVerifier(ISSUER, AUDIENCE, keys=key_set(), revocations=NotKnown())
    asking, refusing = health_of([verifier], asks=True), health_of([verifier], asks=False)
    assert (asking.status, asking.body["status"]) == (200, "asking")
    assert (refusing.status, refusing.body["status"]) == (503, "refusing")


def test_several_apis_are_told_apart_by_the_proxy() -> None:
    with running("https://crm.example.com/a", "https://tickets.example.com/a") as asked:
        token = asked.token(aud=["https://tickets.example.com/a"])
        query = "/verify?require=customers:read&audience="
        assert asked.get(f"{query}https://tickets.example.com/a", token).status == 204
        assert asked.get(f"{query}https://crm.example.com/a", token).json()["reason"] == "audience_mismatch"
        for unclear in ("/verify?require=customers:read", f"{query}https://other.example.com"):
            assert asked.get(unclear, token).json()["reason"] == "proxy_misconfigured"
        metadata = "/.well-known/oauth-protected-resource/a"
        assert asked.get(metadata).status == 500
        named = asked.get(f"{metadata}?audience=https://crm.example.com/a")
        assert named.json()["resource"] == "https://crm.example.com/a"
        assert asked.get(f"{metadata}?audience=x").status == 500


# --- over FastCGI ------------------------------------------------------------------------------------------------


def test_apache_gets_variables_or_a_whole_refusal() -> None:
    with running() as asked:
        bearer = f"Bearer {asked.token()}"
        let_in = asked.cgi(AUTHSEC_VERIFY="require=customers:read", HTTP_AUTHORIZATION=bearer)
        assert let_in.startswith("Status: 200 OK\r\n")
        assert f"\r\nVariable-AUTHSEC_AGENT: {AGENT}\r\n" in let_in
        assert let_in.endswith("\r\n\r\n")
        nobody = asked.cgi(AUTHSEC_VERIFY="require=customers:read")
        assert nobody.startswith("Status: 401 Unauthorized\r\nwww-authenticate: Bearer realm=")
        assert json.loads(nobody.partition("\r\n\r\n")[2])["reason"] == "token_missing"
        forgotten = asked.cgi(HTTP_AUTHORIZATION=bearer)  # nobody said what is needed
        assert forgotten.startswith("Status: 500 ")
        assert "authsec-refusal" not in forgotten  # which is for nginx, and Apache hands on


def test_what_is_too_long_for_apache_is_not_cut_by_it() -> None:
    """Of a list it would take the first 8,192 bytes, and the last item could be half of another."""
    ids = [f"{number:036}" for number in range(250)]
    many = [f"customers:action-{number:04}" for number in range(180)]
    with running() as asked:
        resting = f"Bearer {asked.token(delegation_ids=ids)}"
        let_in = asked.get("/verify?require=any_agent", resting[7:])
        assert (let_in.status, let_in.data) == (204, b"")
        assert asked.cgi(AUTHSEC_VERIFY="require=any_agent", HTTP_AUTHORIZATION=resting).startswith("Status: 500 ")
        able = f"Bearer {asked.token(permissions=many, scope=' '.join(many))}"
        refused = asked.cgi(AUTHSEC_VERIFY="require=a:b", HTTP_AUTHORIZATION=able)
        assert refused.startswith("Status: 403 Forbidden\r\n")
        told = json.loads(refused.partition("\r\n\r\n")[2])
        assert (told["reason"], "a:b" in told["details"], told["retryable"]) == ("action_not_allowed", True, False)
        assert len(refused) < 8192


def test_a_refusal_that_is_too_long_stays_what_it_is() -> None:
    """Whatever it is about, and however much of it is long."""
    long = "\n" * 9_000
    body = {
        "error": long,
        "reason": "revocations_unavailable",
        "details": "Ask again.",
        "retryable": True,
        "more": long,
    }
    answer = Response(status=503, headers=(("retry-after", "5"), ("www-authenticate", f"Bearer {long!r}")), body=body)
    head, _, told = asyncio.run(_told_to_apache(answer)).partition("\r\n\r\n")
    assert head.startswith("Status: 503 Service Unavailable\r\nretry-after: 5\r\n")
    assert len(head) + len(told) < 8_000
    assert json.loads(told).items() >= {
        ("reason", "revocations_unavailable"),
        ("details", "Ask again."),
        ("retryable", True),
    }


async def _told_to_apache(answer: Response) -> str:
    class Refusing(Gates):
        async def decide(self, *_: object) -> Response:
            return answer

    async with await asyncio.start_server(FastCgi(Refusing({})).serve, "127.0.0.1", 0) as server:
        request = BEGIN + record(4, pairs({"AUTHSEC_VERIFY": "require=a:b"})) + record(4)
        kinds = await asyncio.to_thread(records_of, server.sockets[0].getsockname(), request)
    return "".join(content.decode() for kind, content in kinds if kind == 6)


BEGIN = record(1, bytes([0, 2, 0, 0, 0, 0, 0, 0]))


NO_REQUESTS = [
    b"GET / HTTP/1.1\r\n\r\n",
    record(4),
    record(1, b"short"),
    record(1, bytes(8), version=2),
    BEGIN[:4],
    BEGIN + record(5, b"body"),
    BEGIN + record(4, b"\x05"),
    BEGIN + record(4, b"\x05\x05abc") + record(4),
    BEGIN + record(4, b"\x80\x00") + record(4),
    BEGIN + record(4, b"\xff\xff\xff\xff\xff\xff\xff\xff") + record(4),
    BEGIN + record(4, bytes(65_000)) * 5 + record(4),
]


def test_what_is_no_fastcgi_gets_no_answer() -> None:
    """Apache then answers 500."""
    with running() as asked:
        for sent in NO_REQUESTS:
            assert records_of(asked.fastcgi, sent) == [], sent[:40]


def test_padding_and_pieces_are_no_matter_and_other_roles_are_told() -> None:
    with running() as asked:
        stream = pairs({"AUTHSEC_VERIFY": "require=customers:read", "LONG": "x" * 300})
        pieces = record(4, stream[:50], padding=7) + record(4, stream[50:]) + record(4)
        kinds = records_of(asked.fastcgi, BEGIN + pieces)
        assert [kind for kind, _ in kinds] == [6, 6, 3]
        responder = record(1, bytes([0, 1, 0, 0, 0, 0, 0, 0]))
        assert records_of(asked.fastcgi, responder) == [(3, bytes([0, 0, 0, 0, 3, 0, 0, 0]))]


# --- headers -----------------------------------------------------------------------------------------------------


@given(st.text(), st.lists(st.text(min_size=1), min_size=1))
def test_no_value_ends_its_header_or_makes_two_items_of_one(text: str, items: list[str]) -> None:
    identity = VerifiedToken.from_claims(
        claims(sub=f"spiffe://{text}", jti=text, roles=items, delegation_ids=items)
        | {"attestation": {"method": text, "selectors": items, "enrolled": True, "validation": text}}
    )
    headers = dict(identity_headers(identity))
    assert all(re.fullmatch(r"[\x20-\x7e]*", value) for value in headers.values())
    assert [unquote(item) for item in headers["AuthSec-Roles"].split(" ")] == items
    assert unquote(headers["AuthSec-Token-Id"]) == text


# --- where it listens --------------------------------------------------------------------------------------------


def test_places() -> None:
    assert ListenAddress.read("[::1]:8094", beyond_loopback=False) == ListenAddress(host="::1", port=8094)
    assert str(ListenAddress(host="::1", port=1)) == "[::1]:1"
    assert ListenAddress.read("0.0.0.0:80", beyond_loopback=True) == ListenAddress(host="0.0.0.0", port=80)
    for text, reason in (
        ("0.0.0.0:80", "listen_beyond_loopback"), ("authsec.example.com:80", "listen_beyond_loopback"),
        ("8094", "listen_invalid"), ("127.0.0.1:99999", "listen_invalid"), ("unix:here.sock", "listen_invalid"),
    ):  # fmt: skip
        with pytest.raises(ConfigError) as raised:
            ListenAddress.read(text, beyond_loopback=False)
        assert raised.value.reason == reason
    with pytest.raises(ConfigError, match="Apache needs a port"):
        ListenAddress.read_port("unix:/run/authsec.sock", beyond_loopback=False)


def test_a_unix_socket_is_there_for_other_users_and_goes_with_the_server(tmp_path: Path) -> None:
    place = unix_place(tmp_path)
    left_over = socket.socket(socket.AF_UNIX)
    left_over.bind(place.path)
    left_over.close()  # its server was killed
    with place.listening() as listener:
        assert Path(place.path).stat().st_mode & 0o777 == 0o666
        assert address_of(listener) == place
        with pytest.raises(ConfigError, match="Address already in use"), place.listening():
            pass
    assert list(tmp_path.iterdir()) == []
    Path(place.path).write_text("somebody's notes")
    with pytest.raises(ConfigError, match="Cannot listen on"), place.listening():
        pass
    assert Path(place.path).read_text() == "somebody's notes"


# --- as it is typed ----------------------------------------------------------------------------------------------


def run(*arguments: str, **environment: str) -> Result:
    group = cli.Script("authsec", commands=dict(cli.commands.commands))
    return CliRunner().invoke(group, ["verify-server", *arguments], env=environment)


def test_what_cannot_work_is_said_before_anything_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "AUTHSEC_VERIFY_ISSUER" in run().output
    assert "AUTHSEC_REVOCATIONS_FILE" in run("--help").output
    of = {"AUTHSEC_VERIFY_ISSUER": ISSUER, "AUTHSEC_VERIFY_AUDIENCE": AUDIENCE}
    assert "--beyond-loopback" in run("--listen", "0.0.0.0:8094", **of).output
    assert "stale_after_invalid" in run("--stale-after", "1", **of).output
    assert "credential_missing" in run("--revocations", "introspect", **of).output
    assert (
        "credential_of_one_api" in run("--revocations", "introspect", "--audience", "a", "--audience", "b", **of).output
    )
    assert "issuer_invalid" in run("--issuer", "crm", **of).output
    with LOOPBACK.listening() as taken:
        address = "{}:{}".format(*taken.getsockname())
        assert "Address already in use" in run("--listen", address, **of).output
    monkeypatch.setitem(sys.modules, "authsec.verify_server.server", None)
    result = run(**of)
    assert (result.exit_code, "extra_missing" in result.output) == (1, True)
    assert 'pip install "./packages/authsec[verify-server]"' in result.output


def test_it_says_what_it_protects() -> None:
    settings = ServerSettings(
        issuer=ISSUER, audiences=(AUDIENCE, "tickets"), listen=LOOPBACK, fastcgi=LOOPBACK, revocations="until_exp",
        stale_after=30.0, publish_metadata=True,
    )  # fmt: skip
    first, second = startup_lines(
        settings, ListenAddress(path="/run/a.sock"), ListenAddress(host="127.0.0.1", port=8095)
    )
    assert first.startswith("authsec verify-server listens for proxies at unix:/run/a.sock and fcgi://127.0.0.1:8095; ")
    assert first.endswith("; while revocations are not known, tokens are accepted until they expire.")
    assert second == f"It protects {AUDIENCE}, tickets with tokens of {ISSUER}."
