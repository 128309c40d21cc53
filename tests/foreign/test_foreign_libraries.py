"""JWT libraries that are not ours verify delegation tokens, given the issuer, the audience and the algorithm alone.

Issuer to metadata (RFC 8414 §3), metadata to `jwks_uri`, `kid` to key, and then what each library checks by itself. The
key set has keys of all three algorithms. Most libraries take the whole set and find the key.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from .catalogue import AUTHLIB, EXPRESS, JOSE_NPM, JOSERFC, JWCRYPTO, PYJWT, PYTHON_JOSE, TRIED, VERIFIES, Client, each
from .recording import RecordVerdict

TRIES = """
import json, sys, urllib.request
def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)
{function}
outcomes = []
for issuer, document, audience, algorithm, token in json.loads(sys.argv[1]):
    metadata = get(issuer + "/.well-known/" + document)
    assert metadata["issuer"] == issuer
    try:
        outcomes.append({{"claims": verified(metadata, issuer, audience, algorithm, token)}})
    except Exception as error:
        outcomes.append({{"error": f"{{type(error).__name__}}: {{error}}"}})
print(json.dumps(outcomes))
"""
LIBRARIES = {
    PYJWT: """
import jwt
def verified(metadata, issuer, audience, algorithm, token):
    key = jwt.PyJWKClient(metadata["jwks_uri"]).get_signing_key_from_jwt(token)
    options = {"require": ["exp", "iat", "nbf", "iss", "aud", "sub", "jti"]}
    return jwt.decode(token, key, algorithms=[algorithm], issuer=issuer, audience=audience, options=options)
""",
    AUTHLIB: """
from authlib.jose import JsonWebKey, JsonWebToken
def verified(metadata, issuer, audience, algorithm, token):
    wanted = {"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": audience}}
    keys = JsonWebKey.import_key_set(get(metadata["jwks_uri"]))
    claims = JsonWebToken([algorithm]).decode(token, keys, claims_options=wanted)
    claims.validate()
    return claims
""",
    JOSERFC: """
from joserfc import jwt
from joserfc.jwk import KeySet
def verified(metadata, issuer, audience, algorithm, token):
    keys = KeySet.import_key_set(get(metadata["jwks_uri"]))
    found = jwt.decode(token, keys, algorithms=[algorithm])
    wanted = {"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": audience}}
    jwt.JWTClaimsRegistry(**wanted).validate(found.claims)
    return found.claims
""",
    JWCRYPTO: """
from jwcrypto import jwk, jwt
def verified(metadata, issuer, audience, algorithm, token):
    keys = jwk.JWKSet.from_json(json.dumps(get(metadata["jwks_uri"])))
    wanted = {"iss": issuer, "aud": audience, "exp": None, "nbf": None}
    return json.loads(jwt.JWT(jwt=token, key=keys, algs=[algorithm], check_claims=wanted).claims)
""",
    PYTHON_JOSE: """
from jose import jwt
def verified(metadata, issuer, audience, algorithm, token):
    kid = jwt.get_unverified_header(token)["kid"]
    key = next(key for key in get(metadata["jwks_uri"])["keys"] if key["kid"] == kid)
    return jwt.decode(token, key, algorithms=[algorithm], issuer=issuer, audience=audience)
""",
}
DOCUMENTS = ("oauth-authorization-server", "openid-configuration")
ALGORITHMS = ("RS256", "ES256", "EdDSA")
NPM = {JOSE_NPM: "jose_client.mjs", EXPRESS: "express_api.mjs"}
UNSUPPORTED = {PYTHON_JOSE: {"EdDSA"}}
Verify = Callable[[Sequence["Try"]], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def its(serving: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An authority with an API for each algorithm, whose identifier is the algorithm in lower case."""
    with serving(tmp_path_factory.mktemp("authority"), "") as serve:
        running = serve()
        for algorithm in ALGORITHMS:
            running.post("apis", name=algorithm, identifier=algorithm.lower(), signing_algorithm=algorithm)
        yield running


@dataclass(frozen=True, slots=True)
class Try:
    """A token, the algorithm with which it was signed, and what a library is to take it for."""

    signed: str
    document: str
    audience: str
    algorithm: str
    token: str


@pytest.fixture
def verify(library: Client, its: Any, request: pytest.FixtureRequest) -> Verify:
    """Let the library try tokens, all in one process: the claims or the error of each."""
    runner = request.getfixturevalue("foreign_node" if library in NPM else "foreign_python")
    program = NPM[library] if library in NPM else TRIES.format(function=LIBRARIES[library])

    def run(tries: Sequence[Try]) -> list[dict[str, Any]]:
        cases = [(its.url, each.document, each.audience, each.algorithm, each.token) for each in tries]
        done = runner.run(program, json.dumps(cases))
        assert done.returncode == 0, done.stderr
        outcomes: list[dict[str, Any]] = json.loads(done.stdout)
        return outcomes

    return run


@pytest.mark.parametrize("library", each(TRIED[VERIFIES], rarely=[AUTHLIB, JOSERFC, JWCRYPTO, PYTHON_JOSE]))
def test_a_foreign_library_verifies_from_discovery_alone(
    library: Client, its: Any, verify: Verify, record_verdict: RecordVerdict
) -> None:
    agent = its.agent(f"For {library.name}")
    audiences = [algorithm.lower() for algorithm in ALGORITHMS]
    role = its.role(f"Role for {library.name}", "customers:read")
    its.delegate(role, agent, "customers:read", audiences=audiences)
    good, of_others, confused = list[Try](), list[Try](), list[Try]()
    for algorithm in ALGORITHMS:
        token = its.ask(agent, resource=algorithm.lower()).json()["token"]
        documents = DOCUMENTS if algorithm == "RS256" else DOCUMENTS[:1]
        good += [Try(algorithm, document, algorithm.lower(), algorithm, token) for document in documents]
        of_others.append(Try(algorithm, DOCUMENTS[0], "another-api", algorithm, token))
        confused += [
            Try(algorithm, DOCUMENTS[0], algorithm.lower(), other, token) for other in ALGORITHMS if other != algorithm
        ]
    outcomes = dict(zip(tries := [*good, *of_others, *confused], verify(tries), strict=True))
    unsupported = UNSUPPORTED.get(library, set())
    for tried in good:
        client = outcomes[tried].get("claims", {}).get("client_id")
        assert client == (None if tried.signed in unsupported else agent.client_id), outcomes[tried]
    for tried in of_others:
        assert "aud" in outcomes[tried]["error"].lower() or tried.signed in unsupported, outcomes[tried]
    for tried in confused:
        assert "error" in outcomes[tried]
    named = [algorithm for algorithm in ALGORITHMS if algorithm not in unsupported]
    told = f"{', '.join(named[:-1])} and {named[-1]}"
    record_verdict(library, VERIFIES, f"verifies {told}; refuses a token for another audience")
