"""Stock OAuth clients call an API of ours with tokens that are bound to their key (DPoP, RFC 9449 §7)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from authsec.jose import PrivateKey

from ..bound_crm import AUDIENCE, crm, free_port
from .catalogue import OPENID_CLIENT, REQUESTS_OAUTH2CLIENT, each

# Arguments: the issuer, the client's id and secret, and the API's URL. Prints the statuses of two requests, the body of
# the first, and the status of a request with the token alone.
PROGRAM = """
import json, sys
import requests
from requests_oauth2client import ClientSecretPost, OAuth2Client
issuer, client_id, secret, url = sys.argv[1:]
client = OAuth2Client.from_discovery_endpoint(
    issuer + "/.well-known/oauth-authorization-server",
    issuer=issuer,
    auth=ClientSecretPost(client_id, secret),
    dpop_bound_access_tokens=True,
    testing=True,
)
token = client.client_credentials(scope="customers:read")
answers = [requests.get(each, auth=token, timeout=20) for each in (url, url + "?page=2")]
stolen = requests.get(url, headers={"Authorization": "DPoP " + token.access_token}, timeout=20)
statuses = [answer.status_code for answer in answers]
found = {"statuses": statuses, "body": answers[0].json(), "stolen": stolen.status_code}
print(json.dumps({**found, "jkt": token.dpop_key.dpop_jkt}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protected:
    """An authority, an agent with a secret, and an API that takes bound tokens only."""

    issuer: str
    client_id: str
    secret: str
    url: str

    @property
    def arguments(self) -> tuple[str, ...]:
        return self.issuer, self.client_id, self.secret, self.url

    def check(self, printed: str) -> None:
        found = json.loads(printed)
        assert (found["statuses"], found["stolen"]) == ([200, 200], 401)
        assert found["body"] == {"id": "42", "key": found["jkt"]}


@pytest.fixture(scope="module")
def protected(serving: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Protected]:
    with serving(tmp_path_factory.mktemp("authority"), "") as serve:
        its = serve()
        its.post("apis", name="CRM", identifier=AUDIENCE)
        public = PrivateKey.generate_ec().public.to_pem().decode()
        agent = its.agent("Night Owl", platform="key", public_key=public)
        secret = its.post(f"clients/{agent.client_id}/proofs", platform="secret")["client_secret"]
        role = its.role("Support", "customers:read")
        its.delegate(role, agent, "customers:read", audiences=[AUDIENCE], require_dpop=True)
        with crm(its.url, free_port(), dpop_required=True) as url:
            yield Protected(issuer=its.url, client_id=agent.client_id, secret=secret, url=f"{url}/customers/42")


@pytest.mark.parametrize("library", each([REQUESTS_OAUTH2CLIENT]))
def test_requests_oauth2client(library: Any, protected: Protected, foreign_python: Any) -> None:
    done = foreign_python.run(PROGRAM, *protected.arguments)
    assert done.returncode == 0, done.stderr
    protected.check(done.stdout)


@pytest.mark.parametrize("library", each([OPENID_CLIENT]))
def test_openid_client_of_npm(library: Any, protected: Protected, foreign_node: Any) -> None:
    done = foreign_node.run("dpop_resource_client.mjs", *protected.arguments)
    assert done.returncode == 0, done.stderr
    protected.check(done.stdout)
