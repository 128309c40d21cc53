"""Stock OAuth clients get tokens from the token endpoint, configured as their docs say, and understand its refusals."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from authsec import TokenVerifier
from authsec.jose import PrivateKey, parse_compact, sign_compact
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from .catalogue import (
    AUTHLIB,
    HTTPX_AUTH,
    OAUTH4WEBAPI,
    OAUTH_KEY,
    OAUTH_SECRET,
    OAUTH_WORKLOAD,
    OPENID_CLIENT,
    REQUESTS_OAUTH2CLIENT,
    REQUESTS_OAUTHLIB,
    ROOT,
    Client,
    each,
)
from .recording import RecordVerdict

# Argument: the issuer and the requests, as JSON. Prints the token or the error of each.
PROGRAM = """
import json, os, sys, urllib.request
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # http, on loopback
{imports}
def ask(metadata, method, client_id, secret, scope, resource):
{function}
issuer, requests_ = json.loads(sys.argv[1])
with urllib.request.urlopen(issuer + "/.well-known/oauth-authorization-server", timeout=10) as answer:
    metadata = json.load(answer)
outcomes = []
for request in requests_:
    try:
        outcomes.append({{"token": ask(metadata, **request)}})
    except Refused as error:
        outcomes.append({{"error": code_of(error)}})
print(json.dumps(outcomes))
"""
LIBRARIES = {
    AUTHLIB: (
        """
from authlib.integrations.base_client import OAuthError as Refused
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc.jwk import ECKey
code_of = lambda error: error.error
""",
        """
    if method == "private_key_jwt":
        secret = ECKey.import_key(secret)
    if method == "jwt-bearer":
        session = OAuth2Session(client_id, token_endpoint_auth_method="none", scope=scope or None)
        grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
        return session.fetch_token(metadata["token_endpoint"], grant_type=grant, assertion=secret)["access_token"]
    session = OAuth2Session(client_id, secret, scope=scope or None, token_endpoint_auth_method=method)
    session.register_client_auth_method(PrivateKeyJWT(metadata["issuer"], alg="ES256"))
    more = {"resource": resource} if resource else {}
    return session.fetch_token(metadata["token_endpoint"], grant_type="client_credentials", **more)["access_token"]
""",
    ),
    REQUESTS_OAUTHLIB: (
        """
from oauthlib.oauth2 import BackendApplicationClient, OAuth2Error as Refused
from requests_oauthlib import OAuth2Session
code_of = lambda error: error.error
""",
        """
    session = OAuth2Session(client=BackendApplicationClient(client_id, scope=scope or None))
    where = {"include_client_id": True} if method == "client_secret_post" else {}
    more = where | ({"resource": resource} if resource else {})
    return session.fetch_token(metadata["token_endpoint"], client_id=client_id, client_secret=secret, **more)[
        "access_token"
    ]
""",
    ),
    REQUESTS_OAUTH2CLIENT: (
        """
from jwskate import Jwk
from requests_oauth2client import ClientSecretBasic, ClientSecretPost, EndpointError as Refused, OAuth2Client
from requests_oauth2client import PrivateKeyJwt, PublicApp
code_of = lambda error: error.error
""",
        """
    if method == "private_key_jwt":
        key = Jwk.from_pem(secret).with_kid_thumbprint()
        auth = PrivateKeyJwt(client_id, key, alg="ES256", aud=metadata["issuer"])
    elif method == "jwt-bearer":
        auth = PublicApp(client_id)
    else:
        auth = {"client_secret_basic": ClientSecretBasic, "client_secret_post": ClientSecretPost}[method](
            client_id, secret
        )
    url = metadata["issuer"] + "/.well-known/oauth-authorization-server"
    client = OAuth2Client.from_discovery_endpoint(url, issuer=metadata["issuer"], auth=auth, testing=True)
    more = {"resource": resource} if resource else {}
    if method == "jwt-bearer":
        return str(client.jwt_bearer(secret, **({"scope": scope} if scope else {})).access_token)
    return str(client.client_credentials(scope=scope or None, **more).access_token)
""",
    ),
    HTTPX_AUTH: (
        """
import httpx
from httpx_auth import InvalidGrantRequest as Refused, OAuth2ClientCredentials
code_of = lambda error: str(error).partition(":")[0]
""",
        """
    more = ({"scope": scope} if scope else {}) | ({"resource": resource} if resource else {})
    auth = OAuth2ClientCredentials(metadata["token_endpoint"], client_id, secret, **more)
    sent = []
    api = httpx.MockTransport(lambda request: sent.append(request) or httpx.Response(204))
    httpx.Client(transport=api, auth=auth).get("https://crm.example.com")
    return sent[0].headers["Authorization"].removeprefix("Bearer ")
""",
    ),
}
NPM = (OPENID_CLIENT, OAUTH4WEBAPI)
BY_SECRET = {  # how each library is told which method to use
    AUTHLIB: {
        "client_secret_basic": "OAuth2Session(id, secret)",
        "client_secret_post": "token_endpoint_auth_method=…",
    },
    REQUESTS_OAUTHLIB: {
        "client_secret_basic": "fetch_token(url, client_id=…, client_secret=…)",
        "client_secret_post": "include_client_id=True",
    },
    REQUESTS_OAUTH2CLIENT: {
        "client_secret_basic": "auth=ClientSecretBasic(id, secret)",
        "client_secret_post": "ClientSecretPost",
    },
    HTTPX_AUTH: {"client_secret_basic": "OAuth2ClientCredentials(url, id, secret)"},
    OPENID_CLIENT: {
        "client_secret_post": "ClientSecretPost(secret)",
        "client_secret_basic": "ClientSecretBasic(secret)",
    },
    OAUTH4WEBAPI: {
        "client_secret_post": "ClientSecretPost(secret)",
        "client_secret_basic": "ClientSecretBasic(secret)",
    },
}
BY_KEY = {
    AUTHLIB: 'register_client_auth_method(PrivateKeyJWT(issuer, alg="ES256"))',
    REQUESTS_OAUTH2CLIENT: 'PrivateKeyJwt(id, Jwk.from_pem(pem).with_kid_thumbprint(), alg="ES256", aud=issuer)',
    **dict.fromkeys(NPM, "PrivateKeyJwt(key)"),
}
BY_WORKLOAD = {
    AUTHLIB: "fetch_token(url, grant_type=…jwt-bearer, assertion=token)",
    REQUESTS_OAUTH2CLIENT: "auth=PublicApp(id)` and `jwt_bearer(token)",
    OPENID_CLIENT: "None()` and `genericGrantRequest(server, …jwt-bearer, { assertion })",
    OAUTH4WEBAPI: "None()` and `genericTokenEndpointRequest(…, …jwt-bearer, { assertion })",
}
CHALLENGED = "OAUTH_WWW_AUTHENTICATE_CHALLENGE"  # the code of their WWWAuthenticateChallengeError
AUDIENCE = "https://crm.example.com"


JOBS = PrivateKey.generate_ec()
PAGE = ROOT / "docs" / "oauth-libraries.md"
# The section, the library, and the program of the page.
PROGRAMS = re.compile(r"^(?:## ([^\n]+)|### ([^\n]+)|```(python|js)\n(.*?)^```)$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A token request of a client."""

    method: str
    client_id: str
    secret: str
    scope: str = ""
    resource: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """An authority, and an agent of it that has a secret and a key pair of its own making."""

    url: str
    slug: str
    client_id: str
    secret: str
    pem: str

    def request(self, method: str, **changes: str) -> Asked:
        """A request that is granted, with these changes."""
        secret = self.pem if method == "private_key_jwt" else self.secret
        return Asked(**{"method": method, "client_id": self.slug, "secret": secret} | changes)

    def job(self, job: str = "nightly") -> str:
        """The token that a job of the trusted issuer has."""
        now = int(time.time())
        claims = {
            "iss": "https://ci.example.com",
            "sub": job,
            "job": job,
            "aud": self.url,
            "iat": now,
            "exp": now + 300,
        }
        return sign_compact({"kid": "ci"}, {**claims, "iat": now, "exp": now + 300}, JOBS)


@pytest.fixture(scope="module")
def registered(serving: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registered]:
    """One authority with one agent for all of them."""
    private_key = ec.generate_private_key(ec.SECP256R1())
    public = private_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    with serving(tmp_path_factory.mktemp("authority"), "") as serve:
        its = serve()
        agent = its.agent("Night Owl", platform="key", public_key=public)
        secret = its.post(f"clients/{agent.client_id}/proofs", platform="secret")["client_secret"]
        its.delegate(its.role("Support", "customers:read"), agent, "customers:read", audiences=[AUDIENCE])
        keys = {"keys": [{**JOBS.public.to_jwk(), "kid": "ci", "use": "sig"}]}
        its.post(
            "issuers",
            name="Our CI",
            kind="oidc",
            issuer="https://ci.example.com",
            claims={"ci:job": "job"},
            keys_from="given",
            given_keys=keys,
        )
        its.post(
            f"clients/{agent.client_id}/proofs", platform="oidc", selectors=[{"key": "ci:job", "value": "nightly"}]
        )
        pem = private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        yield Registered(url=its.url, slug="night-owl", client_id=agent.client_id, secret=secret, pem=pem)


Ask = Callable[[Sequence[Asked]], list[str]]


@pytest.fixture
def outcomes(library: Client, registered: Registered, request: pytest.FixtureRequest) -> Ask:
    """The client of each token that an API accepts, or the error of each refusal, all in one process."""

    def ask(asked: Sequence[Asked]) -> list[str]:
        argument = json.dumps([registered.url, [asdict(each) for each in asked]])
        if library in NPM:
            done = request.getfixturevalue("foreign_node").run("token_client.mjs", library.name, argument)
        else:
            imports, function = LIBRARIES[library]
            program = PROGRAM.format(imports=imports, function=function.strip("\n"))
            done = request.getfixturevalue("foreign_python").run(program, argument)
        assert done.returncode == 0, done.stderr
        with closing(TokenVerifier(issuer=registered.url, audience=AUDIENCE, revocations="until_exp")) as verifier:
            return [
                verifier.verify(outcome["token"]).client_id if "token" in outcome else outcome["error"]
                for outcome in json.loads(done.stdout)
            ]

    return ask


@pytest.mark.parametrize("library", each([*BY_SECRET], rarely=[REQUESTS_OAUTHLIB, HTTPX_AUTH]))
def test_a_stock_client_gets_a_token_by_its_secret(
    library: Client, registered: Registered, outcomes: Ask, record_verdict: RecordVerdict
) -> None:
    methods, mine = BY_SECRET[library], registered.client_id
    granted = [
        registered.request(method, **changes)
        for method in methods
        for changes in ({}, {"client_id": mine}, {"scope": "customers:read", "resource": AUDIENCE})
    ]
    refused = {
        "invalid_client": {"secret": "not the secret"},
        "invalid_scope": {"scope": "customers:delete"},
        "invalid_target": {"resource": "https://other.example"},
    }
    asked = [*granted, *(registered.request(next(iter(methods)), **changes) for changes in refused.values())]
    expected = [mine] * len(granted) + [*refused]
    if library in NPM:
        asked.append(registered.request("client_secret_basic", secret="not the secret"))
        expected.append(CHALLENGED)
    assert outcomes(asked) == expected
    sent = ", ".join(f"{method} (`{setting}`)" for method, setting in methods.items())
    told = ", ".join(f"`{code}`" for code in refused)
    challenge = ", and the challenge to client_secret_basic" if library in NPM else ""
    record_verdict(library, OAUTH_SECRET, f"gets a token: {sent}; reports {told}{challenge}")


@pytest.mark.parametrize("library", each([*BY_KEY], rarely=[REQUESTS_OAUTH2CLIENT, OAUTH4WEBAPI]))
def test_a_stock_client_gets_a_token_by_its_key(
    library: Client, registered: Registered, outcomes: Ask, record_verdict: RecordVerdict
) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    others = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    asked = [
        registered.request("private_key_jwt"),
        registered.request("private_key_jwt", client_id=registered.client_id),
        registered.request("private_key_jwt", scope="customers:read", resource=AUDIENCE),
        registered.request("private_key_jwt", secret=others),
        registered.request("private_key_jwt", scope="customers:delete"),
    ]
    expected = [registered.client_id] * 3 + ["invalid_client", "invalid_scope"]
    assert outcomes(asked) == expected
    told = f"gets a token: private_key_jwt (`{BY_KEY[library]}`); reports `invalid_client`, `invalid_scope`"
    record_verdict(library, OAUTH_KEY, told)


@pytest.mark.parametrize("library", each([*BY_WORKLOAD], rarely=[REQUESTS_OAUTH2CLIENT, OAUTH4WEBAPI]))
def test_a_stock_client_gets_a_token_by_the_token_of_its_workload(
    library: Client, registered: Registered, outcomes: Ask, record_verdict: RecordVerdict
) -> None:
    asked = [
        registered.request("jwt-bearer", secret=registered.job()),
        registered.request("jwt-bearer", secret=registered.job(), scope="customers:read"),
        registered.request("jwt-bearer", secret=registered.job("another")),
        registered.request("jwt-bearer", secret=registered.job(), scope="customers:delete"),
    ]
    expected = [registered.client_id] * 2 + ["invalid_grant", "invalid_scope"]
    assert outcomes(asked) == expected
    told = f"gets a token: jwt-bearer (`{BY_WORKLOAD[library]}`); reports `invalid_grant`, `invalid_scope`"
    record_verdict(library, OAUTH_WORKLOAD, told)


def _programs_of_the_page() -> Iterator[Any]:
    section = library = ""
    for found in PROGRAMS.finditer(PAGE.read_text("utf-8")):
        section, library = found[1] or section, found[2] or library
        if found[3]:
            yield pytest.param(found[3], found[4], id=f"{library} {section}")


@pytest.mark.soak
@pytest.mark.parametrize(("language", "program"), [*_programs_of_the_page()])
def test_each_program_of_the_page_runs_as_it_is_printed(
    language: str, program: str, registered: Registered, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    files = {"night-owl.pem": registered.pem, "agent-secret": f"{registered.secret}\n", "ci-token": registered.job()}
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")
        program = program.replace(f'"{name}"', json.dumps(str(tmp_path / name)))
    program = re.sub('"(secretive|nightly)"', f'"{registered.slug}"', program)
    program = program.replace("http://127.0.0.1:7468", registered.url)
    if language == "js":
        done = request.getfixturevalue("foreign_node").run("--input-type=module", "--eval", program)
    else:
        done = request.getfixturevalue("foreign_python").run(program)
    assert done.returncode == 0, done.stderr
    assert parse_compact(done.stdout.strip()).claims["client_id"] == registered.client_id
