"""Stock OAuth clients read the authority's metadata (RFC 8414) and understand the refusal of its token endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .catalogue import (
    AUTHLIB,
    METADATA,
    OPENID_CLIENT,
    OPENID_METADATA,
    REQUESTS_OAUTH2CLIENT,
    REQUESTS_OAUTHLIB,
    Client,
    each,
)
from .recording import RecordVerdict

# Arguments: the issuer. Each prints the code of the refusal.
DISCOVER = """
import json, os, sys, urllib.request
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # http, on loopback
issuer = sys.argv[1]
url = issuer + "/.well-known/oauth-authorization-server"
with urllib.request.urlopen(url, timeout=10) as answer:
    metadata = json.load(answer)
"""
CLIENTS = {
    AUTHLIB: """
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
AuthorizationServerMetadata(metadata).validate()
try:
    OAuth2Session("stock", "not a secret").fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
except OAuthError as error:
    print(error.error)
""",
    REQUESTS_OAUTHLIB: """
from oauthlib.oauth2 import BackendApplicationClient, OAuth2Error
from requests_oauthlib import OAuth2Session
session = OAuth2Session(client=BackendApplicationClient("stock"))
try:
    session.fetch_token(metadata["token_endpoint"], client_id="stock", client_secret="not a secret")
except OAuth2Error as error:
    print(error.error)
""",
    REQUESTS_OAUTH2CLIENT: """
from requests_oauth2client import EndpointError, OAuth2Client
given = {"client_id": "stock", "client_secret": "not a secret", "testing": True}
client = OAuth2Client.from_discovery_endpoint(url, issuer=issuer, **given)
try:
    client.client_credentials()
except EndpointError as error:
    print(error.error)
""",
}
READS = {
    AUTHLIB: "validates the metadata, and ",
    REQUESTS_OAUTHLIB: "",  # the program reads the metadata for it
    REQUESTS_OAUTH2CLIENT: "reads the metadata, and ",
}


@pytest.fixture(scope="module")
def issuer(serving: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of one authority for all of them."""
    with serving(tmp_path_factory.mktemp("authority"), "") as serve:
        yield serve().url


@pytest.mark.parametrize("library", each(list(CLIENTS)))
def test_a_stock_oauth_client_of_python(
    library: Client, issuer: str, foreign_python: Any, record_verdict: RecordVerdict
) -> None:
    done = foreign_python.run(DISCOVER + CLIENTS[library], issuer)
    assert done.stdout == "invalid_client\n", done.stdout + done.stderr
    record_verdict(library, METADATA, f"{READS[library]}reports `invalid_client`")


@pytest.mark.parametrize("client", each([OPENID_CLIENT]))
@pytest.mark.parametrize(
    ("algorithm", "tried"),
    [("oauth2", METADATA), pytest.param("oidc", OPENID_METADATA, marks=pytest.mark.soak)],
)
def test_openid_client_of_npm(
    client: Client, algorithm: str, tried: str, issuer: str, foreign_node: Any, record_verdict: RecordVerdict
) -> None:
    done = foreign_node.run("oauth_client.mjs", issuer, algorithm)
    assert done.stdout == "invalid_client 401\n", done.stdout + done.stderr
    record_verdict(client, tried, "reads the metadata, and reports `invalid_client`")
