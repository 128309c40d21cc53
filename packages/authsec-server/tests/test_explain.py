"""A token that is tried says what the real check would, step by step, for whoever administers."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from attesting import HELPER
from authsec.jose import PrivateKey
from authsec_server.attestation.cluster import Clusters
from authsec_server.attestation.explain.model import StepName
from authsec_server.attestation.explain.service import A_MINUTE, TokenExplainer
from authsec_server.attestation.model import Evidence, Scheme
from authsec_server.attestation.workload_tokens import CLAIM_CHECKS
from authsec_server.clients import service as clients
from authsec_server.clients.model import Selector
from authsec_server.failures import Unavailable
from authsec_server.issuers import service as issuers
from authsec_server.issuers.model import KeysUnavailable, LookupUnavailable, ProposedTrustedIssuer
from long_runs import some_rows_of
from pages import get
from starlette.testclient import TestClient
from trusted_issuers import agent, operator, shows, trust
from workload_evidence import EC, NOW, OTHER_RSA, US, Issuer, github, kubernetes, spire

SECONDS = int(NOW.timestamp())
API = "/authsec/api/v1/issuers"
DEFAULT_AUDIENCE = ["https://kubernetes.default.svc.cluster.local"]
OTHER_SA = {"serviceaccount": {"name": "billing", "uid": "1"}, "namespace": "production"}


def attempt(door: TestClient, trusted_issuer: str, token: str) -> Any:
    answer = door.post(f"{API}/{trusted_issuer}/try", json={"token": token})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


def failed(trial: Any) -> list[str]:
    return [step["step"] for step in trial["steps"] if step["state"] != "holds"]


def said(trial: Any) -> str:
    return " ".join(f"{step['said']} {step['example'] or ''}" for step in trial["steps"] if step["state"] != "holds")


def kubernetes_spoilt() -> list[dict[str, Any]]:
    return [
        {},
        {"aud": DEFAULT_AUDIENCE},
        {"aud": [US, "other"]},
        {"exp": SECONDS - 10_800, "iat": SECONDS - 14_400, "nbf": SECONDS - 14_400},
        {"exp": SECONDS + 200_000},
        {"exp": "tomorrow"},
        {"nbf": SECONDS + 600},
        {"iat": None},
        {"iss": "https://elsewhere.example"},
        {"iss": US},
        {"sub": "system:serviceaccount:production:other"},
        {"kubernetes.io": None},
        {"kubernetes.io": OTHER_SA, "sub": "system:serviceaccount:production:billing"},
        {"cnf": {"jkt": "x"}},
        {"header": {"kid": "two"}},
        {"header": {"typ": "at+jwt"}},
        {"header": {"jku": "https://elsewhere.example"}},
        {"header": {"crit": ["x"]}},
        {"key": OTHER_RSA},
        {"key": EC},
    ]


@pytest.fixture
def its(house: Any) -> Any:
    return house(local_operator=True, address_limit=10_000)


@pytest.mark.parametrize(
    ("issuer", "selectors"),
    [
        (kubernetes(), HELPER),
        (spire(), (("spiffe:id", spire().claims()["sub"]),)),
        (github(), (("github:repository", "example/support-agent"),)),
    ],
    ids=["kubernetes", "spiffe", "oidc"],
)
def test_it_never_says_other_than_the_check_does(its: Any, issuer: Issuer, selectors: Any) -> None:
    """Whatever the check believes the trial believes, and nothing else; for each way to spoil a token."""
    trust(its, issuer)
    client_id, door = agent(its, issuer, *selectors), its.door()
    outcomes = []
    for changes in kubernetes_spoilt():
        token = issuer.token(**changes)
        trial = attempt(door, issuer.trusted_issuer.slug, token)
        believed = trial["holds"] and [each["client_id"] for each in trial["satisfies"]] == [client_id]
        assert believed == (shows(its, client_id, token, door=door).status_code == 200), changes
        outcomes.append(believed)
    assert outcomes[0]
    assert not all(outcomes)


def test_every_check_of_claims_is_a_step() -> None:
    assert set(CLAIM_CHECKS) <= set(StepName)


def test_a_good_token_says_what_it_proves_and_for_whom(its: Any) -> None:
    issuer = kubernetes()
    trust(its, issuer)
    first, second = (agent(its, issuer, *HELPER, name=name) for name in ("First", "Second"))
    agent(its, issuer, HELPER[0], ("k8s:sa", "billing"), name="Billing")
    its.authority.database.change(lambda tx: clients.disable(tx, operator(its), second))
    trial = attempt(its.door(), issuer.trusted_issuer.slug, issuer.token())
    assert (trial["holds"], trial["compared"]) == (True, 3)
    assert [(each["client_id"], each["enabled"]) for each in trial["satisfies"]] == [(first, True), (second, False)]
    assert ("k8s:sa", "customer-support-sa", "proved by the token") in {
        (each["key"], each["value"], each["how"]) for each in trial["selectors"]
    }
    assert trial["claims"] == {
        "iss": issuer.trusted_issuer.issuer,
        "aud": [US],
        "sub": "system:serviceaccount:production:customer-support-sa",
        "expires_at": "2026-11-25T13:00:00Z",
    }
    nearest = "namespace matches; service account is `customer-support-sa`, registered `billing`"
    assert [each["differs"] for each in trial["nearest"]] == [nearest]


def test_an_expired_token_for_the_cluster_itself_is_still_explained(its: Any) -> None:
    issuer = kubernetes()
    trust(its, issuer)
    client_id = agent(its, issuer, *HELPER)
    token = issuer.token(aud=DEFAULT_AUDIENCE, exp=SECONDS - 10_800, iat=SECONDS - 14_400, nbf=SECONDS - 14_400)
    trial = attempt(its.door(), issuer.trusted_issuer.slug, token)
    assert failed(trial) == ["audience", "times"]
    assert f'audience: "{US}"' in said(trial)
    assert trial["claims"]["expires_at"] == "2026-11-25T09:00:00Z"
    assert [each["client_id"] for each in trial["satisfies"]] == [client_id], (
        "if it were good, it would be this agent's"
    )


def test_of_an_unsigned_word_nothing_is_proved(its: Any) -> None:
    issuer = kubernetes()
    trust(its, issuer)
    agent(its, issuer, *HELPER)
    for token in (issuer.token(key=OTHER_RSA), issuer.token(header={"kid": "\u202etwo"}), issuer.token(iss="x")):
        trial = attempt(its.door(), issuer.trusted_issuer.slug, token)
        assert (trial["signed"], trial["selectors"], trial["satisfies"], trial["nearest"]) == (False, [], [], [])
        assert "\u202e" not in json.dumps(trial, ensure_ascii=False)


def test_what_is_another_trusted_issuer_s_is_sent_there(its: Any) -> None:
    """Clusters that share an issuer are told apart by their keys."""
    production, staging, mesh = kubernetes("production"), kubernetes("staging", OTHER_RSA), spire("mesh")
    for each in (production, staging, mesh):
        trust(its, each)
    door = its.door()
    assert "Test it with the trusted issuer 'staging' (staging)." in said(attempt(door, "production", staging.token()))
    assert "Test it with the trusted issuer 'mesh' (mesh)." in said(attempt(door, "production", mesh.token()))
    unknown = said(attempt(door, "mesh", spire("other", issuer="example.com").token(sub="spiffe://example.com/x")))
    assert unknown.strip() == "The token's issuer is `spiffe://example.com/x`; this trusted issuer is `example.org`."


def test_a_disabled_trusted_issuer_is_believed_by_nobody(its: Any) -> None:
    issuer = kubernetes()
    trust(its, issuer)
    agent(its, issuer, *HELPER)
    door = its.door()
    door.post(f"{API}/{issuer.trusted_issuer.slug}/disable")
    trial = attempt(door, issuer.trusted_issuer.slug, issuer.token())
    assert (trial["holds"], failed(trial)) == (False, ["trusted_issuer"])


JWT = kubernetes().token()
KUBECONFIG = "apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\nusers:\n- user: {token: abc}\n"


@pytest.mark.parametrize(
    ("pasted", "words"),
    some_rows_of(
        [
            (" \n", "Nothing was pasted"),
            (KUBECONFIG, "This is a kubeconfig"),
            (json.dumps({"kind": "TokenRequest", "apiVersion": "v1", "status": {"token": JWT}}), "status.token"),
            (json.dumps(kubernetes().jwks), "This is a key set"),
            (PrivateKey.generate_ec().to_pem().decode(), "Treat it as exposed"),
            (PrivateKey.generate_ec().public.to_pem().decode(), "a public key"),
            ("authsec_" + "a" * 43, "Treat it as exposed"),
            (base64.b64encode(JWT.encode()).decode(), "base64 -d"),
            (f"{JWT}\n{JWT}", "several tokens"),
            (f"{JWT}.a.b", "encrypted"),
            ("hello", "not a signed JWT"),
            ("eyJ" + "a" * 20_000, "not a signed JWT of at most 16,384 bytes"),
            (kubernetes().token(iss=US), "a delegation token of this authority"),
            (
                kubernetes().token(
                    iss="123e4567-e89b-42d3-a456-426614174000", sub="123e4567-e89b-42d3-a456-426614174000"
                ),
                "key",
            ),
        ]
    ),
    ids=range(14),
)
def test_what_is_no_token_of_a_trusted_issuer_is_called_what_it_is(its: Any, pasted: str, words: str) -> None:
    issuer = kubernetes()
    trust(its, issuer)
    trial = attempt(its.door(), issuer.trusted_issuer.slug, pasted)
    assert failed(trial) == ["form"]
    assert words in said(trial)
    long = [part for part in re.split(r"[^A-Za-z0-9_+/=-]+", pasted) if len(part) > 30]
    assert not any(part in json.dumps(trial | {"claims": None}) for part in long), "it repeats what was pasted"


@pytest.mark.parametrize(
    ("around", "note"),
    [
        (lambda token: f"  {token}\n", ""),
        (lambda token: f"Bearer {token}", "`Bearer` was removed"),
        (lambda token: f"Authorization: bearer {token}\r\n", "`Bearer` was removed"),
        (lambda token: f'"{token}"', "The quotation marks"),
        (lambda token: "\n  ".join(re.findall(".{1,64}", token)), "Spaces and line breaks"),
    ],
)
def test_what_comes_along_with_a_copy_is_left_out(its: Any, around: Any, note: str) -> None:
    issuer = kubernetes()
    trust(its, issuer)
    agent(its, issuer, *HELPER)
    trial = attempt(its.door(), issuer.trusted_issuer.slug, around(issuer.token()))
    assert trial["holds"]
    assert [each[: len(note)] for each in trial["notes"]] == [note] * bool(note)


def test_it_is_an_act_of_operators_and_not_of_many_a_minute(house: Any) -> None:
    its = house(local_operator=True)
    issuer = kubernetes()
    trust(its, issuer)
    keys = {
        role: its.door()
        .post("/authsec/api/v1/admin-keys", json={"name": role, "role": role, "expires_in": None})
        .json()
        for role in ("viewer", "operator")
    }
    outside = house()
    doors = {role: outside.door(authorization=f"Bearer {made['key']}") for role, made in keys.items()}
    path = f"{API}/{issuer.trusted_issuer.slug}/try"
    assert doors["viewer"].post(path, content=b"{").status_code == 403, "refused before anything is read"
    answers = [doors["operator"].post(path, json={"token": "x"}).status_code for _ in range(A_MINUTE + 1)]
    assert answers == [200] * A_MINUTE + [429]
    (event, *_) = [each.event for each in outside.events() if each.event.kind == "issuer.tried"]
    assert (event.principal.name, event.subject.id) == ("operator", issuer.trusted_issuer.id)
    assert event.detail == {"holds": False, "failed": ["form"], "satisfied": 0}


class FakeClusters(Clusters):
    """A cluster that answers so, and counts how often it was asked."""

    def __init__(self, counts: bool = True, pod: Any = frozenset(), away: str = "") -> None:
        self.counts, self.told, self.away, self.asked = counts, pod, away, 0

    def _answer(self, answer: Any) -> Any:
        self.asked += 1
        if self.away:
            raise Unavailable("The proof cannot be checked right now.") from LookupUnavailable(self.away)
        return answer

    def is_still_valid(self, *_: Any) -> bool:
        return bool(self._answer(self.counts))

    def pod(self, *_: Any) -> Any:
        return self._answer(self.told)


POD = frozenset({Selector(key="k8s:pod-label:app", value="support"), Selector(key="k8s:container-name", value="agent")})
LOOKED_UP = (*HELPER, ("k8s:pod-label:app", "support"), ("k8s:container-name", "agent"))


@pytest.mark.parametrize(
    ("clusters", "spoilt", "states", "asked"),
    [
        (FakeClusters(pod=POD), {}, ["holds", "holds"], 2),
        (FakeClusters(counts=False, pod=POD), {}, ["fails", "skipped"], 1),
        (FakeClusters(pod=None), {}, ["holds", "fails"], 2),
        (FakeClusters(away="It answers 403: the account may not create tokenreviews."), {}, ["unknown", "skipped"], 1),
        (FakeClusters(pod=POD), {"aud": DEFAULT_AUDIENCE}, ["skipped", "skipped"], 0),
    ],
    ids=["good", "review says no", "pod no longer exists", "away", "no good token"],
)
def test_the_cluster_is_asked_about_good_tokens_alone(
    its: Any, clusters: FakeClusters, spoilt: Any, states: list[str], asked: int
) -> None:
    issuer = kubernetes()
    trust_and_look_up(its, issuer)
    client_id = agent(its, issuer, *LOOKED_UP)
    trial = trials(its, issuer, clusters=clusters).try_token(
        operator(its), issuer.trusted_issuer.slug, issuer.token(**spoilt)
    )
    assert [step.state for step in trial.steps if step.name in {StepName.REVIEW, StepName.POD}] == states
    assert clusters.asked == asked
    assert [each.client.id for each in trial.satisfied] == ([client_id] if states == ["holds"] * 2 else [])
    if clusters.away:
        assert clusters.away in trial.steps[-2].said
    if trial.holds:
        assert {each.how for each in trial.selectors} == {
            "proved by the token",
            "proved by look-up",
            "by look-up: the pod has such a container",
        }


def trust_and_look_up(its: Any, issuer: Issuer) -> None:
    """Have the authority trust this cluster, and ask it about tokens and pods."""
    api = {"api_server": "https://k8s.example", "credentials": "k8s", "token_review": True, "pod_lookup": True}
    new = ProposedTrustedIssuer(
        name=issuer.trusted_issuer.name,
        kind=issuer.trusted_issuer.kind,
        issuer=issuer.trusted_issuer.issuer,
        keys_from="given",
        given_keys=issuer.jwks,
        **api,
    )
    act = operator(its)
    issuer.trusted_issuer = its.authority.database.change(lambda tx: issuers.create(tx, act, new, may_look_up=True))


def trials(its: Any, issuer: Issuer, *, clusters: Any = None, find_key: Any = None) -> TokenExplainer:
    """As the authority has them, but for its keys and its clusters."""
    return TokenExplainer(
        its.authority.database,
        find_key or (lambda _trusted_issuer, kid: issuer.key.public if kid == issuer.kid else None),
        clusters=clusters,
        issuer=US,
        trust_domain="example.org",
        monotonic=its.clock.monotonic,
    )


def test_where_keys_are_away_nobody_is_blamed(its: Any) -> None:
    issuer = kubernetes()
    trust(its, issuer)

    def away(*_: Any) -> Any:
        raise KeysUnavailable("The keys of 'cluster-a' are too old.")

    trial = trials(its, issuer, find_key=away).try_token(operator(its), issuer.trusted_issuer.slug, issuer.token())
    assert (trial.steps[-1].state, trial.holds) == ("unknown", False)
    assert trial.steps[-1].said.endswith("The keys of 'cluster-a' are too old.")


def test_it_leaves_nothing_behind_that_proves(its: Any) -> None:
    issuer = kubernetes()
    trust(its, issuer)
    client_id, token = agent(its, issuer, *HELPER), issuer.token()
    attempt(its.door(), issuer.trusted_issuer.slug, token)
    client = its.authority.database.read(lambda tx: clients.load(tx, client_id))
    evidence = Evidence(scheme=Scheme.BEARER, credential=token)
    assert its.authority.tokens.workloads.recall(evidence, client, [issuer.trusted_issuer], NOW) is None


def test_the_page_says_it_step_by_step(its: Any) -> None:
    issuer = kubernetes()
    trust(its, issuer)
    agent(its, issuer, HELPER[0], ("k8s:sa", "billing"), name="Billing")
    form = f"/console/issuers/{issuer.trusted_issuer.slug}/try"
    page = get(its.door(), form.removesuffix("/try")).form(form).send(token=issuer.token())
    assert "The token is valid, but no agent is registered for this workload" in page.text
    assert "Billing : namespace matches; service account is customer-support-sa , registered billing" in page.text
    old = issuer.token(exp=SECONDS - 10_800, iat=SECONDS - 14_400, nbf=SECONDS - 14_400)
    page = page.form(form).send(token=old)
    assert "The token would be refused" in page.text
    assert "Expired 3 hours ago" in page.text
    assert "What the token would prove" in page.text
    page = page.form(form).send(token=issuer.token(key=OTHER_RSA))
    assert "No claim is verified: the signature does not match." in page.text
    page = page.form(form).send(token=issuer.token(iss="https://other.example"))
    assert "No claim is verified: the signature was not checked." in page.text
    assert "Check that the whole token was copied" in page.form(form).send(token=issuer.token()[:-5]).text
