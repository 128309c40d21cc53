"""`authsec verify-server` and tokens that are bound to a key: its options, and what a proxy has to send."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from authsec import ConfigError
from authsec.gate import Gate
from authsec.verify_server.decision import Gates, path_of
from authsec.verify_server.http import VerifyApp
from authsec.verify_server.listen_address import ListenAddress
from authsec.verify_server.server import ServerSettings

from .asking_verify_server import running
from .bound_requests import DOORS, ORIGIN, PATH, URL, Holder, Outcome, Sent, by_dpop, dpop_verifier, through_asgi_app
from .fake_keys import AUDIENCE, ISSUER, FakeClock

OTHER = "https://tickets.example.com"
ORIGINAL = (("X-Original-Method", "GET"), ("X-Original-URI", f"{PATH}?page=2"))
FORWARDED = (("X-Forwarded-Method", "GET"), ("X-Forwarded-Uri", PATH))


def settings(*audiences: str, **changes: Any) -> ServerSettings:
    given: dict[str, Any] = {
        "issuer": ISSUER, "audiences": audiences, "listen": ListenAddress(host="127.0.0.1"), "fastcgi": None,
        "revocations": "fail_closed", "stale_after": 30.0, "publish_metadata": True, **changes,
    }  # fmt: skip
    return ServerSettings(**given)


def origins_of(made: ServerSettings) -> list[str | None]:
    verifiers = made.verifiers()
    for verifier in verifiers:
        verifier.close()
    return [None if verifier.binding is None else verifier.binding.origin for verifier in verifiers]


def test_one_origin_is_for_all_apis_and_several_are_in_their_order() -> None:
    assert origins_of(settings(AUDIENCE, OTHER)) == [None, None]
    assert origins_of(settings(AUDIENCE, OTHER, dpop_origins=(ORIGIN,))) == [ORIGIN, ORIGIN]
    assert origins_of(settings(AUDIENCE, OTHER, dpop_origins=(ORIGIN, OTHER))) == [ORIGIN, OTHER]
    with pytest.raises(ConfigError, match="2 APIs have 3 values of --dpop-origin"):
        settings(AUDIENCE, OTHER, dpop_origins=(ORIGIN,) * 3).verifiers()
    with pytest.raises(ConfigError, match="dpop_required needs dpop_origin"):
        settings(AUDIENCE, dpop_required=True).verifiers()


def asked(query: str, *headers: tuple[str, str], path: str = "/verify", **changes: Any) -> Outcome:
    """What becomes of a good request that the proxy describes by these headers."""
    holder = Holder()
    bound = holder.token()
    sent = by_dpop(bound, holder.proof(bound, **changes))
    app = VerifyApp(Gates({AUDIENCE: Gate(verifier=dpop_verifier())}), health=lambda: NotImplemented)
    return through_asgi_app(app, [Sent((*sent.headers, *headers), "GET", f"{path}?{query}")])[0]


@pytest.mark.parametrize(("name", "headers"), [("original", ORIGINAL), ("forwarded", FORWARDED)])
def test_a_proxy_says_where_the_request_is(name: str, headers: Sequence[tuple[str, str]]) -> None:
    assert asked(f"dpop={name}&require=customers:read", *headers) == Outcome(200)
    absolute = [(header, value.replace(PATH, URL)) for header, value in headers]
    assert asked(f"dpop={name}&require=customers:read", *absolute) == Outcome(200)


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("require=customers:read", (*ORIGINAL, *FORWARDED)),
        ("dpop=original&require=customers:read", FORWARDED),
        ("dpop=forwarded&require=customers:read", ORIGINAL),
        ("dpop=original&require=customers:read", ORIGINAL[:1]),
        ("dpop=original&require=customers:read", ORIGINAL[1:]),
        ("dpop=original&require=customers:read", (*ORIGINAL, ("X-Original-URI", "/customers/43"))),
        ("dpop=original&require=customers:read", (*ORIGINAL, ("X-Original-Method", "DELETE"))),
        ("dpop=host&require=customers:read", ORIGINAL),
        ("dpop=&require=customers:read", ORIGINAL),
        ("dpop=original&dpop=forwarded&require=customers:read", ORIGINAL),
    ],
)
def test_a_caller_cannot_describe_the_request(query: str, headers: Sequence[tuple[str, str]]) -> None:
    """A proxy that passes on all headers of the caller must not let a thief say for what a stolen proof is."""
    outcome = asked(query, *headers)
    assert (outcome.status, outcome.reason) == (500, "proxy_misconfigured")


def test_the_parameter_changes_nothing_for_other_requests() -> None:
    with running() as server:
        token = server.token()
        assert server.get("/verify?dpop=original&require=customers:read", token).status == 204
        assert server.get("/verify?dpop=original&require=customers:delete", token).status == 403
        refused = server.get("/verify?dpop=original&require=customers:read", Authorization=f"DPoP {token}")
        assert (refused.status, refused.json()["reason"]) == (401, "binding_not_supported")
        undescribed = server.get("/verify?require=customers:read", Authorization="DPoP x")
        assert (undescribed.status, undescribed.json()["reason"]) == (401, "token_malformed")


def test_strangers_do_not_fill_the_log_of_a_server_whose_proxy_does_not_describe_the_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Any stranger can send `DPoP x`, so each mistake of the proxy has one log line a minute."""
    clock = FakeClock()
    gates = Gates({AUDIENCE: Gate(verifier=dpop_verifier())}, clock.clock())
    app = VerifyApp(gates, health=lambda: NotImplemented)
    sent = Sent((("Authorization", "DPoP x"),), "GET", "/verify?require=customers:read")

    def lines(*requests: Sent) -> list[str]:
        caplog.clear()
        outcomes = through_asgi_app(app, requests)
        assert {(outcome.status, outcome.reason) for outcome in outcomes} == {(500, "proxy_misconfigured")}
        return [entry.getMessage() for entry in caplog.records]

    (line,) = lines(*[sent] * 30)
    assert "add dpop=original" in line
    assert lines(sent) == []
    (another,) = lines(Sent(sent.headers, "GET", "/verify?require=customers:read&dpop=host"))
    assert "dpop must be" in another
    clock.pass_by(60)
    (line,) = lines(sent)
    assert "(and 30 more requests since the last such line)" in line


def test_the_caller_reads_that_the_proxy_does_not_describe_the_request() -> None:
    with running(dpop_origins=(ORIGIN,)) as server:
        refused = server.get("/verify?require=customers:read", Authorization="DPoP x")
    assert refused.status == 500
    assert "its proxy does not describe the request" in refused.json()["error"]


def test_over_fastcgi_the_request_is_in_variables() -> None:
    with running(dpop_origins=(ORIGIN,)) as server:
        for missing in ({"REQUEST_METHOD": "GET"}, {"REQUEST_URI": PATH}):
            answer = server.cgi(AUTHSEC_VERIFY="require=customers:read", HTTP_AUTHORIZATION="DPoP x", **missing)
            assert answer.startswith("Status: 500 ")
            assert "proxy_misconfigured" in answer
    assert DOORS["verify-server over FastCGI"](dpop_verifier(), [Holder().sent()]) == [Outcome(200)]


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/a?b=c", "/a"),
        ("http://x/a", "/a"),
        ("HTTPS://x:1/a?b", "/a"),
        ("http://x", ""),
        ("*", "*"),
        ("//x/a", "//x/a"),
    ],
)
def test_the_path_of_a_request_target(target: str, path: str) -> None:
    assert path_of(target) == path
