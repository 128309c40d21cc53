"""Every step would notice if the product did not do what the step says."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from authsec import DelegationToken
from authsec_demo.authority import Authority
from authsec_demo.cluster.running import running_cluster
from authsec_demo.evidence import Tap, Transcript
from authsec_demo.in_cluster import records, registering, scenes
from authsec_demo.in_cluster.place import Place
from authsec_demo.in_cluster.workload import Workload, mounted, running_one
from authsec_demo.loopback import serving
from authsec_demo.model_server import ModelEndpoint
from authsec_demo.onboarding import Agent, delegate, onboard
from authsec_demo.records import audit, count_tokens
from authsec_demo.sample_api import Customers
from authsec_demo.scenes import ask_to_delete, fetch, revoke, stranger
from authsec_demo.servers import Servers
from authsec_demo.stage import Stage, StoryEnded
from rich.console import Console
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

IN_CLUSTER = {"client_id": "3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88", "slug": "customer-support"}
A_TOKEN = {"token": "head.payload.signature", "expires_in": 3600, "permissions": ["customers:read"]}
AGENT = Agent(client_id="3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88", key_file=Path("unused.pem"))
ADA = ("42", "Ada Lovelace", "ada@example.com")


class Page:
    """A stage, and what was printed on it."""

    def __init__(self) -> None:
        self._file = io.StringIO()
        self.stage = Stage(Console(file=self._file, width=200, highlight=False, emoji=False, markup=False))

    @contextmanager
    def failing(self, expected: str, came: str) -> Iterator[None]:
        """The block must end the story, saying this."""
        with pytest.raises(StoryEnded):
            yield
        printed = " ".join(self._file.getvalue().split())
        assert f"expected {expected}" in printed, printed
        assert f"came {came}" in printed, printed


@pytest.fixture
def page() -> Page:
    return Page()


class Administrator:
    """An authority that does what it is asked, but for what a test makes it answer."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        return lambda *_, **__: self._answers[verb]


class Support:
    """Agents whose conversation does `act` and brings `results`."""

    def __init__(self, *results: str, act: Callable[[], object] = lambda: None) -> None:
        self._results = list(results)
        self._act = act

    def ask(self, _message: str, _said: Callable[[str, str], None]) -> list[str]:
        self._act()
        return self._results


def answering(status: int, body: Any = None) -> Starlette:
    """A server that answers everything alike."""

    async def answer(request: Request) -> Response:
        return JSONResponse(body, status)

    return Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "DELETE"])])


class Elsewhere(Authority):
    """An authority at that address, which somebody else runs."""

    def __init__(self, url: str) -> None:
        self.url = url


def servers(folder: Path, *, authority: str = "", api: str = "", tap: Tap | None = None) -> Servers:
    customers = Customers(folder / "customers.sqlite3")
    customers.add(*ADA)
    return Servers(
        authority=Elsewhere(authority),
        api_url=api,
        model=ModelEndpoint(base_url="", api_key="", name=""),
        admin=Administrator(),
        admin_key="",
        customers=customers,
        tap=tap or Tap(answering(200)),
        transcript=Transcript(),
    )


def test_an_agent_that_need_not_prove_itself(page: Page, tmp_path: Path) -> None:
    lax = Administrator(onboard_agent={"can_prove_itself": False, "unattested": True})
    with page.failing("an agent that must authenticate", '{"can_prove_itself": false'):
        onboard(page.stage, lax, tmp_path)


def test_a_delegation_that_gives_more_than_was_asked_for(page: Page) -> None:
    generous = Administrator(
        register_api={"name": "Customers API", "identifier": "customers-api"},
        create_role={"name": "Support", "slug": "support", "actions": ["customers:delete", "customers:read"]},
        delegate={
            "actions": ["customers:delete", "customers:read"],
            "audiences": ["customers-api"],
            "max_duration": 3600,
            "state": "live",
        },
    )
    with page.failing('{"actions": ["customers:read"]', '{"actions": ["customers:delete", "customers:read"]'):
        delegate(page.stage, generous, AGENT.client_id)


@pytest.mark.parametrize(
    "results", [[], ["Error: refused"], ['{"id": "41", "name": "Grace", "email": "g@example.com"}']]
)
def test_a_customer_that_was_not_fetched(page: Page, tmp_path: Path, results: list[str]) -> None:
    with page.failing("the tool to return", "; ".join(results) or "no call of a tool"):
        fetch(page.stage, servers(tmp_path), Support(*results))


@pytest.mark.parametrize(("status", "came"), [(204, "DELETE /customers/42: 204"), (500, "DELETE /customers/42: 500")])
def test_a_delete_that_is_not_refused(page: Page, tmp_path: Path, status: int, came: str) -> None:
    tap = Tap(answering(status))
    with serving(tap) as url:
        support = Support(act=lambda: httpx2.delete(f"{url}/customers/42", trust_env=False))
        with page.failing("the API to answer one DELETE with 403", came):
            ask_to_delete(page.stage, servers(tmp_path, tap=tap), support)


def test_a_delete_that_never_came_to_the_api(page: Page, tmp_path: Path) -> None:
    with page.failing("the API to answer one DELETE with 403", "no such request"):
        ask_to_delete(page.stage, servers(tmp_path), Support("Error: I would rather not"))


def test_a_refusal_without_a_reason(page: Page, tmp_path: Path) -> None:
    tap = Tap(answering(403))
    with serving(tap) as url:
        support = Support("Error: 403", act=lambda: httpx2.delete(f"{url}/customers/42", trust_env=False))
        with page.failing("a reason that names customers:delete", "Error: 403"):
            ask_to_delete(page.stage, servers(tmp_path, tap=tap), support)


@pytest.mark.parametrize(
    ("status", "body", "came"),
    [
        (200, {"token": "x"}, "200 with no reason"),
        (401, {"reason": "attestation_invalid"}, "401 attestation_invalid"),
        (404, "nothing here", "404 with no reason"),
    ],
)
def test_a_stranger_who_is_not_refused_for_want_of_a_proof(
    page: Page, tmp_path: Path, status: int, body: Any, came: str
) -> None:
    with serving(answering(status, body)) as url, page.failing("401 attestation_required", came):
        stranger(page.stage, servers(tmp_path, authority=url), AGENT)


class Unmoved:
    """An agent that gets its token, whatever was revoked."""

    def get_token(self, **_: Any) -> DelegationToken:
        return DelegationToken(value="a token", expires_at=datetime.now(UTC) + timedelta(hours=1), expires_in=3600)


class Following(Starlette):
    """An API that lets the first request in, and refuses what comes after it."""

    def __init__(self) -> None:
        answers = iter([200])

        async def answer(request: Request) -> Response:
            return JSONResponse(None, next(answers, 401))

        super().__init__(routes=[Route("/customers/42", answer)])


def test_a_token_after_the_revocation(page: Page) -> None:
    with serving(Following()) as url, page.failing("the next token request to be refused", "a token"):
        revoke(page.stage, Administrator(revoke={"state": "revoked"}), Unmoved(), "id", url)


def test_an_api_that_lets_a_revoked_token_in(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("authsec_demo.scenes.PATIENCE", 0.05)
    with serving(answering(200)) as url, page.failing("the API to refuse the token within", "it accepted the token"):
        revoke(page.stage, Administrator(revoke={"state": "revoked"}), Unmoved(), "id", url)


def test_a_revocation_that_did_not_happen(page: Page) -> None:
    with serving(answering(200)) as url, page.failing("a revoked delegation", "one that is live"):
        revoke(page.stage, Administrator(revoke={"state": "live"}), Unmoved(), "id", url)


def test_an_event_that_was_not_recorded(page: Page) -> None:
    with page.failing("also client.created, delegation.created", "0 other events"):
        audit(page.stage, Administrator(events=[]))


def test_a_token_that_the_model_saw(page: Page) -> None:
    tap, transcript = Tap(answering(200)), Transcript()
    with serving(tap) as url:
        httpx2.get(url, headers={"Authorization": "Bearer head.payload.signature"}, trust_env=False)
    transcript.add(b"nothing")
    transcript.add(json.dumps({"content": "head.payload.signature"}).encode())
    with page.failing("no token in any message", "a token in 1 of 2 messages"):
        count_tokens(page.stage, transcript, tap)


def test_nothing_to_search_is_no_proof(page: Page) -> None:
    with page.failing("tokens and messages", "0 and 0"):
        count_tokens(page.stage, Transcript(), Tap(answering(200)))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A cluster, and the folders of those who take part."""
    with running_cluster() as cluster:
        yield Place(
            cluster=cluster,
            kubelet=cluster.kubelet(tmp_path / "pods"),
            kubeconfig=cluster.kubeconfig(tmp_path / "kubeconfig"),
            credentials=tmp_path,
            laptop=tmp_path,
        )


def in_pod(place: Place, audience: str) -> Workload:
    """The agent's pod, with a token for an authority."""
    token = {"serviceAccountToken": {"audience": audience, "path": "token"}}
    mount = {"name": "authsec", "mountPath": "/var/run/secrets/authsec"}
    spec = {
        "containers": [{"name": registering.CONTAINER, "image": "agent:1", "volumeMounts": [mount]}],
        "volumes": [{"name": "authsec", "projected": {"sources": [token]}}],
    }
    place.cluster.create_account(registering.NAMESPACE, registering.ACCOUNT)
    labels = {"app": "customer-support"}
    pod = place.cluster.run_pod(registering.NAMESPACE, "agent-0", account=registering.ACCOUNT, labels=labels, spec=spec)
    return mounted(place, pod)


def test_an_agent_whose_label_is_not_proved(page: Page) -> None:
    proof = {"provenance": registering.PROVED_BY | {"k8s:pod-label:app": "never"}}
    lax = Administrator(
        onboard_workload={"can_prove_itself": True, "unattested": False, "proofs": [proof], "client_id": "1"}
    )
    with page.failing("an agent that must authenticate", '{"can_prove_itself": true'):
        registering.onboard(page.stage, lax, "production")


def test_an_account_for_look_ups_that_may_more(page: Page, place: Place) -> None:
    with page.failing("403 for /api/v1/pods", "200"), page.stage.step("Permit", "why"):
        registering.check_it_may_no_more(place.cluster, place.cluster.admin_token)


def test_a_deployment_without_a_pod(page: Page, place: Place) -> None:
    with page.failing("one pod of the deployment", "0"), page.stage.step("Deploy", "why"):
        running_one(place)


@pytest.mark.parametrize(
    ("status", "body", "expected", "came"),
    [
        (200, A_TOKEN, "the request to be refused", "a token"),
        (401, {"reason": "attestation_invalid"}, "403 selectors_mismatch", "401 attestation_invalid"),
        (
            403,
            {"reason": "selectors_mismatch", "details": "It must be customer-support-sa."},
            "a refusal that does not name customer-support-sa",
            "This workload is not registered",
        ),
    ],
)
def test_another_account_that_is_not_refused_for_its_selectors(
    page: Page, tmp_path: Path, place: Place, status: int, body: Any, expected: str, came: str
) -> None:
    with serving(answering(status, {"error": "No.", "retryable": False, **body})) as url:
        workload = in_pod(place, url)
        with page.failing(expected, came):
            scenes.other_account(page.stage, servers(tmp_path, authority=url), place, IN_CLUSTER, workload)


def test_a_laptop_that_is_refused_for_something_else(page: Page, tmp_path: Path, place: Place) -> None:
    body = {"reason": "client_not_found", "error": "No.", "retryable": False}
    with serving(answering(404, body)) as url, page.failing("token: attestation_required", "authority: "):
        scenes.laptop(page.stage, servers(tmp_path, authority=url), place, IN_CLUSTER)


def test_a_code_that_enrols_nothing(page: Page, tmp_path: Path, place: Place) -> None:
    admin = Administrator(make_enrolment_code={"hours": 8, "code": "no code"})
    asked = dataclasses.replace(servers(tmp_path, authority="http://127.0.0.1:9"), admin=admin)
    with page.failing("authsec enrol to succeed", "✗ This is not an enrolment code."):
        scenes.enrol(page.stage, asked, place, IN_CLUSTER)


def test_a_copied_token_that_outlives_its_pod(page: Page, tmp_path: Path, place: Place) -> None:
    with serving(answering(200, A_TOKEN)) as url:
        workload = in_pod(place, url)
        with page.failing("the request to be refused", "a token"):
            scenes.pod_deleted(page.stage, servers(tmp_path, authority=url), place, IN_CLUSTER, workload)


def test_a_record_without_how_it_was_proved(page: Page) -> None:
    def event(kind: str, reason: str, detail: Any) -> dict[str, Any]:
        named = {"name": "Customer Support"}
        told = {"at": "2026-11-26T00:02:00Z", "principal": None, "client": named, "subject": None, "counted": False}
        return {
            **told,
            "delegations": [],
            "roles": [],
            "decision": "",
            "kind": kind,
            "reason": reason,
            "detail": detail,
        }

    issued = {"actions": [], "audience": [], "attestation": "kubernetes", "trusted_issuer": {"name": "Production"}}
    events = [event(kind, reason, issued) for kind, reason in records.MUST_BE_THERE]
    with page.failing("token_review, {'k8s:ns': 'token'", "(None, None)"):
        records.audit(page.stage, Administrator(events=events))
    for each in events:
        each["detail"] = issued | {"validation": "token_review", "proved_by": registering.PROVED_BY}
    with page.failing("a token of the enrolled laptop", "none"):
        records.audit(page.stage, Administrator(events=events))
    for each in events:
        each["detail"] |= {"enrolled": True, "miss": {"sentence": "namespace is `other`"}}
    with page.failing("service account is `reporting-sa`", "namespace is `other`"):
        records.audit(page.stage, Administrator(events=events))
