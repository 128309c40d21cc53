"""An agent whose tokens are bound to a key of its process: the token request, and each request to an API."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import urllib3
from authsec import (
    AuthenticationError,
    AuthSecClient,
    ConfigError,
    DelegationDenied,
    InvalidResponse,
    KeyFile,
    TokenFile,
    TokenVerifier,
)
from authsec.asgi import BearerAuth, identity_of
from authsec.cli import commands
from authsec.clock import Clock
from authsec.jose import PrivateKey, parse_compact
from authsec.jose.dpop import read_proof
from authsec.keygen import write_key_pair
from authsec.smoke import Smoke
from authsec.testing import ThrowawayAuthority
from click.testing import CliRunner
from fake_authority import CLIENT_ID, oauth_refused, refused
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from .serving_asgi import asgi
from .speaking_http import SPEAKERS, Speaker

pytest_plugins = ["authsec.testing"]

Make = Callable[..., AuthSecClient]
API = "https://crm.example.com"
speakers = pytest.mark.parametrize("speaker", SPEAKERS, ids=lambda speaker: speaker.name)


@pytest.fixture
def key_file(tmp_path: Path, authority: Any) -> Path:
    """The agent's key, which the fake authority knows."""
    path = tmp_path / "agent.pem"
    write_key_pair(path, "ed25519")
    authority.agent_key = PrivateKey.from_pem(path.read_bytes()).public
    return path


@pytest.fixture
def bound(key_file: Path, make_client: Make) -> AuthSecClient:
    return make_client(credential=KeyFile(key_file), dpop=True)


# --- the token request -------------------------------------------------------------------------------------------


def test_a_token_is_bound_to_a_new_key_of_the_process(bound: AuthSecClient, authority: Any, key_file: Path) -> None:
    token = bound.get_token(scope="customers:read")
    assert (token.value, token.token_type, token.expires_in) == (authority.tokens[0], "DPoP", 3600)
    assert (token.permissions, token.audience) == (("customers:read",), ("authsec-api",))
    assert token.spiffe_id == f"spiffe://example.org/agent/{CLIENT_ID}"
    (asked,) = [seen for seen in authority.seen if seen.path == "/oauth/token"]
    binding = parse_compact(token.value).claims["cnf"]["jkt"]
    proof = read_proof(
        [asked.headers["DPoP"]], method="POST", url=f"{authority.issuer}/oauth/token", now=Clock().wall()
    )
    assert proof.thumbprint == binding != authority.agent_key.thumbprint()
    assert not authority.token_requests  # of the other endpoint
    assert bound.get_token(scope="customers:read") is token


def test_each_client_has_a_key_of_its_own(bound: AuthSecClient, key_file: Path, make_client: Make) -> None:
    other = make_client(credential=KeyFile(key_file), dpop=True)
    again, unpickled = copy.deepcopy(bound), pickle.loads(pickle.dumps(bound))  # noqa: S301 - made here
    keys = {
        parse_compact(client.get_delegation_token()).claims["cnf"]["jkt"] for client in (bound, other, again, unpickled)
    }
    assert len(keys) == 4
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(bound._proof_key)


def test_the_flag_by_environment(monkeypatch: pytest.MonkeyPatch, make_client: Make, authority: Any) -> None:
    assert not make_client().config.dpop
    for value, wanted in (("1", True), ("0", False), ("", False)):
        monkeypatch.setenv("AUTHSEC_DPOP", value)
        assert make_client().config.dpop is wanted
        assert AuthSecClient(base_url=authority.base_url, client_id=CLIENT_ID).config.dpop is wanted
    monkeypatch.setenv("AUTHSEC_DPOP", "1")
    assert not AuthSecClient(base_url=authority.base_url, client_id=CLIENT_ID, dpop=False).config.dpop
    monkeypatch.setenv("AUTHSEC_DPOP", "yes")
    with pytest.raises(ConfigError, match="AUTHSEC_DPOP must be 1"):
        make_client()
    with pytest.raises(ConfigError, match="not both"):
        AuthSecClient(make_client(dpop=True).config, dpop=True)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"token_type": "Bearer"}, "token_type is not DPoP"),
        ({"token_type": None}, "token_type is not DPoP"),
        ({"token_type": ["DPoP"]}, "token_type is not DPoP"),
        ({"access_token": None}, "no signed token"),
        ({"access_token": "a.b.c"}, "not a signed JWT"),
        ({"expires_in": None}, "expires_in"),
        ({"expires_in": 0}, "expired"),
    ],
)
def test_another_answer_is_refused(bound: AuthSecClient, authority: Any, changes: dict[str, Any], word: str) -> None:
    authority.next_answers = [lambda seen: authority.grant_bound(seen, **changes)]
    with pytest.raises(InvalidResponse, match=word):
        bound.get_delegation_token()


@pytest.mark.parametrize(
    ("claims", "word"),
    [
        ({"cnf": {"jkt": "A" * 43}}, "another key"),
        ({"cnf": None}, "another key"),
        ({"client_id": "11111111-1111-4111-8111-111111111111"}, "another agent"),
    ],
)
def test_a_token_of_another_binding_is_refused(
    bound: AuthSecClient, authority: Any, claims: dict[str, Any], word: str
) -> None:
    stolen = authority._token("customers:read", **claims)
    authority.next_answers = [lambda seen: authority.grant_bound(seen, access_token=stolen)]
    with pytest.raises(InvalidResponse, match=word):
        bound.get_delegation_token()


def test_the_type_is_compared_without_regard_to_case(bound: AuthSecClient, authority: Any) -> None:
    authority.next_answers = [lambda seen: authority.grant_bound(seen, token_type="dpop")]
    assert bound.get_token().token_type == "DPoP"


def test_a_nonce_is_sent_once_it_is_known(bound: AuthSecClient, authority: Any) -> None:
    authority.nonce = "first"
    assert bound.get_delegation_token() in authority.tokens
    assert len([seen for seen in authority.seen if seen.path == "/oauth/token"]) == 2
    assert len(authority.used_jtis) == 2  # an assertion is sent once
    bound.get_token(force_refresh=True)
    assert len([seen for seen in authority.seen if seen.path == "/oauth/token"]) == 3
    authority.nonce = "second"
    bound.get_token(force_refresh=True)
    assert len([seen for seen in authority.seen if seen.path == "/oauth/token"]) == 5


def test_a_nonce_is_followed_once_and_not_for_ever(bound: AuthSecClient, authority: Any) -> None:
    authority.next_answers = [oauth_refused("use_dpop_nonce", DPoP_Nonce=f"n{number}") for number in range(5)]
    with pytest.raises(AuthenticationError) as caught:
        bound.get_delegation_token()
    assert caught.value.reason == "use_dpop_nonce"
    assert len(authority.next_answers) == 3


@pytest.mark.parametrize("nonce", ['a"b', "a\\b", "a b", "n" * 600, ""])
def test_a_nonce_of_another_form_is_not_repeated(bound: AuthSecClient, authority: Any, nonce: str) -> None:
    authority.next_answers = [oauth_refused("use_dpop_nonce", DPoP_Nonce=nonce)] * 2
    with pytest.raises(AuthenticationError):
        bound.get_delegation_token()
    sent = [parse_compact(seen.headers["DPoP"], embedded_key=True) for seen in authority.seen if "DPoP" in seen.headers]
    assert all("nonce" not in proof.claims for proof in sent)


def test_refusals_are_understood(bound: AuthSecClient, authority: Any) -> None:
    authority.next_answers = [oauth_refused("invalid_dpop_proof")]
    with pytest.raises(AuthenticationError, match="did not accept this agent's DPoP proof") as caught:
        bound.get_delegation_token()
    assert caught.value.reason == "invalid_dpop_proof"
    assert "The proof came from: key file" in str(caught.value)
    authority.next_answers = [refused(400, "no_delegation")]
    with pytest.raises(DelegationDenied):
        bound.get_delegation_token()
    authority.next_answers = [refused(401, "attestation_invalid")]
    with pytest.raises(AuthenticationError):
        bound.get_delegation_token()


def test_an_agent_without_a_key_pair(make_client: Make, tmp_path: Path, authority: Any) -> None:
    with pytest.raises(ConfigError, match="This machine has no proof of identity") as caught:
        make_client(dpop=True).get_delegation_token()
    assert caught.value.reason == "dpop_needs_key_pair"
    path = tmp_path / "token"
    path.write_text("e30.e30.c2ln")
    path.chmod(0o600)
    with pytest.raises(ConfigError):
        make_client(credential=TokenFile(path), dpop=True).get_delegation_token()
    assert not [seen for seen in authority.seen if seen.path == "/oauth/token"]


def test_commands_of_the_sdk(
    bound: AuthSecClient, monkeypatch: pytest.MonkeyPatch, key_file: Path, authority: Any
) -> None:
    assert Smoke(bound).run() == 0
    monkeypatch.setenv("AUTHSEC_BASE_URL", authority.base_url)
    monkeypatch.setenv("AUTHSEC_AGENT_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("AUTHSEC_AGENT_KEY_FILE", str(key_file))
    monkeypatch.setenv("AUTHSEC_DPOP", "1")
    found = CliRunner().invoke(commands, ["doctor"]).output
    assert "AUTHSEC_DPOP is 1" in found
    assert "bound to     a key of this process (DPoP)" in found
    printed = CliRunner().invoke(commands, ["token"])
    assert printed.exit_code != 0
    words = " ".join(printed.output.split())
    assert "nobody can use a printed token. To test an API, send the request from Python with `requests_auth`" in words
    assert "If no trust delegation of this agent requires DPoP, set AUTHSEC_DPOP=0" in words


# --- requests to APIs --------------------------------------------------------------------------------------------


@dataclass
class BoundApi:
    """An API on a real socket that takes bound tokens only; `seen` are method, path and proof of each request."""

    url: str = ""
    seen: list[tuple[str, str, str | None]] = field(default_factory=list)


@contextmanager
def bound_api(verifier_at: Callable[[str], TokenVerifier]) -> Iterator[BoundApi]:
    api = BoundApi()

    async def show(request: Request) -> Response:
        identity_of(request).require("customers:read")
        return JSONResponse({"method": request.method, "body": (await request.body()).decode()})

    async def moved(request: Request) -> Response:
        return RedirectResponse(request.query_params["to"], int(request.query_params.get("status", 307)))

    routes = [Route("/customers/{id}", show, methods=["GET", "POST"]), Route("/moved", moved, methods=["GET", "POST"])]
    inner: Any = None

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            proof = headers.get(b"dpop")
            api.seen.append((scope["method"], scope["path"], None if proof is None else proof.decode()))
        await inner(scope, receive, send)

    with asgi(app_until := _Late()) as api.url:
        inner = BearerAuth(Starlette(routes=routes), verifier=verifier_at(api.url))
        app_until.app = app
        yield api


class _Late:
    """An application that is there only once the address of its server is known."""

    app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self.app(scope, receive, send)


@pytest.fixture
def agent(authsec_authority: ThrowawayAuthority, monkeypatch: pytest.MonkeyPatch) -> AuthSecClient:
    monkeypatch.setenv("AUTHSEC_DPOP", "1")
    client = AuthSecClient()
    authsec_authority.stand_in_for(client)
    authsec_authority.delegate("customers:read")
    return client


@pytest.fixture
def api(authsec_authority: ThrowawayAuthority) -> Iterator[BoundApi]:
    with bound_api(lambda url: authsec_authority.verifier(API, dpop_origin=url, dpop_required=True)) as running:
        yield running


@speakers
def test_each_request_carries_a_fresh_proof(speaker: Speaker, agent: AuthSecClient, api: BoundApi) -> None:
    auth = speaker.auth(agent, allowed_origins=[api.url], scope="customers:read")
    for path in ("/customers/42", "/customers/42?page=2", "/customers/a%20b", "/customers/%C3%BC"):
        assert speaker.send(auth, f"{api.url}{path}")[0] == 200, path
    assert speaker.send(auth, f"{api.url}/customers/42", b"text")[0] == 200
    assert speaker.send(auth, f"{api.url}/customers/42", (b"in ", b"pieces"))[0] == 200
    proofs = [proof for _, _, proof in api.seen]
    assert len(set(proofs)) == len(proofs) == 6


@speakers
def test_another_origin_gets_neither_token_nor_proof(speaker: Speaker, agent: AuthSecClient, api: BoundApi) -> None:
    auth = speaker.auth(agent, allowed_origins=["https://other.example"])
    assert speaker.send(auth, f"{api.url}/customers/42")[0] == 401
    assert api.seen == [("GET", "/customers/42", None)]


@speakers
@pytest.mark.parametrize(("status", "body", "method"), [(307, None, "GET"), (307, b"x", "POST"), (303, b"x", "GET")])
def test_a_redirect_within_the_origin_has_a_proof_of_its_own(
    speaker: Speaker,
    agent: AuthSecClient,
    api: BoundApi,
    authsec_authority: ThrowawayAuthority,
    status: int,
    body: bytes | None,
    method: str,
) -> None:
    auth = speaker.auth(agent, allowed_origins=[api.url])
    answer = speaker.send(auth, f"{api.url}/moved?to=/customers/42&status={status}", body)
    assert answer[0] == 200
    assert api.seen[-1][:2] == (method, "/customers/42")
    assert len(authsec_authority.asked) == 1  # it is the proof that differs, not the token


@speakers
def test_after_a_401_both_token_and_proof_are_new(
    speaker: Speaker, agent: AuthSecClient, api: BoundApi, authsec_authority: ThrowawayAuthority
) -> None:
    auth = speaker.auth(agent, allowed_origins=[api.url])
    assert speaker.send(auth, f"{api.url}/customers/42")[0] == 200
    authsec_authority.revoke(agent.get_delegation_token())
    assert speaker.send(auth, f"{api.url}/customers/42")[0] == 200
    assert len({proof for _, _, proof in api.seen}) == 3
    assert len(authsec_authority.asked) == 2


def test_a_stolen_token_is_worthless(agent: AuthSecClient, api: BoundApi) -> None:
    token = agent.get_delegation_token()
    thief = PrivateKey.generate_ec()
    url = f"{api.url}/customers/42"

    def answer(**headers: str) -> int:
        return urllib3.request("GET", url, headers=headers, retries=False).status

    from authsec.jose.dpop import make_proof

    forged = make_proof(thief, method="GET", url=url, now=Clock().wall(), jti="j1", access_token=token)
    assert answer(Authorization=f"Bearer {token}") == 401
    assert answer(Authorization=f"DPoP {token}") == 401
    assert answer(Authorization=f"DPoP {token}", DPoP=forged) == 401
    own = agent.headers(token, "GET", url)
    assert answer(**own) == 200
    assert answer(**own) == 401  # seen on the way, and replayed


def test_headers_for_an_http_client_of_ones_own(agent: AuthSecClient, api: BoundApi, make_client: Make) -> None:
    url = f"{api.url}/customers/42"
    for token in (agent.get_token(), agent.get_delegation_token()):
        headers = agent.headers(token, "POST", url)
        assert urllib3.request("POST", url, headers=headers, retries=False).status == 200
        assert "[hidden]" in repr(headers)
        assert str(agent.get_delegation_token()) not in repr(headers)
    client = make_client(dpop=False)
    bearer = client.get_token()
    assert client.headers(bearer, "GET", url) == {"Authorization": f"Bearer {bearer.value}"}


def test_a_verifier_of_the_program_keeps_its_setting_in_a_test(authsec_authority: ThrowawayAuthority) -> None:
    verifier = TokenVerifier("https://authsec.example.com", API, dpop_origin=API)
    authsec_authority.stand_in_for(verifier)
    assert verifier.accepts_dpop
    assert not verifier.requires_dpop
    assert verifier.binding is not None
    assert verifier.binding.origin == API


def test_the_throwaway_authority_refuses_a_request_without_a_proof(authsec_authority: ThrowawayAuthority) -> None:
    url = f"{authsec_authority.base_url}/authsec/oauth/token"
    answer = urllib3.request("POST", url, body="grant_type=client_credentials", retries=False)
    assert (answer.status, answer.json()["error"]) == (400, "invalid_dpop_proof")


@speakers
def test_a_redirect_to_another_origin_takes_the_token_from_the_request(
    speaker: Speaker, agent: AuthSecClient, api: BoundApi, authsec_authority: ThrowawayAuthority
) -> None:
    with bound_api(lambda url: authsec_authority.verifier(API, dpop_origin=url)) as elsewhere:
        auth = speaker.auth(agent, allowed_origins=[api.url], scope="customers:read")
        assert speaker.send(auth, f"{api.url}/moved?to={elsewhere.url}/customers/42")[0] == 401
        ((_, _, proof),) = elsewhere.seen
        # httpx drops the header Authorization alone. Without the token, the proof is worthless.
        assert proof is None or speaker.name != "requests"


def test_a_tool_gets_headers_for_its_token(agent: AuthSecClient, api: BoundApi) -> None:
    @agent.delegated(scope="customers:read")
    def show(customer: str, delegation_token: str) -> str:
        url = f"{api.url}/customers/{customer}"
        headers = agent.headers(delegation_token, "GET", url)
        return f"{urllib3.request('GET', url, headers=headers, retries=False).status} {headers['Authorization']}"

    assert show("42") == "200 DPoP [delegation token removed]"


def test_doctor_tells_an_agent_without_a_key_pair(authority: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHSEC_BASE_URL", authority.base_url)
    monkeypatch.setenv("AUTHSEC_AGENT_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("AUTHSEC_DPOP", "1")
    found = CliRunner().invoke(commands, ["doctor"])
    assert found.exit_code == 1
    assert "dpop_needs_key_pair" in found.output
    assert "unset AUTHSEC_DPOP" in found.output
