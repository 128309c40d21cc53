"""Three JWT libraries that are not ours verify a delegation token, given nothing but the issuer and the audience.

Issuer to metadata (RFC 8414 §3), metadata to `jwks_uri`, `kid` to key, and then what each library checks by itself.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from .catalogue import AUTHLIB, JWCRYPTO, PYJWT, TRIED, VERIFIES, Client, each
from .recording import RecordVerdict

DISCOVER = """
import json, sys, urllib.request
issuer, document, audience, token = sys.argv[1:]
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
print(json.dumps(jwt.decode(token, key, algorithms=["RS256"], issuer=issuer, audience=audience, options=options)))
""",
    AUTHLIB: """
from authlib.jose import JsonWebKey, JsonWebToken
wanted = {"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": audience}}
keys = JsonWebKey.import_key_set(get(metadata["jwks_uri"]))
claims = JsonWebToken(["RS256"]).decode(token, keys, claims_options=wanted)
claims.validate()
print(json.dumps(claims))
""",
    JWCRYPTO: """
from jwcrypto import jwk, jwt
keys = jwk.JWKSet.from_json(json.dumps(get(metadata["jwks_uri"])))
wanted = {"iss": issuer, "aud": audience, "exp": None, "nbf": None}
print(jwt.JWT(jwt=token, key=keys, algs=["RS256"], check_claims=wanted).claims)
""",
}
DOCUMENTS = ("oauth-authorization-server", "openid-configuration")


@pytest.mark.parametrize("library", each(TRIED[VERIFIES], rarely=[JWCRYPTO]))
def test_a_foreign_library_verifies_from_discovery_alone(
    library: Client, serve: Any, foreign_python: Any, record_verdict: RecordVerdict
) -> None:
    its = serve()
    agent = its.agent("Customer Support")
    its.delegate(its.role("Customers", "customers:read"), agent, "customers:read")
    token = its.ask(agent).json()["token"]
    program = DISCOVER + LIBRARIES[library]

    for document in DOCUMENTS:
        done = foreign_python.run(program, its.url, document, "authsec-api", token)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["client_id"] == agent.client_id

    refused = foreign_python.run(program, its.url, DOCUMENTS[0], "another-api", token)
    assert refused.returncode != 0
    assert "aud" in refused.stderr.lower()
    record_verdict(library, VERIFIES, "verifies the token; refuses a token for another audience")
