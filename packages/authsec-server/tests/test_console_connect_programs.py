"""The Connect tab for programs that are not Python: JavaScript, any OAuth client, and MCP clients."""

from __future__ import annotations

from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from authsec.jose import PrivateKey
from authsec_server.console.clients.oauth_clients import INSTALL_JAVASCRIPT, OAuthClient, signing_algorithm
from pages import Page, get
from starlette.testclient import TestClient

House = Any
API = "/authsec/api/v1"
AUDIENCE = "https://crm.example.com/mcp"
ISSUER = "http://127.0.0.1:7468"
ACTIONS = ["customers:list", "customers:read"]


@pytest.fixture
def opened(house: Callable[..., House]) -> House:
    """An authority at whose machine we sit."""
    return house(local_operator=True)


@pytest.fixture
def door(opened: House) -> TestClient:
    """The browser of its operator."""
    client: TestClient = opened.door()
    return client


def client_with(
    door: TestClient, *, require_dpop: bool = False, audiences: tuple[str, ...] = (AUDIENCE,), **proof: Any
) -> str:
    """Onboard a client with this proof; delegate two actions to it."""
    made = door.post(f"{API}/clients", json={"name": "Night Owl", **proof})
    assert made.status_code == 201, made.text
    client_id = str(made.json()["client_id"])
    door.post(f"{API}/roles", json={"name": "Support", "actions": ACTIONS}).raise_for_status()
    values = {"target_type": "MCP server", "actions": ACTIONS, "max_duration": 900, "audiences": [*audiences]}
    values |= {"require_dpop": require_dpop}
    door.post(f"{API}/delegations", json={"role": "support", "client": client_id, **values}).raise_for_status()
    return client_id


def public(key: PrivateKey) -> str:
    return key.public.to_pem().decode()


def connect(door: TestClient, client_id: str) -> Page:
    return get(door, f"/console/clients/{client_id}/connect")


def settings(page: Page) -> dict[str, str]:
    """The names and values of the settings. Those of an MCP client repeat some."""
    parts = page.html.split("<dt><code>")[1:]
    return {part.partition("</code>")[0]: unescape(part.split("<code>")[1].partition("</code>")[0]) for part in parts}


def codes(page: Page) -> list[str]:
    return [unescape(part.partition("</code>")[0]) for part in page.html.split('<pre tabindex="0"><code>')[1:]]


def test_any_oauth_client_finds_its_settings(door: TestClient) -> None:
    client_id = client_with(door, platform="key", public_key=public(PrivateKey.generate_ec()))
    found = settings(connect(door, client_id))
    assert found == {
        "issuer": ISSUER,
        "token_endpoint": f"{ISSUER}/oauth/token",
        "grant_type": "client_credentials",
        "client_id": client_id,
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": "ES256",
        "scope": "customers:list customers:read",
        "resource": AUDIENCE,
        "server URL": AUDIENCE,
    }
    assert "Many refuse plain http" in connect(door, client_id).text


def test_settings_name_an_api_where_there_are_several(door: TestClient) -> None:
    page = connect(door, client_with(door, platform="secret", audiences=(AUDIENCE, "ledger")))
    assert settings(page)["resource"] == AUDIENCE
    assert "The token is for this API alone." in page.text
    assert "Other APIs: ledger ." in page.text


DESK, TICKETS, SECOND = "https://desk.example.com/api", "https://desk.example.com/mcp", "https://wiki.example.com/mcp"


def client_with_apis(door: TestClient, *apis: tuple[str, str, str]) -> str:
    """Onboard a client with a secret, and one delegation for each API: identifier, kind and action."""
    client_id = str(door.post(f"{API}/clients", json={"name": "Owl", "platform": "secret"}).json()["client_id"])
    for number, (identifier, kind, action) in enumerate(apis):
        described = [{"action": action, "description": "Read"}]
        api = {"name": f"Api {number}", "kind": kind, "identifier": identifier, "actions": described}
        door.post(f"{API}/apis", json=api).raise_for_status()
        door.post(f"{API}/roles", json={"name": f"Role {number}", "actions": [action]}).raise_for_status()
        values = {"target_type": "MCP server", "actions": [action], "max_duration": 900, "audiences": [identifier]}
        values |= {"role": f"role-{number}", "client": client_id}
        door.post(f"{API}/delegations", json=values).raise_for_status()
    return client_id


def test_an_mcp_client_gets_the_url_of_an_mcp_server(door: TestClient) -> None:
    agent = client_with_apis(
        door,
        (DESK, "api", "desk:read"),
        (TICKETS, "mcp_server", "tickets:read"),
        (SECOND, "mcp_server", "wiki:read"),
    )
    page = connect(door, agent)
    assert settings(page)["server URL"] == TICKETS
    assert f"Other MCP servers of this client: {SECOND} ." in page.text
    mcp = [code for code in codes(page) if "@modelcontextprotocol/sdk" in code or "mcp.client" in code]
    assert [TICKETS in code and DESK not in code for code in mcp] == [True, True]


def test_a_client_without_an_mcp_server_gets_no_server_url(door: TestClient) -> None:
    page = connect(door, client_with_apis(door, (DESK, "api", "desk:read")))
    assert "server URL" not in settings(page)
    assert "No trust delegation of this agent is for an MCP server." in page.text
    assert "are under Any OAuth client ." in page.text
    assert not any("@modelcontextprotocol/sdk" in code or "mcp.client" in code for code in codes(page))


def test_settings_of_a_client_with_several_apis_get_a_token(door: TestClient) -> None:
    agent = client_with_apis(door, (DESK, "api", "desk:read"), (TICKETS, "mcp_server", "tickets:read"))
    page = connect(door, agent)
    found = settings(page)
    assert (found["scope"], found["resource"]) == ("desk:read", DESK)
    assert "Without scope , the token has all of these" not in page.text
    assert "Required: the client has several APIs." in page.text
    assert f"Other APIs: {TICKETS} ." in page.text
    sentence = f"For another API of this agent ( {TICKETS} ), change DOWNSTREAM_URL , scope and resource ."
    assert page.text.count(sentence) == 7, "each framework's code, and JavaScript"
    test = get(door, f"/console/clients/{agent}/test?scope={found['scope']}&resource={found['resource']}")
    assert "invalid_target" not in test.text


def test_a_client_with_a_secret_authenticates_with_it(door: TestClient) -> None:
    page = connect(door, client_with(door, platform="secret"))
    assert settings(page)["token_endpoint_auth_method"] == "client_secret_basic"
    mcp = [code for code in codes(page) if "@modelcontextprotocol/sdk" in code or "mcp.client" in code]
    assert ["agent-secret" in code for code in mcp] == [True, True]


def test_the_note_about_the_python_sdk_is_beside_its_code(door: TestClient) -> None:
    page = connect(door, client_with(door, platform="secret"))
    assert page.text.index("@modelcontextprotocol/sdk") < page.text.index("OAuthTokenError")
    assert page.text.index("OAuthTokenError") < page.text.index("import asyncio from pathlib")


def test_a_client_that_the_token_endpoint_refuses_is_told_so(door: TestClient) -> None:
    client_id = client_with(door, platform="unattested")
    page = connect(door, client_id)
    assert "token_endpoint_auth_method" not in settings(page)
    assert page.text.count("has no key and no secret, so the token endpoint refuses it") == 2
    assert page.links["Add a key or a secret"] == f"/console/clients/{client_id}/proofs/add"
    assert len([code for code in codes(page) if code.startswith("openssl genpkey")]) == 1, "nothing of ours is needed"
    assert page.links["key pair"] == "#key-pair"
    assert "@modelcontextprotocol/sdk" not in page.text


def test_the_typescript_sdk_is_not_given_a_key_that_it_cannot_use(door: TestClient) -> None:
    page = connect(door, client_with(door, platform="key", public_key=public(PrivateKey.generate_ed25519())))
    assert "cannot sign with this agent's Ed25519 key" in page.text
    assert "uv run authsec keygen agent-rsa.pem --kind rsa" in codes(page)
    typescript, python = page.html.partition("<h2>2. Code</h2>")[2].split('<div class="panel panel-')[1:3]
    assert "<code>mcpAuthProvider</code> of <code>authsec-js</code> can" in typescript
    assert ["OAuthTokenError" in each for each in (typescript, python)] == [False, True]
    assert not any("PrivateKeyJwtProvider" in code for code in codes(page))
    assert any('signing_algorithm="EdDSA"' in code for code in codes(page))


def test_code_for_a_delegation_that_requires_dpop_sends_bound_tokens(door: TestClient) -> None:
    """`tests/test_bound_tokens.py` runs the code."""
    public_key = public(PrivateKey.generate_ec())
    page = connect(door, client_with(door, platform="key", public_key=public_key, require_dpop=True))
    assert any(code.startswith("export") and 'export AUTHSEC_DPOP="1"' in code for code in codes(page))
    *programs, javascript = [code for code in codes(page) if "AuthSecClient(" in code or "AuthSecClient.from" in code]
    assert len(programs) == 6
    assert all("dpop=True" in code for code in programs)
    assert all("authsec.headers(" in code or "authsec.requests_auth(" in code for code in programs)
    assert "new AuthSecClient({ dpop: true });" in javascript
    assert not any("Bearer" in code or "mcp.client" in code for code in codes(page))
    assert settings(page)["dpop_bound_access_tokens"] == "true"
    assert "A stock MCP client gets a token" not in page.text
    assert "An MCP client that sends DPoP proofs gets a token" in page.text
    assert page.html.count("dpop_bound_access_tokens") == 2 * 2, "a setting and its copy button, in both tabs"
    assert "autogen_conversation.py" not in page.text, "it sends bearer tokens"


def test_a_client_without_a_key_is_told_that_the_sdk_binds_tokens_by_a_key(door: TestClient) -> None:
    client_id = client_with(door, platform="secret", require_dpop=True)
    page = connect(door, client_id)
    assert "The Python SDK needs a key pair for bound tokens." in page.text
    assert page.links["Add a key"] == f"/console/clients/{client_id}/proofs/add?platform=key"
    assert "The manifest has no key" not in page.text


def test_an_unattested_client_is_told_that_it_gets_no_bound_token(door: TestClient) -> None:
    client_id = client_with(door, platform="unattested", require_dpop=True)
    page = connect(door, client_id)
    assert "An unattested client gets no bound tokens." in page.text
    assert "Any proof of this client will do." not in page.text
    assert "Anybody who knows the Client ID can get" not in page.text
    page = get(door, f"/console/clients/{client_id}")
    assert "None gives an action" in page.text
    assert "The trust delegation of Support requires DPoP, so it accepts no unattested client." in page.text
    assert page.links["Add a proof"] == f"/console/clients/{client_id}/proofs/add"
    assert page.html.count(f'/console/clients/{client_id}/proofs/add"') == 2, "next to the proofs, and in the next step"
    assert "2 actions Grants nothing The trust delegation requires DPoP" in page.text, "in the list of permissions"
    assert "No live trust delegation accepts an unattested client, so the client gets no token." in page.text
    assert "Anybody who knows the Client ID can get" not in page.text


def test_the_permissions_of_a_ready_client_mark_those_that_it_never_gets(door: TestClient) -> None:
    client_id = client_with(door, platform="unattested", require_dpop=True)
    values = {"role": "support", "client": client_id, "target_type": "MCP server", "max_duration": 900}
    door.post(f"{API}/delegations", json=values | {"actions": ACTIONS[:1]}).raise_for_status()
    page = get(door, f"/console/clients/{client_id}")
    assert "Ready Unattested" in page.text
    assert page.text.count("Grants nothing") == 1
    assert "Anybody who knows the Client ID can get the client's tokens." in page.text
    added = {"platform": "key", "public_key": public(PrivateKey.generate_ec())}
    door.post(f"{API}/clients/{client_id}/proofs", json=added).raise_for_status()
    assert "Grants nothing" not in get(door, f"/console/clients/{client_id}").text


def test_code_of_a_ready_client_ignores_a_delegation_that_accepts_no_proof_of_it(door: TestClient) -> None:
    client_id = client_with(door, platform="unattested", require_dpop=True)
    values = {"role": "support", "client": client_id, "target_type": "MCP server", "max_duration": 900}
    values |= {"actions": ACTIONS[:1], "audiences": ["ledger"]}
    door.post(f"{API}/delegations", json=values).raise_for_status()
    page = connect(door, client_id)
    assert "DPoP" not in page.text
    assert "AUTHSEC_DPOP" not in page.html
    assert AUDIENCE not in page.text
    assert settings(page)["resource"] == "ledger"


def test_code_for_another_api_names_what_the_code_has(door: TestClient) -> None:
    client_id = client_with_apis(door, (DESK, "api", "desk:read"), (SECOND, "api", "wiki:read"))
    assert "change DOWNSTREAM_URL , scope and resource ." in connect(door, client_id).text
    added = {"platform": "key", "public_key": public(PrivateKey.generate_ec())}
    door.post(f"{API}/clients/{client_id}/proofs", json=added).raise_for_status()
    first, *_ = door.get(f"{API}/delegations").json()["items"]
    headers = {"If-Match": f'"{first["revision"]}"'}
    edit = {"excluded_proofs": ["key_pair"]}
    door.patch(f"{API}/delegations/{first['id']}", json=edit, headers=headers).raise_for_status()
    page = connect(door, client_id)
    assert "change DOWNSTREAM_URL and scope ." in page.text
    assert not any("resource" in code for code in codes(page))


def test_connect_says_once_for_all_programs_that_the_client_gets_no_token(door: TestClient) -> None:
    client_id = door.post(f"{API}/clients", json={"name": "Owl", "platform": "secret"}).json()["client_id"]
    before, _, after = connect(door, client_id).html.partition("This client gets no token now.")
    assert "Any OAuth client" in before
    assert "<section" not in before.rpartition('class="shells')[2]
    assert "This client gets no token now." not in after


def test_an_agent_in_pods_is_told_how_its_key_comes_into_the_pod(door: TestClient) -> None:
    """The manifest mounts the pod's token. The Python SDK binds no tokens by it."""
    keys = {"keys": [{**PrivateKey.generate_ec().public.to_jwk(), "kid": "one"}]}
    issuer = {"name": "Cluster", "issuer": "https://cluster.example.com", "given_keys": keys}
    door.post(f"{API}/issuers", json=issuer | {"kind": "kubernetes", "keys_from": "given"}).raise_for_status()
    selectors = [{"key": "k8s:ns", "value": "production"}, {"key": "k8s:sa", "value": "owl"}]
    page = connect(door, client_with(door, platform="kubernetes", selectors=selectors, require_dpop=True))
    assert "The manifest has no key: mount the key file in the pod, and set AUTHSEC_AGENT_KEY_FILE" in page.text
    assert "to its path and AUTHSEC_DPOP to 1 ." in page.text, "the smoke test has no other setting"


def test_javascript_installs_from_the_clone(door: TestClient) -> None:
    page = connect(door, client_with(door, platform="key", public_key=public(PrivateKey.generate_ec())))
    assert INSTALL_JAVASCRIPT in codes(page)
    (code,) = [code for code in codes(page) if "authsec-js" in code and "import" in code]
    assert 'authorizedFetch({ allowedOrigins: new URL(api).origin, scope: "customers:read" })' in code
    assert "`${api}/customers/42`" in code, "the path is that of the action"


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (PrivateKey.generate_ec("P-256"), "ES256"),
        (PrivateKey.generate_ec("P-384"), "ES384"),
        (PrivateKey.generate_ec("P-521"), "ES512"),
        (PrivateKey.generate_ed25519(), "EdDSA"),
        (PrivateKey.generate_rsa(), "RS256"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_key_names_the_algorithm_that_libraries_sign_with(key: PrivateKey, algorithm: str) -> None:
    assert signing_algorithm(key.public.to_jwk()) == algorithm == key.algorithm


@pytest.mark.parametrize("algorithm", ["ES256", ""])
def test_the_python_code_is_python(algorithm: str) -> None:
    files = {"key_file": "agent-key.pem", "secret_file": "agent-secret"}
    for audience in (AUDIENCE, "crm", 'https://crm.example/"""'):
        client = OAuthClient(issuer=ISSUER, client_id="id", algorithm=algorithm, servers=(audience,), **files)
        compile(client.python_mcp, "connect", "exec")
