"""Tokens that are bound to a key, at an API: who gets in, what the challenge says, what the metadata announce."""

from __future__ import annotations

from typing import Any

import pytest
from authsec import ConfigError, InsufficientScope, InvalidToken, SeveralAuthorities
from authsec.asgi import BearerAuth
from authsec.gate import Gate, Response
from authsec.jose import PrivateKey
from authsec.jose.dpop import PROOF_ALGORITHMS
from authsec.verifier import DpopRequest, TokenVerifier
from authsec.verifier.key_binding import sent_path
from authsec.wsgi import BearerAuth as WsgiAuth

from .bound_requests import DOORS, ORIGIN, PATH, URL, Holder, Outcome, Sent, by_dpop, dpop_verifier, through_asgi
from .fake_keys import AUDIENCE, UNFOLLOWED, FakeClock, key_set, token, verifier_of
from .speaking_asgi import call, connect, speak

METADATA = "/.well-known/oauth-protected-resource"
ALGS = f'algs="{" ".join(PROOF_ALGORITHMS)}"'
AROUND = f'realm="{AUDIENCE}", resource_metadata="{AUDIENCE}{METADATA}"'

doors = pytest.mark.parametrize("door", DOORS)


@doors
def test_a_bound_token_with_its_proof_and_a_bearer_token_get_in(door: str) -> None:
    holder = Holder()
    requests = [
        holder.sent(),
        holder.sent(),
        Sent((("Authorization", f"Bearer {token()}"),)),
        by_dpop(holder.token(), holder.proof(holder.token(), method="POST"), method="POST"),
    ]
    assert DOORS[door](dpop_verifier(), requests) == [Outcome(200)] * 4


@doors
@pytest.mark.parametrize("path", ["/a%20b", "/a%2Fb", "/%C3%BC", "/a%40b:c", "/~user", "/A+b", "/"])
def test_any_path_that_a_client_sends(door: str, path: str) -> None:
    holder = Holder()
    bound = holder.token()
    assert DOORS[door](dpop_verifier(), [by_dpop(bound, holder.proof(bound, url=ORIGIN + path), path=path)]) == [
        Outcome(200)
    ]


@doors
def test_with_dpop_required_a_bearer_token_is_refused(door: str) -> None:
    holder = Holder()
    requests = [holder.sent(), Sent((("Authorization", f"Bearer {token()}"),)), Sent()]
    let_in, bearer, nobody = DOORS[door](dpop_verifier(dpop_required=True), requests)
    assert let_in == Outcome(200)
    assert (bearer.status, bearer.reason) == (401, "token_not_bound")
    assert bearer.challenge.startswith(f'DPoP {AROUND}, error="invalid_token"')
    assert (nobody.status, nobody.reason) == (401, "token_missing")
    assert nobody.challenge == f"DPoP {AROUND}, {ALGS}"


@pytest.mark.parametrize("door", [name for name in DOORS if "django" not in name])
def test_without_the_setting_no_bound_token_is_accepted(door: str) -> None:
    holder = Holder()
    bound = holder.token()
    requests = [
        by_dpop(bound, holder.proof(bound)),
        Sent((("Authorization", f"Bearer {bound}"),)),
        by_dpop(token(), holder.proof(token())),
        Sent(),
    ]
    *refused, nobody = DOORS[door](verifier_of(), requests)
    assert nobody == Outcome(401, "token_missing", f"Bearer {AROUND}")
    assert {(found.status, found.reason) for found in refused} == {(401, "binding_not_supported")}
    assert all(found.challenge.startswith(f'Bearer {AROUND}, error="invalid_token"') for found in refused)


def test_the_scheme_is_case_insensitive() -> None:
    holder = Holder()
    bound = holder.token()
    sent = by_dpop(bound, holder.proof(bound))
    other = Sent((("authorization", f"dPoP  {bound}"), *sent.headers[1:]))
    assert through_asgi(dpop_verifier(), [other]) == [Outcome(200)]


def test_the_agent_of_a_bound_token_has_its_key() -> None:
    holder = Holder()
    bound = holder.token()
    request = DpopRequest(method="GET", path=PATH, proofs=[holder.proof(bound)])
    identity = dpop_verifier().verify(bound, request)
    assert identity.key_thumbprint == holder.key.public.thumbprint()
    assert identity.claims["cnf"] == {"jkt": identity.key_thumbprint}
    assert dpop_verifier().verify(token()).key_thumbprint is None


def test_a_verifier_without_the_setting_takes_no_request() -> None:
    holder = Holder()
    request = DpopRequest(method="GET", path=PATH, proofs=[holder.proof(token())])
    with pytest.raises(InvalidToken) as caught:
        verifier_of().verify(token(), request)
    assert caught.value.reason == "binding_not_supported"


@pytest.mark.parametrize(
    "origin",
    [
        "", "crm.example.com", "https://", "https://crm.example.com/customers", "https://crm.example.com?x",
        "https://user@crm.example.com", "ftp://crm.example.com", "https://crm.example.com:x", 7,
    ],
)  # fmt: skip
def test_origins_that_are_none(origin: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        dpop_verifier(dpop_origin=origin)
    assert caught.value.reason == "dpop_origin_invalid"


def test_required_without_an_origin() -> None:
    with pytest.raises(ConfigError) as caught:
        verifier_of(dpop_required=True)
    assert caught.value.reason == "dpop_origin_missing"


@pytest.mark.parametrize(
    "origin", ["https://crm.example.com/", "HTTPS://CRM.example.com", "https://crm.example.com:443"]
)
def test_an_origin_may_be_written_in_several_ways(origin: str) -> None:
    assert through_asgi(dpop_verifier(dpop_origin=origin), [Holder().sent()]) == [Outcome(200)]


# --- challenges and metadata -------------------------------------------------------------------------------------


def test_a_request_without_a_token_is_told_of_both_schemes() -> None:
    (nobody,) = through_asgi(dpop_verifier(), [Sent()])
    assert nobody.challenge == f"Bearer {AROUND}, DPoP {ALGS}"


def test_a_challenge_has_the_scheme_of_the_token() -> None:
    holder = Holder()
    bound, expired = holder.token(), holder.token(exp=1)
    requests = [
        by_dpop(expired, holder.proof(expired)),
        by_dpop(bound),
        Sent((("Authorization", f"Bearer {bound}"),)),
        Sent((("Authorization", f"Bearer {token(exp=1)}"),)),
    ]
    old, unproved, as_bearer, old_bearer = (found.challenge for found in through_asgi(dpop_verifier(), requests))
    assert old.startswith(f'DPoP {AROUND}, error="invalid_token"')
    assert old.endswith(ALGS)
    assert unproved.startswith(f'DPoP {AROUND}, error="invalid_dpop_proof"')
    assert 'reason="dpop_proof_invalid"' in unproved
    assert as_bearer.startswith(f'DPoP {AROUND}, error="invalid_token"')
    assert old_bearer.startswith(f'Bearer {AROUND}, error="invalid_token"')
    assert "algs" not in old_bearer


def test_an_action_that_a_bound_token_lacks() -> None:
    holder = Holder()
    bound = holder.token(scope="a:b", permissions=["a:b"])
    (refused,) = through_asgi(dpop_verifier(), [by_dpop(bound, holder.proof(bound))])
    assert (refused.status, refused.reason) == (403, "action_not_allowed")
    assert refused.challenge.startswith(f'DPoP {AROUND}, error="insufficient_scope"')
    with pytest.raises(InsufficientScope) as caught:
        verifier_of().verify(token()).require("a:b")
    assert caught.value.scheme == "Bearer"


def metadata_of(**settings: Any) -> dict[str, Any]:
    found = Gate(verifier=verifier_of(**settings)).enter(METADATA, ())
    assert isinstance(found, Response)
    return dict(found.body)


def test_metadata_announce_what_is_accepted() -> None:
    assert not {name for name in metadata_of() if name.startswith("dpop")}
    accepted = metadata_of(dpop_origin=ORIGIN)
    assert accepted["dpop_signing_alg_values_supported"] == list(PROOF_ALGORITHMS)
    assert "dpop_bound_access_tokens_required" not in accepted
    assert metadata_of(dpop_origin=ORIGIN, dpop_required=True)["dpop_bound_access_tokens_required"] is True


# --- other settings ----------------------------------------------------------------------------------------------


def of_issuer(issuer: str, **settings: Any) -> TokenVerifier:
    return TokenVerifier(issuer, AUDIENCE, keys=key_set(), clock=FakeClock().clock(), **UNFOLLOWED, **settings)


def test_of_several_authorities_each_has_its_own_setting() -> None:
    other = "https://authsec.partner.example"
    both = SeveralAuthorities(of_issuer("https://authsec.example.com", dpop_origin=ORIGIN), of_issuer(other))
    holder = Holder()
    foreign = holder.token(iss=other)
    outcomes = through_asgi(both, [holder.sent(), by_dpop(foreign, holder.proof(foreign))])  # type: ignore[arg-type] # a Verifier
    assert [found.reason for found in outcomes] == ["", "binding_not_supported"]
    assert (both.accepts_dpop, both.requires_dpop) == (True, False)


def test_other_issuers_pass_by_either_scheme() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b'{"reason": ""}'})

    holder = Holder()
    foreign = holder.token(iss="https://people.example")
    guarded = BearerAuth(app, verifier=dpop_verifier(), other_issuers="pass")
    without = BearerAuth(app, verifier=verifier_of(), other_issuers="pass")
    for each, reason in ((guarded, "dpop_proof_invalid"), (without, "binding_not_supported")):
        assert call(each, PATH, f"DPoP {foreign}").status == 200
        assert call(each, PATH, "DPoP opaque").status == 200
        refused = call(each, PATH, f"DPoP {holder.token()}")
        assert (refused.status, refused.body["reason"]) == (401, reason)
        assert call(each, PATH, f"DPoP {foreign}, Bearer {token()}").status == 400
    assert call(guarded, PATH, f"Basic dXNlcjpwYXNz, DPoP {holder.token()}").status == 400


def test_the_handshake_of_a_websocket_is_a_get_request() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})

    holder = Holder()
    bound = holder.token()
    guarded = BearerAuth(app, verifier=dpop_verifier())

    def shaken(proof: str) -> str:
        async def with_proof(scope: Any, receive: Any, send: Any) -> None:
            await guarded({**scope, "headers": [*scope["headers"], (b"dpop", proof.encode())]}, receive, send)

        answer: str = connect(with_proof, PATH, f"DPoP {bound}")[0]["type"]
        return answer

    assert shaken(holder.proof(bound)) == "websocket.accept"
    assert shaken(holder.proof(bound, method="POST")) == "websocket.close"


def test_a_server_of_wsgi_that_does_not_pass_on_the_target() -> None:
    """Then `%2F` and `/` are the same, and a reserved character has to be sent as it is."""
    holder = Holder()
    bound = holder.token()

    def answered(path: str, sent: str) -> str:
        environ = {
            "REQUEST_METHOD": "GET", "PATH_INFO": path, "HTTP_AUTHORIZATION": f"DPoP {bound}",
            "HTTP_DPOP": holder.proof(bound, url=ORIGIN + sent),
        }  # fmt: skip
        begun: list[str] = []
        guarded = WsgiAuth(lambda _, start: start("200 OK", []) or [b""], verifier=dpop_verifier())
        guarded(environ, lambda status, _: begun.append(status))
        return begun[0]

    assert answered("/a b/\xc3\xbc", "/a%20b/%C3%BC") == "200 OK"
    assert answered("/users/a@b", "/users/a@b") == "200 OK"
    assert answered("/a/b", "/a/b") == "200 OK"
    assert answered("/a/b", "/a/c") == "401 Unauthorized"


@pytest.mark.parametrize(
    ("path", "candidates", "found"),
    [
        (b"/a b", ["/a%20b"], "/a%20b"),
        (b"/a b", ["/a%20b?c=d"], "/a%20b"),
        (b"/a b", [b"/a%20b"], "/a%20b"),
        (b"/a", [None, "/other", "/%61"], "/%61"),
        (b"/a b", ["http://evil.example/a%20b"], "/a%20b"),
        (b"/mounted/a", ["/a"], "/mounted/a"),
        (b"/\xff", [], "/%FF"),
    ],
)
def test_the_path_as_it_was_sent(path: bytes, candidates: list[object], found: str) -> None:
    assert sent_path(path, *candidates) == found


def test_keys_of_every_kind_of_agent() -> None:
    keys = [PrivateKey.generate_rsa(), PrivateKey.generate_ec("P-384"), PrivateKey.generate_ed25519()]
    assert through_asgi(dpop_verifier(), [Holder(key).sent() for key in keys]) == [Outcome(200)] * 3
    assert URL == "https://crm.example.com/customers/42"


@pytest.mark.parametrize(
    ("prefix", "path", "raw"),
    [
        ("", "/a b", "/a%20b"),
        ("/a", "/a b", "/a%20b"),
        ("/api", "/a b", "/a%20b"),  # FastAPI(root_path=…): the server does not have the prefix
        ("/api", "/api/a b", "/api/a%20b"),  # uvicorn --root-path, or a mounted application
        ("/api", "/api/a b", None),
    ],
)
def test_a_prefix_that_a_proxy_has_removed(prefix: str, path: str, raw: str | None) -> None:
    holder = Holder()
    bound = holder.token()
    wanted = f"{ORIGIN}{prefix}/a%20b"

    def answered(url: str) -> int:
        headers = [(b"authorization", f"DPoP {bound}".encode()), (b"dpop", holder.proof(bound, url=url).encode())]
        scope = {"type": "http", "method": "GET", "path": path, "root_path": prefix, "headers": headers}
        if raw is not None:
            scope["raw_path"] = raw.encode()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})

        status: int = speak(BearerAuth(app, verifier=dpop_verifier()), scope, [])[0]["status"]
        return status

    assert answered(wanted) == 200
    assert answered(f"{ORIGIN}/other/a%20b") == 401
