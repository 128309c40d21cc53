"""Stock OAuth clients get tokens that are bound to their key (DPoP, RFC 9449), and call an API of ours with them.

Each client does so at an authority that demands nonces, and at one that does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import pytest
from authsec.jose import PrivateKey, parse_compact

from ..bound_crm import AUDIENCE, crm
from .catalogue import OAUTH_DPOP, OPENID_CLIENT, REQUESTS_OAUTH2CLIENT, each
from .recording import RecordVerdict

# As dpop_client.mjs, with a key pair as the client's credential.
PROGRAM = """
import json, sys
import requests
from jwskate import Jwk
from requests_oauth2client import EndpointError, OAuth2Client, PrivateKeyJwt
told = []
for task in json.loads(sys.argv[1]):
    issuer, url = task["issuer"], task["url"]
    client = OAuth2Client.from_discovery_endpoint(
        issuer + "/.well-known/oauth-authorization-server",
        issuer=issuer,
        auth=PrivateKeyJwt(task["client_id"], Jwk.from_pem(task["pem"], kid="one"), alg="ES256", aud=issuer),
        dpop_bound_access_tokens=True,
        testing=True,
    )
    token = client.client_credentials(scope="customers:read")
    try:
        error = client.client_credentials(dpop=False).token_type
    except EndpointError as refused:
        error = refused.error
    answers = [requests.get(each, auth=token, timeout=20) for each in (url, url + "?page=2")]
    stolen = requests.get(url, headers={"Authorization": "DPoP " + token.access_token}, timeout=20)
    found = {"token": token.access_token, "type": token.token_type, "jkt": token.dpop_key.dpop_jkt, "error": error}
    statuses = [answer.status_code for answer in answers]
    told.append({**found, "statuses": statuses, "body": answers[0].json(), "stolen": stolen.status_code})
print(json.dumps(told))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """An authority, an agent whose only delegation requires DPoP, and an API that takes bound tokens only."""

    issuer: str
    client_id: str
    secret: str
    pem: str
    url: str


@pytest.fixture(scope="module")
def registered(serving: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Registered]]:
    """An authority that demands no nonce, and one that does."""
    key = PrivateKey.generate_ec()
    with ExitStack() as stack:
        made = []
        for settings in ({}, {"AUTHSEC_SERVER_DPOP_NONCE": "true"}):
            its = stack.enter_context(serving(tmp_path_factory.mktemp("authority"), ""))(**settings)
            its.post("apis", name="CRM", identifier=AUDIENCE)
            agent = its.agent("Night Owl", platform="key", public_key=key.public.to_pem().decode())
            secret = its.post(f"clients/{agent.client_id}/proofs", platform="secret")["client_secret"]
            role = its.role("Support", "customers:read")
            its.delegate(role, agent, "customers:read", audiences=[AUDIENCE], require_dpop=True)
            url = stack.enter_context(crm(its.url, dpop_required=True))
            made.append(
                Registered(
                    issuer=its.url,
                    client_id=agent.client_id,
                    secret=secret,
                    pem=key.to_pem().decode(),
                    url=f"{url}/customers/42",
                )
            )
        yield made


def check(registered: list[Registered], printed: str) -> None:
    """Each token is the agent's, and bound to the key that made the proof. Nobody else can use it."""
    for its, found in zip(registered, json.loads(printed), strict=True):
        claims = parse_compact(found["token"]).claims
        assert (claims["client_id"], claims["cnf"]) == (its.client_id, {"jkt": found["jkt"]})
        assert (found["type"].lower(), found["error"]) == ("dpop", "invalid_dpop_proof")
        assert (found["statuses"], found["stolen"]) == ([200, 200], 401)
        assert found["body"] == {"id": "42", "key": found["jkt"]}


@pytest.mark.parametrize("library", each([REQUESTS_OAUTH2CLIENT, OPENID_CLIENT]))
def test_a_stock_client_uses_bound_tokens(
    library: Any, registered: list[Registered], request: pytest.FixtureRequest, record_verdict: RecordVerdict
) -> None:
    tasks = json.dumps([asdict(each) for each in registered])
    if library is OPENID_CLIENT:
        done = request.getfixturevalue("foreign_node").run("dpop_client.mjs", tasks)
        settings = "`getDPoPHandle(config, keyPair)`"
    else:
        done = request.getfixturevalue("foreign_python").run(PROGRAM, tasks)
        settings = "`dpop_bound_access_tokens=True`"
    assert done.returncode == 0, done.stderr
    check(registered, done.stdout)
    record_verdict(
        library, OAUTH_DPOP, f"gets a bound token ({settings}), also with a nonce; reports `invalid_dpop_proof`"
    )
