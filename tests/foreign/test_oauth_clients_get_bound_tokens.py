"""Stock OAuth clients get tokens that are bound to their key (DPoP, RFC 9449), with a nonce and without."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from authsec.jose import PrivateKey, parse_compact

from .catalogue import OAUTH_DPOP, OPENID_CLIENT, REQUESTS_OAUTH2CLIENT, each
from .recording import RecordVerdict

# Arguments: the issuer, the client's name and its private key. Prints the token, its type and the key's thumbprint,
# and the error of a request without DPoP.
PROGRAM = """
import json, sys
from jwskate import Jwk
from requests_oauth2client import EndpointError, OAuth2Client, PrivateKeyJwt
issuer, client_id, pem = sys.argv[1:]
client = OAuth2Client.from_discovery_endpoint(
    issuer + "/.well-known/oauth-authorization-server",
    issuer=issuer,
    auth=PrivateKeyJwt(client_id, Jwk.from_pem(pem, kid="one"), alg="ES256", aud=issuer),
    dpop_bound_access_tokens=True,
    testing=True,
)
token = client.client_credentials(scope="customers:read")
try:
    error = client.client_credentials(dpop=False).token_type
except EndpointError as refused:
    error = refused.error
found = {"token": token.access_token, "type": token.token_type, "jkt": token.dpop_key.dpop_jkt, "error": error}
print(json.dumps(found))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """An authority, and an agent whose only delegation requires DPoP."""

    url: str
    client_id: str
    secret: str
    pem: str

    def check(self, printed: str) -> None:
        """The token is this agent's, and bound to the key that made the proof."""
        found = json.loads(printed)
        claims = parse_compact(found["token"]).claims
        assert (claims["client_id"], claims["cnf"]) == (self.client_id, {"jkt": found["jkt"]})
        assert (found["type"].lower(), found["error"]) == ("dpop", "invalid_dpop_proof")


@pytest.fixture(scope="module", params=["", "true"], ids=["without nonce", "with nonce"])
def registered(
    request: pytest.FixtureRequest, serving: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registered]:
    """One authority for all of them, which demands nonces or does not."""
    key = PrivateKey.generate_ec()
    settings = {"AUTHSEC_SERVER_DPOP_NONCE": request.param} if request.param else {}
    with serving(tmp_path_factory.mktemp("authority"), "") as serve:
        its = serve(**settings)
        agent = its.agent("Night Owl", platform="key", public_key=key.public.to_pem().decode())
        secret = its.post(f"clients/{agent.client_id}/proofs", platform="secret")["client_secret"]
        its.delegate(its.role("Support", "customers:read"), agent, "customers:read", require_dpop=True)
        yield Registered(url=its.url, client_id=agent.client_id, secret=secret, pem=key.to_pem().decode())


@pytest.mark.parametrize("library", each([REQUESTS_OAUTH2CLIENT]))
def test_requests_oauth2client(
    library: Any, registered: Registered, foreign_python: Any, record_verdict: RecordVerdict
) -> None:
    done = foreign_python.run(PROGRAM, registered.url, "night-owl", registered.pem)
    assert done.returncode == 0, done.stderr
    registered.check(done.stdout)
    settings = "`dpop_bound_access_tokens=True`"
    record_verdict(
        library, OAUTH_DPOP, f"gets a bound token ({settings}), also with a nonce; reports `invalid_dpop_proof`"
    )


@pytest.mark.parametrize("library", each([OPENID_CLIENT]))
def test_openid_client_of_npm(
    library: Any, registered: Registered, foreign_node: Any, record_verdict: RecordVerdict
) -> None:
    done = foreign_node.run("dpop_client.mjs", registered.url, registered.client_id, registered.secret)
    assert done.returncode == 0, done.stderr
    registered.check(done.stdout)
    settings = "`getDPoPHandle(config, keyPair)`"
    record_verdict(
        library, OAUTH_DPOP, f"gets a bound token ({settings}), also with a nonce; reports `invalid_dpop_proof`"
    )
