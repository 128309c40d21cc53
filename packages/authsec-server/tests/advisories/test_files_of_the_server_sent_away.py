"""An administrator of the console registers a cluster of their own, and has a file of the server sent there.

Who registers a trusted issuer says which host is asked, and with which file. So the file is named within one folder
that the operator keeps for this; and what does not look like a token, such as a private key, is not sent at all.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from api_server import CREDENTIALS, OWN_TOKEN, ApiServer
from authsec_server.issuers.cluster_client import MAX_BYTES, CredentialsUnusable, read_credentials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trusted_issuers import agent, shows, trust
from workload_evidence import kubernetes

HELPER = (("k8s:ns", "production"), ("k8s:sa", "customer-support-sa"))


@pytest.fixture
def server(peers: Any, peer: Callable[..., Any], tmp_path: Path) -> ApiServer:
    (tmp_path / "credentials").mkdir()
    (tmp_path / "secret").write_text("of-the-server")
    return ApiServer(peers, peer, tmp_path / "credentials")


def test_no_name_leads_out_of_the_folder(house: Any, server: ApiServer) -> None:
    door = house(local_operator=True, **server.settings).door()
    asked = {"name": "C", "kind": "kubernetes", "issuer": "https://k.example.com", "keys_from": "discovery"}
    for name in ("../secret", "/etc/passwd", "..", ".", "", ".hidden", "a/b", "a\\b", "token\n", "%2e%2e%2fsecret"):
        answer = door.post("/authsec/api/v1/issuers", json=asked | server.asked_for(credentials=name))
        assert (answer.status_code, answer.json()["field"]) == (400, "credentials"), name


@given(name=st.text(max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_database_names_only_that_folder_is_read(name: str, server: ApiServer) -> None:
    for path in (f"../{name}", f"../secret{name}", f"/{name}", name):
        try:
            assert read_credentials(server.folder, path) == OWN_TOKEN
        except (CredentialsUnusable, ValueError):
            continue  # refused: the property is about what is read
        assert path == CREDENTIALS


NO_TOKEN = [
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEI\n-----END PRIVATE KEY-----\n",
    "root:x:0:0:root:/root:/bin/bash\n",
    "two\ntokens\n",
    "schl\u00fcssel",
    "a" * (MAX_BYTES + 1),
    "token\r\nX-Injected: header",
    " \n",
    "",
]


def test_what_is_no_token_is_not_sent_and_not_quoted(
    house: Any, server: ApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    its, issuer = house(**server.settings), kubernetes()
    trust(its, issuer, may_look_up=True, **server.asked_for())
    client_id, door = agent(its, issuer, *HELPER), its.door()
    logged = ""
    for content in NO_TOKEN:
        server.write(content)
        assert shows(its, client_id, issuer.token(), door=door).status_code == 503, content[:20]
        logged += capsys.readouterr().out
        assert "cluster-a.token" in logged  # once: all of them are one outage
        assert not content.strip() or content.strip() not in logged
    assert server.its.requests == []


def test_a_link_within_the_folder_is_the_operators_own(server: ApiServer) -> None:
    """Kubernetes mounts every token as a link to where the newest one is."""
    (server.folder / "..data").mkdir()
    (server.folder / "..data" / "token").write_text("mounted\n")
    (server.folder / "token").symlink_to("..data/token")
    assert read_credentials(server.folder, "token") == "mounted"
    with pytest.raises(CredentialsUnusable):
        read_credentials(server.folder, "..data")
    with pytest.raises(CredentialsUnusable):
        read_credentials(None, "token")
