"""JWT libraries that are not ours verify delegation tokens, given the issuer, the audience and the algorithm alone.

Issuer to metadata (RFC 8414 §3), metadata to `jwks_uri`, `kid` to key, and then what each library checks by itself. The
key set has keys of all three algorithms. Most libraries take the whole set and find the key.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .catalogue import AUTHLIB, JOSE_NPM, JOSERFC, JWCRYPTO, PYJWT, PYTHON_JOSE, TRIED, VERIFIES, Client, each
from .recording import RecordVerdict

DISCOVER = """
import json, sys, urllib.request
issuer, document, audience, algorithm, token = sys.argv[1:]
def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)
metadata = get(issuer + "/.well-known/" + document)
assert metadata["issuer"] == issuer
"""
LIBRARIES = {
    PYJWT: """
import jwt
key = jwt.PyJWKClient(metadata["jwks_uri"]).get_signing_key_from_jwt(token)
options = {"require": ["exp", "iat", "nbf", "iss", "aud", "sub", "jti"]}
print(json.dumps(jwt.decode(token, key, algorithms=[algorithm], issuer=issuer, audience=audience, options=options)))
""",
    AUTHLIB: """
from authlib.jose import JsonWebKey, JsonWebToken
wanted = {"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": audience}}
keys = JsonWebKey.import_key_set(get(metadata["jwks_uri"]))
claims = JsonWebToken([algorithm]).decode(token, keys, claims_options=wanted)
claims.validate()
print(json.dumps(claims))
""",
    JOSERFC: """
from joserfc import jwt
from joserfc.jwk import KeySet
keys = KeySet.import_key_set(get(metadata["jwks_uri"]))
found = jwt.decode(token, keys, algorithms=[algorithm])
wanted = {"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": audience}}
jwt.JWTClaimsRegistry(**wanted).validate(found.claims)
print(json.dumps(found.claims))
""",
    JWCRYPTO: """
from jwcrypto import jwk, jwt
keys = jwk.JWKSet.from_json(json.dumps(get(metadata["jwks_uri"])))
wanted = {"iss": issuer, "aud": audience, "exp": None, "nbf": None}
print(jwt.JWT(jwt=token, key=keys, algs=[algorithm], check_claims=wanted).claims)
""",
    PYTHON_JOSE: """
from jose import jwt
kid = jwt.get_unverified_header(token)["kid"]
key = next(key for key in get(metadata["jwks_uri"])["keys"] if key["kid"] == kid)
print(json.dumps(jwt.decode(token, key, algorithms=[algorithm], issuer=issuer, audience=audience)))
""",
}
DOCUMENTS = ("oauth-authorization-server", "openid-configuration")
ALGORITHMS = ("RS256", "ES256", "EdDSA")
UNSUPPORTED = {PYTHON_JOSE: {"EdDSA"}}
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def its(serving: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An authority with an API for each algorithm, whose identifier is the algorithm in lower case."""
    with serving(tmp_path_factory.mktemp("authority"), "") as serve:
        running = serve()
        for algorithm in ALGORITHMS:
            running.post("apis", name=algorithm, identifier=algorithm.lower(), signing_algorithm=algorithm)
        yield running


@pytest.fixture
def verify(library: Client, request: pytest.FixtureRequest) -> Run:
    """Let the library verify a token; its arguments are those of the programs above."""
    if library is JOSE_NPM:
        foreign_node = request.getfixturevalue("foreign_node")
        return lambda *arguments: foreign_node.run("jose_client.mjs", *arguments)
    foreign_python = request.getfixturevalue("foreign_python")
    return lambda *arguments: foreign_python.run(DISCOVER + LIBRARIES[library], *arguments)


@pytest.mark.parametrize("library", each(TRIED[VERIFIES], rarely=[JWCRYPTO]))
def test_a_foreign_library_verifies_from_discovery_alone(
    library: Client, its: Any, verify: Run, record_verdict: RecordVerdict
) -> None:
    agent = its.agent(f"For {library.name}")
    audiences = [algorithm.lower() for algorithm in ALGORITHMS]
    role = its.role(f"Role for {library.name}", "customers:read")
    its.delegate(role, agent, "customers:read", audiences=audiences)
    verified = []
    for algorithm in ALGORITHMS:
        token = its.ask(agent, resource=algorithm.lower()).json()["token"]
        for document in DOCUMENTS[: len(DOCUMENTS) if algorithm == "RS256" else 1]:
            done = verify(its.url, document, algorithm.lower(), algorithm, token)
            if algorithm in UNSUPPORTED.get(library, set()):
                assert done.returncode != 0, done.stdout
                continue
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["client_id"] == agent.client_id
            verified.append(algorithm)
        refused = verify(its.url, DOCUMENTS[0], "another-api", algorithm, token)
        assert refused.returncode != 0
        assert "aud" in refused.stderr.lower() or algorithm not in verified
        for other in ALGORITHMS:
            if other != algorithm:
                assert verify(its.url, DOCUMENTS[0], algorithm.lower(), other, token).returncode != 0
    named = list(dict.fromkeys(verified))
    told = f"{', '.join(named[:-1])} and {named[-1]}"
    record_verdict(library, VERIFIES, f"verifies {told}; refuses a token for another audience")
