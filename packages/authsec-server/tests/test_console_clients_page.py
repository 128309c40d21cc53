"""The page of one client: what it is, how it proves itself, what it may do, what it did; Connect and Test."""

from __future__ import annotations

import json
import shlex
import subprocess
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import yaml
from authsec.jose import PrivateKey
from authsec_server.console.clients.connect import Connection
from authsec_server.console.clients.snippets import framework_codes
from authsec_server.sdk_wheels import SdkWheels
from pages import Page, get, selector_rows
from starlette.testclient import TestClient

House = Any
API = "/authsec/api/v1"
LIST = "/console/clients"
TOKEN = "/authsec/uflow/sdk/delegation-token"
NO_WHEELS = SdkWheels([], issuer="https://a.example")
CRM = {
    "name": "CRM",
    "identifier": "https://crm.example.com",
    "actions": [{"action": "customers:read", "description": "Read a customer"}],
}


def make(door: TestClient, noun: str, **what: Any) -> dict[str, Any]:
    answer = door.post(f"{API}/{noun}", json=what)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def delegate(door: TestClient, client: str, **what: Any) -> dict[str, Any]:
    role = f"role-of-{door.get(f'{API}/clients/{client}').json()['slug']}"
    values = {"target_type": "AutoGen AI agent", "actions": ["customers:read"], "max_duration": 900} | what
    return make(door, "delegations", role=role, client=client, **values)


def codes(page: Page) -> list[str]:
    """The blocks of code on the page, as they are copied."""
    return [unescape(part.partition("</code>")[0]) for part in page.html.split('<pre tabindex="0"><code>')[1:]]


def test_identity_and_every_way_to_it(door: TestClient, opened: House) -> None:
    client_id = opened.delegated_name("Open")
    for address in (f"{LIST}/{client_id}", f"{LIST}/open"):
        page = get(door, address)
        assert f"spiffe://authsec.internal/agent/{client_id}" in page.text
        assert "local operator" in page.text
        assert page.links["Connect"] == f"{address}/connect"
    assert get(door, f"{LIST}/nobody").status == 404
    assert get(door, f"{LIST}/nobody/connect").status == 404
    assert get(door, f"{LIST}/nobody/test").status == 404


def test_proofs_say_how_they_are_proved_and_when_they_were_used(door: TestClient, opened: House) -> None:
    agent = opened.delegated_agent()
    page = get(door, f"{LIST}/{agent.client_id}")
    assert "Proved by signature" in page.text
    assert agent.key.public.thumbprint() in page.text
    assert "Last used never" in page.text
    token = door.get(
        f"{TOKEN}?client_id={agent.client_id}", headers={"Authorization": f"Bearer {agent.assertion(opened.clock.at)}"}
    )
    assert token.status_code == 200, token.text
    assert "Last used just now" in get(door, f"{LIST}/{agent.client_id}").text  # before any roll-up
    assert "2026-11-25 12:00" in get(door, LIST).text.partition("Last token")[2]
    for path in ("/console/delegations", "/console/roles/role-of-customer-support"):
        assert "never" not in get(door, path).text.partition("Last used")[2].partition("Details")[0], path
    opened.clock.at += timedelta(minutes=5)
    assert "Last used 5 minutes ago" in get(door, f"{LIST}/{agent.client_id}").text


def test_effective_actions_are_traced_to_role_and_delegation(door: TestClient, opened: House) -> None:
    make(door, "apis", **CRM)
    client_id = opened.delegated_name("Open")
    second = delegate(door, client_id, actions=["customers:delete"], audiences=["crm"])
    page = get(door, f"{LIST}/{client_id}")
    assert "Read a customer" in page.text
    assert "https://crm.example.com" in page.text
    assert "15 minutes" in page.text
    assert page.links[second["id"][:8]] == f"/console/delegations/{second['id']}"
    assert page.links["Role of Open"].startswith("/console/roles/")
    assert "Role of Open → https://crm.example.com · 15 minutes · no end date · 1 action" in page.text
    assert '<span class="badge warn" title="The shared default' in page.html
    door.post(f"{API}/delegations/{second['id']}/disable")
    page = get(door, f"{LIST}/{client_id}")
    assert "1 trust delegation that is not live" in page.text
    door.post(f"{API}/clients/{client_id}/disable")
    assert "Once the client is enabled, it may do this:" in get(door, f"{LIST}/{client_id}").text


def test_who_has_no_delegation_is_led_to_one(door: TestClient) -> None:
    client = make(door, "clients", name="New", platform="unattested", kind="mcp_server")
    page = get(door, f"{LIST}/{client['client_id']}")
    assert "No trust delegation has been created for this client." in page.text
    way = f"/console/delegations/new?client={client['client_id']}&target_type=MCP+server"
    assert page.links["Create trust delegation"] == way


def test_refusals_show_reason_closest_miss_and_remedy(door: TestClient, opened: House) -> None:
    agent = opened.delegated_agent()
    proof = {"Authorization": f"Bearer {agent.assertion(opened.clock.at)}"}
    asked = f"{TOKEN}?client_id={agent.client_id}&scope=customers:read+customers:delete"
    assert door.get(asked, headers=proof).status_code == 403
    door.get(f"{TOKEN}?client_id={agent.client_id}")
    page = get(door, f"{LIST}/{agent.client_id}")
    assert "action_not_allowed" in page.text
    assert "Closest allowed request: scope=customers:read" in page.text
    assert "Allow it in a trust delegation" in page.text
    assert page.links["Trust delegations of the client"] == f"/console/delegations?client={agent.client_id}"
    assert "attestation_required" in page.text
    assert page.links["All activity"] == f"/console/activity?client={agent.client_id}"


def test_requests_are_charted_with_a_table_beside(door: TestClient, opened: House) -> None:
    client_id = opened.delegated_name("Open")
    assert "The client has not requested a token in this period." in get(door, f"{LIST}/{client_id}").text
    door.get(f"{TOKEN}?client_id={client_id}")
    door.get(f"{TOKEN}?client_id={client_id}")
    door.get(f"{TOKEN}?client_id={client_id}&scope=a:b")
    opened.clock.at += timedelta(minutes=1)
    page = get(door, f"{LIST}/{client_id}")
    assert '<svg class="chart"' in page.html
    assert "2 issued, 1 refused" in page.html
    assert "2026-11-25 2 1" in page.text


def test_connect_has_the_lines_with_this_clients_values(door: TestClient, opened: House) -> None:
    make(door, "apis", **CRM)
    agent = opened.delegated_agent(audiences=("crm",))
    page = get(door, f"{LIST}/{agent.client_id}/connect")
    bash, powershell = (next(code for code in codes(page) if code.startswith(start)) for start in ("export", "$env:"))
    assert bash.splitlines() == [
        'export AUTHSEC_BASE_URL="http://127.0.0.1:7468"',
        f'export AUTHSEC_AGENT_CLIENT_ID="{agent.client_id}"',
        'export AUTHSEC_AGENT_KEY_FILE="$PWD/agent-key.pem"',
        '[[ "${DOWNSTREAM_URL:-your-api}" != *your-api* ]] || export DOWNSTREAM_URL="https://crm.example.com"',
        "unset AUTHSEC_WORKLOAD_TOKEN_FILE AUTHSEC_AGENT_SECRET_FILE",
    ]
    assert powershell.splitlines()[1] == f'$env:AUTHSEC_AGENT_CLIENT_ID = "{agent.client_id}"'
    unset = '"$env:DOWNSTREAM_URL" -in "", "https://your-api.example.com"'
    assert f'if ({unset}) {{ $env:DOWNSTREAM_URL = "https://crm.example.com" }}' in powershell.splitlines()
    assert any('scope="customers:read")' in code for code in codes(page))
    assert "uv run python examples/smoke_local.py" in codes(page)
    assert any("pip install ./packages/authsec ./packages/authsec-autogen" in code for code in codes(page))
    assert "uv run authsec keygen agent-key.pem" in codes(page)


def test_where_several_apis_are_delegated_for_the_lines_name_one(door: TestClient, opened: House) -> None:
    make(door, "apis", **CRM)
    client_id = opened.delegated_name("Open")
    delegate(door, client_id, audiences=["crm"])
    page = get(door, f"{LIST}/{client_id}/connect")
    # Both APIs would do; which one it is depends on the delegations' random ids.
    (named,) = [
        name
        for name in ("authsec-api", "https://crm.example.com")
        if f'uv run authsec smoke --resource "{name}"' in codes(page)
    ]
    assert any(f'resource="{named}")' in code for code in codes(page))
    assert "export AUTHSEC_AGENT_KEY_FILE" not in page.text


def test_the_code_for_a_delegation_with_two_apis_is_about_one_of_them(door: TestClient, opened: House) -> None:
    for name, action in (("Orders", "customers:write"), ("Billing", "customers:read")):
        described = [{"action": action, "description": name}]
        make(door, "apis", name=name, identifier=f"https://{name.lower()}.example.com", actions=described)
    agent = opened.delegated_agent(audiences=("orders", "billing"))
    page = get(door, f"{LIST}/{agent.client_id}/connect")
    billing = "https://billing.example.com"
    assert f'DOWNSTREAM_URL="{billing}"' in page.html.replace("&#34;", '"')
    assert any(f'scope="customers:read", resource="{billing}")' in code for code in codes(page))
    assert f'uv run authsec smoke --resource "{billing}"' in codes(page)
    assert "https://orders.example.com" not in next(code for code in codes(page) if code.startswith("export"))


def test_who_cannot_prove_itself_is_told_at_connect(door: TestClient, tmp_path: Path) -> None:
    selectors = [{"key": "k8s:ns", "value": "production"}]
    make(door, "clients", name="Pod", platform="kubernetes", selectors=selectors)
    page = get(door, f"{LIST}/pod/connect")
    assert page.text.count("No trusted issuer can prove these selectors yet.") == 1
    its_data = f"--data {tmp_path}"
    assert f'uv run authsec issuers add kubernetes "Production" --from-kubeconfig {its_data}' in codes(page)
    assert f"AUTHSEC_ADMIN_KEY to a key with the role admin, and leave out {its_data} ." in page.text
    assert page.links["Create code"] == "#laptop"
    assert "uv run authsec keygen agent-key.pem" in codes(page)
    assert page.links["add a proof"] == f"{LIST}/pod/proofs/add"


def test_who_has_no_key_forgets_that_of_another_agent(door: TestClient, opened: House) -> None:
    client_id = opened.delegated_name("Open")
    page = get(door, f"{LIST}/{client_id}/connect")
    bash, powershell = (next(code for code in codes(page) if code.startswith(start)) for start in ("export", "$env:"))
    others = ("AUTHSEC_AGENT_KEY_FILE", "AUTHSEC_WORKLOAD_TOKEN_FILE", "AUTHSEC_AGENT_SECRET_FILE")
    assert bash.splitlines()[-1] == f"unset {' '.join(others)}"
    named = ", ".join(f"Env:{name}" for name in others)
    assert powershell.splitlines()[-1] == f"Remove-Item {named} -ErrorAction SilentlyContinue"
    assert 'export DOWNSTREAM_URL="${DOWNSTREAM_URL:-https://your-api.example.com}"' in bash.splitlines()
    assert 'if (-not $env:DOWNSTREAM_URL) { $env:DOWNSTREAM_URL = "https://your-api.example.com" }' in powershell
    assert "With those settings, this agent would be refused" in page.text
    assert "uv run authsec keygen agent-key.pem" in codes(page)


@pytest.mark.parametrize(
    ("actions", "wanted"),
    [
        (["customers:delete", "customers:list", "customers:read"], ', scope="customers:read")'),
        (["customers:delete", "customers:list"], ', scope="customers:list")'),
        (["customers:delete", "customers:readonly"], ")"),
    ],
)
def test_the_example_reads_and_asks_for_nothing_else(door: TestClient, actions: list[str], wanted: str) -> None:
    client = make(door, "clients", name="Open", platform="unattested")["client_id"]
    make(door, "roles", name="Role of Open", slug="role-of-open", actions=actions)
    delegate(door, client, actions=actions)
    page = get(door, f"{LIST}/open/connect")
    (line,) = [line for code in codes(page) for line in code.splitlines() if line.startswith("register_function(")]
    assert line.endswith(f"authsec=authsec{wanted}")
    decorated = [line for code in codes(page) for line in code.splitlines() if line.startswith("@authsec.delegated(")]
    assert [wanted.strip(", )") in line for line in decorated] == [True] * 4
    assert any("scope=" in line for line in decorated) is ("scope=" in wanted)
    assert "This client gets no token now" not in page.text


def connection(**values: Any) -> Connection:
    its = {"base_url": "https://a.example", "client_id": "id", "program": "authsec", "has_key": False}
    return Connection(**(its | values))


@pytest.mark.parametrize("audience", ["https://crm.example/$(id)`id`", "https://crm.example/\\x"])
def test_no_value_is_read_by_the_shell(audience: str) -> None:
    lines = connection(audience=audience).bash
    script = f'{lines}\nprintf %s "$DOWNSTREAM_URL"'
    told = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, timeout=10)
    assert told.stdout == audience
    smoke = connection(resource=audience).smoke
    assert shlex.split(smoke.replace("\\`", "`").replace("\\$", "$"))[-1] == audience


@pytest.mark.parametrize(
    ("audience", "before", "after"),
    [
        ("https://crm.example", "", "https://crm.example"),
        ("https://crm.example", "http://127.0.0.1:7469", "http://127.0.0.1:7469"),
        ("https://crm.example", "https://staging.crm.example", "https://staging.crm.example"),
        ("https://crm.example", "https://your-api.example.com", "https://crm.example"),
        ("crm", "", "https://your-api.example.com"),
        ("crm", "https://crm.example", "https://crm.example"),
    ],
)
def test_the_lines_keep_the_url_that_the_shell_has(audience: str, before: str, after: str) -> None:
    set_before = f'export DOWNSTREAM_URL="{before}"\n' if before else "unset DOWNSTREAM_URL\n"
    script = f'set -u\n{set_before}{connection(audience=audience).bash}\nprintf %s "$DOWNSTREAM_URL"'
    told = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, timeout=10)
    assert told.stdout == after


@pytest.mark.parametrize(
    "named",
    [("customers:read", "https://crm.example.com"), ("k8s.pods:read", "https://ops.example.com"), ("", "")],
    ids=["named", "of another resource", "all"],
)
def test_the_python_lines_are_python(named: tuple[str, str]) -> None:
    for each in framework_codes("id", *named, sdk=NO_WHEELS):
        compile(each.code, each.framework.title, "exec")
        compile(each.by_hand, each.framework.title, "exec")
        assert all(text in each.code for text in named)
        about = "/k8s.pods/" if named[0] == "k8s.pods:read" else "/customers/"
        assert about in each.code
        assert ("customer" in each.code + each.by_hand) == (about == "/customers/")


def test_a_function_that_fetches_its_token_names_an_api_where_there_are_several() -> None:
    calls = {"https://a.example": 'get_token(resource="https://a.example").value', "": "get_delegation_token()"}
    for resource, call in calls.items():
        first, *_ = framework_codes("id", "", resource, sdk=NO_WHEELS)
        assert f"jwt_token = authsec.{call}" in first.by_hand


@pytest.mark.parametrize(
    ("target", "framework"),
    [("AutoGen AI agent", "AutoGen"), ("LangChain AI agent", "LangChain"), ("MCP server", "Other Python")],
)
def test_connect_begins_with_the_framework_of_the_newest_delegation(
    door: TestClient, opened: House, target: str, framework: str
) -> None:
    client_id = opened.delegated_name("Open")
    opened.clock.at += timedelta(minutes=1)
    delegate(door, client_id, target_type=target, max_duration=600)
    html = get(door, f"{LIST}/{client_id}/connect").html
    assert f" checked>{framework}</label>" in html


def test_connect_begins_with_powershell_on_windows(door: TestClient) -> None:
    make(door, "clients", name="Open", platform="unattested")
    for system, shell in {"X11; Linux x86_64": "bash", "Windows NT 10.0; Win64; x64": "PowerShell"}.items():
        door.headers["User-Agent"] = f"Mozilla/5.0 ({system})"
        assert f" checked>{shell}</label>" in get(door, f"{LIST}/open/connect").html


def test_the_test_shows_the_claims_that_the_token_then_has(door: TestClient, opened: House) -> None:
    client_id = opened.delegated_name("Open")
    events = len(opened.events())
    page = get(door, f"{LIST}/{client_id}/test")
    assert "The request would be granted" in page.text
    shown = json.loads(next(code for code in codes(page) if code.startswith("{")))
    assert len(opened.events()) == events
    token = door.get(f"{TOKEN}?client_id={client_id}").json()
    assert (shown["scope"], shown["sub"], shown["aud"]) == (token["scope"], token["spiffe_id"], token["audience"])
    assert shown["exp"] - shown["iat"] == token["expires_in"]


def test_the_test_shows_reason_remedy_and_smaller_request(door: TestClient, opened: House) -> None:
    client_id = opened.delegated_name("Open")
    page = get(door, f"{LIST}/{client_id}/test").form().send(scope="customers:read customers:delete")
    assert "The request would be refused: action_not_allowed" in page.text
    assert "Not delegated to the agent: customers:delete." in page.text
    assert page.form().value("scope") == "customers:read customers:delete"
    (smaller,) = [href for text, href in page.links.items() if text.startswith("Test the smaller request")]
    assert "The request would be granted" in get(door, smaller).text


def test_connect_shows_the_manifest_of_pods_that_a_cluster_proves(door: TestClient) -> None:
    keys = {"keys": [{**PrivateKey.generate_ec().public.to_jwk(), "kid": "one"}]}
    what = {"kind": "kubernetes", "issuer": "https://cluster.example.com", "keys_from": "given", "given_keys": keys}
    sent = {"name": "Cluster", "audience": 'aud"\n# ', **what}
    assert door.post("/authsec/api/v1/issuers", json=sent).status_code == 400, "no line ends in an audience"
    door.post("/authsec/api/v1/issuers", json=sent | {"audience": "our: authority"}).raise_for_status()
    named = {"k8s:ns": "production", "k8s:sa": "support-sa", "k8s:pod-name": "support-0"}
    wanted = {"name": "Pod", "platform": "kubernetes", "selectors": [{"key": k, "value": v} for k, v in named.items()]}
    client_id = door.post("/authsec/api/v1/clients", json=wanted).json()["client_id"]
    page = get(door, f"{LIST}/{client_id}/connect")
    assert "Replace IMAGE with the agent's image" in page.text
    assert "Replace https://your-api.example.com with the URL of the API that the agent calls" in page.text
    (text,) = [code for code in codes(page) if "serviceAccountToken" in code]
    assert text.startswith(
        "# The proof also needs these selectors, which are not in this manifest:\n#   k8s:pod-name = support-0: "
    )
    assert "# In a pod, http://127.0.0.1:7468 is the pod itself" in text
    amber = page.html.partition('<p class="warn-text">In a pod, ')[2].partition("</p>")[0]
    assert "AUTHSEC_SERVER_PUBLIC_URL" in amber
    account, deployment = yaml.safe_load_all(text)
    assert account["metadata"] == {"name": "support-sa", "namespace": "production"}
    pod = deployment["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "support-sa"
    (container,), (volume,) = pod["containers"], pod["volumes"]
    token = volume["projected"]["sources"][0]["serviceAccountToken"]
    assert token == {"audience": "our: authority", "expirationSeconds": 3600, "path": "token"}
    assert container["volumeMounts"][0]["mountPath"] == "/var/run/secrets/authsec"
    assert {"name": "AUTHSEC_AGENT_CLIENT_ID", "value": client_id} in container["env"]
    assert {"name": "DOWNSTREAM_URL", "value": "https://your-api.example.com"} in container["env"]
    steps = ["1. Pod manifest", "2. Install", "3. Code", "4. Smoke test"]
    folded = ["Environment", "Key pair", "Run it on a laptop"]
    places = [page.html.index(f"<h2>{head}</h2>") for head in (*steps, *folded)]
    assert places == sorted(places)
    assert "kubectl exec --namespace production deployment/pod -- authsec smoke" in codes(page)
    assert "1. Environment" not in page.text


def test_the_test_assumes_the_chosen_proof_and_names_a_resource(door: TestClient, opened: House) -> None:
    agent = opened.delegated_agent(excluded_proofs=("key_pair",))
    (proof,) = door.get(f"{API}/clients/{agent.client_id}").json()["proofs"]
    page = get(door, f"{LIST}/{agent.client_id}/test").form().send(proof=proof["id"])
    assert "proof_not_accepted" in page.text
    assert page.form().value("proof") == proof["id"]
    page = page.form().send(proof="0" * 36)
    assert page.status == 404
    page = get(door, f"{LIST}/{agent.client_id}/test?resource=https://x.example&scope=nonsense")
    assert "invalid_scope" in page.text


@pytest.fixture
def pod(door: TestClient) -> str:
    """The page of a client on Kubernetes, to which nothing is delegated."""
    selectors = [{"key": "k8s:ns", "value": "production"}]
    client_id: str = make(door, "clients", name="Pod", platform="kubernetes", selectors=selectors)["client_id"]
    return f"{LIST}/{client_id}"


def allow(door: TestClient, pod: str) -> None:
    make(door, "roles", name="Role of Pod", slug="role-of-pod", actions=["customers:read"])
    delegate(door, pod.removeprefix(f"{LIST}/"))


def test_who_cannot_prove_itself_is_answered_that_first_in_the_test(door: TestClient, pod: str) -> None:
    """In the order of the endpoint: what is malformed, the proof, and only then the delegation."""
    asked = door.get(TOKEN, params={"client_id": pod.removeprefix(f"{LIST}/")}).json()
    assert asked["reason"] == "attestation_required"
    page = get(door, f"{pod}/test")
    today, then = (
        page.text.index(f"The request would be refused: {why}") for why in ("attestation_required", "no_delegation")
    )
    assert today < page.text.index("Once the client can authenticate:") < then
    assert "The agent has no proof that this authority can check" in page.text
    assert page.links["Next step"] == f"{pod}#next"

    allow(door, pod)
    page = get(door, f"{pod}/test")
    assert page.text.index("attestation_required") < page.text.index("The request would be granted")
    for query in ("scope=nonsense", "resource=%20,"):
        malformed = get(door, f"{pod}/test?{query}").text
        assert "The request would be refused: invalid_" in malformed
        assert "attestation_required" not in malformed


def test_the_test_of_a_proof_that_can_be_checked_speaks_of_no_other(door: TestClient, opened: House) -> None:
    agent = opened.delegated_agent()
    assert "attestation_required" not in get(door, f"{LIST}/{agent.client_id}/test").text
    (proof,) = door.get(f"{API}/clients/{agent.client_id}").json()["proofs"]
    form = get(door, f"{LIST}/{agent.client_id}/proofs/add").form()
    sent = selector_rows("kubernetes", ("k8s:ns", "production"))
    assert form.send(platform="kubernetes", **sent).status == 303
    (other,) = [
        each["id"]
        for each in door.get(f"{API}/clients/{agent.client_id}").json()["proofs"]
        if each["id"] != proof["id"]
    ]
    for its, said in ((proof["id"], False), (other, True), ("", False)):
        page = get(door, f"{LIST}/{agent.client_id}/test?proof={its}")
        assert ("The request would be refused: attestation_required" in page.text) is said
        assert "It has no proof" not in page.text


def test_what_it_may_do_is_nothing_until_it_can_prove_itself(door: TestClient, pod: str) -> None:
    allow(door, pod)
    page = get(door, pod)
    assert "Once the client can authenticate, it may do this:" in page.text
    assert page.text.count("No trusted issuer can prove these selectors yet.") == 1
    assert "This proof has no trusted issuer yet." not in page.text


def test_its_refusals_lead_to_the_next_step_and_not_to_connect(door: TestClient, pod: str) -> None:
    door.get(TOKEN, params={"client_id": pod.removeprefix(f"{LIST}/")})
    page = get(door, pod)
    assert "attestation_required The agent has no proof that this authority can check" in page.text
    assert page.links["Next step"] == f"{pod}#next"
    assert "as Connect shows" not in page.text


def test_refusals_that_are_alike_stand_together(door: TestClient, opened: House) -> None:
    client_id = opened.delegated_name("Open")
    for _ in range(3):
        for _ in range(2):
            door.get(TOKEN, params={"client_id": client_id, "scope": "a:b"})
        opened.clock.at += timedelta(minutes=1)
    assert door.get(TOKEN, params={"client_id": client_id}).status_code == 200
    door.get(TOKEN, params={"client_id": client_id, "scope": "a:b"})
    page = get(door, f"{LIST}/{client_id}")
    assert page.html.count("<code>action_not_allowed</code>") == 2
    assert "1 minute ago 6 times, first 2 minutes ago Refused action_not_allowed" in page.text
    assert "this minute Refused action_not_allowed" in page.text


def test_what_is_counted_by_the_minute_is_shown_as_of_its_end(door: TestClient, opened: House) -> None:
    """A refusal of 12:00:50 is dated 12:00:00; it must not look older than what was issued before it."""
    client_id = opened.delegated_name("Open")
    opened.clock.at += timedelta(seconds=45)
    assert door.get(TOKEN, params={"client_id": client_id}).status_code == 200
    opened.clock.at += timedelta(seconds=5)
    for _ in range(2):
        door.get(TOKEN, params={"client_id": client_id, "scope": "a:b"})
    opened.clock.at += timedelta(seconds=5)
    for passed, said in ((0, "this minute"), (60, "1 minute ago"), (120, "2 minutes ago"), (7200, "2 hours ago")):
        opened.clock.at += timedelta(seconds=passed)
        page = get(door, f"{LIST}/{client_id}")
        assert f"{said} 2 times Refused" in page.text, passed
        assert 'data-minute title="within 2026-11-25 12:00 UTC, 2 times"' in page.html


def test_the_impact_on_a_client_without_live_tokens_names_no_tokens(door: TestClient, opened: House) -> None:
    """The page does not say that all tokens are revoked, or end, if there are none."""
    home = f"{LIST}/{opened.delegated_name('Open')}"
    for change in ("disable", "delete", "revoke"):
        page = get(door, f"{home}/{change}")
        assert "There are no live tokens to revoke." in page.text
        assert "All tokens of the client" not in page.text
        assert "No access" not in page.text  # an enabled client can get new tokens
        assert "Remaining access with issued tokens None: this change affects no unexpired token." in page.text
        needs = "The client needs a new token for its next call to" if change == "revoke" else "can get no token for"
        assert f"{needs} authsec-api" in page.text


def test_the_button_is_red_only_if_a_token_is_live(door: TestClient, opened: House) -> None:
    client_id = opened.delegated_name()
    page = get(door, f"{LIST}/{client_id}/revoke")
    assert "<button>Revoke anyway</button>" in page.html
    door.get(f"/authsec/uflow/sdk/delegation-token?client_id={client_id}")
    page = get(door, f"{LIST}/{client_id}/revoke")
    assert '<button class="primary danger">Revoke tokens</button>' in page.html


def test_tokens_that_were_revoked_since_say_so(door: TestClient, opened: House) -> None:
    client_id = opened.delegated_name("Open")
    door.get(TOKEN, params={"client_id": client_id})
    assert "for authsec-api; expires in 1 hour" in get(door, f"{LIST}/{client_id}").text
    opened.clock.at += timedelta(minutes=1)
    assert get(door, f"{LIST}/{client_id}/revoke").form().send().status == 303
    opened.clock.at += timedelta(minutes=1)
    assert "for authsec-api; revoked 1 minute ago ; expires in 58 minutes" in get(door, f"{LIST}/{client_id}").text
    opened.clock.at += timedelta(hours=1)
    assert "expired 2 minutes ago" in get(door, f"{LIST}/{client_id}").text


def test_the_second_of_two_editors_is_told_what_changed(door: TestClient, opened: House) -> None:
    edit = f"{LIST}/{opened.delegated_name('Open')}/edit"
    mine = get(door, edit).form()
    assert get(door, edit).form().send(name="Theirs", owner="Their team").status == 303
    page = mine.send(name="Mine", labels="team=mine")
    assert page.status == 412
    assert "Changed by local operator just now" in page.text
    assert "Now: Theirs" in page.text
    assert "Now: Their team" in page.text
    assert (page.form().value("name"), page.form().value("labels")) == ("Mine", "team=mine")
    assert "Saved." in page.form().send().follow().text  # told, they may overrule it
    assert get(door, edit).form().value("name") == "Mine"
