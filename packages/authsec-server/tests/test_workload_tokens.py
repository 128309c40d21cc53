"""Workloads at the endpoint: who gets a token, what the caller hears of it and what the audit log keeps."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from attesting import HELPER, SHOWN
from authsec.jose import parse_compact
from authsec_server.attestation.model import Unchecked
from authsec_server.attestation.workloads import Workloads
from authsec_server.clients import held_proofs
from authsec_server.clients import service as clients
from authsec_server.failures import Unavailable
from authsec_server.issuers import service as issuers
from authsec_server.tokens.hints import Place, remedy
from authsec_server.tokens.issue import Issued
from authsec_server.tokens.preview import Preview, preview
from authsec_server.tokens.refusal import Denied, Reason
from authsec_server.tokens.request import parse
from databases import settings_for
from trusted_issuers import ENDPOINT, agent, operator, refusals, shows, trust
from workload_evidence import OTHER_RSA, US, finder, github, kubernetes, spire

pytestmark = pytest.mark.sqlite_suffices


@pytest.fixture
def its(house: Callable[..., Any], database_url: str, tmp_path: Path) -> Any:
    """An authority on either database."""
    return house(**settings_for(database_url, tmp_path), trust_domain="example.org")


@pytest.mark.parametrize("make", [kubernetes, spire, github], ids=["kubernetes", "spiffe", "oidc"])
def test_a_workload_gets_a_token_that_says_how_it_was_proved(its: Any, make: Any) -> None:
    issuer = make()
    trust(its, issuer)
    shown = SHOWN[issuer.trusted_issuer.kind]
    client_id = agent(its, issuer, *shown)
    answer = shows(its, client_id, issuer.token())
    assert answer.status_code == 200, answer.text
    claims = parse_compact(answer.json()["token"]).claims
    checked = {"validation": "offline"} if make is kubernetes else {}
    event = its.events()[-1].event
    subjects_of_token = {"proof": event.detail["proof_id"], "source": issuer.trusted_issuer.id}
    said = {"method": issuer.trusted_issuer.kind, "selectors": [key for key, _ in shown]}
    assert claims["attestation"] == said | checked | subjects_of_token
    assert event.detail["attestation"] == issuer.trusted_issuer.kind
    assert event.detail["proved_by"] == {key: "token" for key, _ in shown}
    assert event.detail["trusted_issuer"] == {"id": issuer.trusted_issuer.id, "name": issuer.trusted_issuer.name}
    assert shows(its, client_id, issuer.token()).status_code == 200, "the same evidence may be shown again"


@pytest.mark.sqlite_suffices
def test_the_clients_own_svid_stands_for_what_spire_enforces(its: Any) -> None:
    issuer = spire()
    trust(its, issuer)
    client_id = agent(its, issuer, *HELPER, ("k8s:container-name", "agent"))
    answer = shows(its, client_id, issuer.token(sub=f"spiffe://example.org/agent/{client_id}"))
    claims = parse_compact(answer.json()["token"]).claims
    said = claims["attestation"]
    id_ = issuer.trusted_issuer.id
    assert (said["method"], said["selectors"], said["source"]) == ("spiffe", ["spiffe:id"], id_)


@pytest.mark.sqlite_suffices
def test_another_workload_is_refused_and_hears_nothing(its: Any) -> None:
    issuer = kubernetes()
    trust(its, issuer)
    client_id = agent(its, issuer, ("k8s:ns", "production"), ("k8s:sa", "registered-account"))
    first = shows(its, client_id, issuer.token())
    assert (first.status_code, first.json()["reason"]) == (403, "selectors_mismatch")
    for told in (
        "registered-account",
        "customer-support",
        "production",
        issuer.trusted_issuer.id,
        issuer.trusted_issuer.name,
    ):
        assert told not in first.text
    other = issuer.token(**{"kubernetes.io": {"namespace": "a", "serviceaccount": {"name": "b"}}, "sub": WHO})
    for token in (issuer.token(), other):
        assert shows(its, client_id, token).json() | {"request_id": ""} == first.json() | {"request_id": ""}
    counted, apart = refusals(its)
    assert (counted.count, counted.counted, counted.event.client.id) == (2, True, client_id)
    assert (apart.count, apart.event.request_id == counted.event.request_id) == (1, False)
    assert "namespace is `a`, registered `production`" in apart.event.detail["miss"]["sentence"]
    assert counted.event.detail["trusted_issuer"] == {
        "id": issuer.trusted_issuer.id,
        "name": issuer.trusted_issuer.name,
    }
    miss = counted.event.detail["miss"]
    assert miss["sentence"] == (
        "namespace matches; service account is `customer-support-sa`, registered `registered-account`"
    )
    assert [row["agrees"] for row in miss["selectors"]] == [True, False]


WHO = "system:serviceaccount:a:b"


@pytest.mark.sqlite_suffices
def test_the_order_of_the_checks(its: Any) -> None:
    """Proof before what it may do, and a limit that is charged to the client only by itself."""
    issuer = kubernetes()
    trust(its, issuer)
    client_id = agent(its, issuer, *HELPER)
    foreign = issuer.token(**{"kubernetes.io": {"namespace": "a", "serviceaccount": {"name": "b"}}, "sub": WHO})
    its.authority.database.change(lambda tx: clients.disable(tx, operator(its), client_id))
    assert shows(its, client_id, foreign).json()["reason"] == "selectors_mismatch"
    assert shows(its, client_id, issuer.token(key=OTHER_RSA)).json()["reason"] == "attestation_invalid"
    assert shows(its, client_id, issuer.token()).json()["reason"] == "client_disabled"
    assert refusals(its)[-1].event.detail["trusted_issuer"]["id"] == issuer.trusted_issuer.id, "it had proved itself"


def test_strangers_do_not_use_up_the_clients_limit(house: Callable[..., Any]) -> None:
    its = house(client_limit=2, address_limit=100)
    issuer = kubernetes()
    trust(its, issuer)
    client_id = agent(its, issuer, *HELPER)
    foreign = issuer.token(**{"kubernetes.io": {"namespace": "a", "serviceaccount": {"name": "b"}}, "sub": WHO})
    for _ in range(10):
        assert shows(its, client_id, foreign).status_code == 403
    assert [shows(its, client_id, issuer.token()).status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.sqlite_suffices
def test_without_evidence_proof_is_required(its: Any) -> None:
    issuer = kubernetes()
    trust(its, issuer)
    client_id = agent(its, issuer, *HELPER)
    answer = its.door().get(ENDPOINT, params={"client_id": client_id})
    assert (answer.status_code, answer.json()["reason"]) == (401, "attestation_required")


@pytest.mark.sqlite_suffices
def test_the_automounted_token_is_answered_with_the_volume_that_helps(its: Any) -> None:
    issuer = kubernetes()
    trust(its, issuer)
    client_id = agent(its, issuer, *HELPER)
    answer = shows(its, client_id, issuer.token(aud=[issuer.trusted_issuer.issuer]))
    assert (answer.status_code, answer.json()["reason"]) == (401, "attestation_invalid")
    assert f'audience: "{US}"\n' in answer.json()["details"]


@pytest.mark.sqlite_suffices
def test_a_delegation_may_exclude_proofs_by_selectors(its: Any) -> None:
    issuer = kubernetes()
    trust(its, issuer)
    client_id = agent(its, issuer, *HELPER, excluded_proofs=("selectors",))
    assert shows(its, client_id, issuer.token()).json()["reason"] == "proof_not_accepted"


@pytest.mark.sqlite_suffices
def test_a_disabled_trusted_issuer_proves_nothing_not_even_what_it_proved_before(its: Any) -> None:
    issuer = kubernetes()
    trust(its, issuer)
    client_id = agent(its, issuer, *HELPER)
    token = issuer.token()
    assert shows(its, client_id, token).status_code == 200
    its.authority.database.change(lambda tx: issuers.disable(tx, operator(its), issuer.trusted_issuer.id))
    assert shows(its, client_id, token).json()["reason"] == "attestation_invalid"
    its.authority.database.change(lambda tx: issuers.enable(tx, operator(its), issuer.trusted_issuer.id))
    assert shows(its, client_id, token).status_code == 200


@pytest.mark.sqlite_suffices
def test_keys_that_cannot_be_had_are_503_and_no_refusal(its: Any) -> None:
    issuer = kubernetes()
    trust(its, issuer, keys_from="url", keys_url="https://127.0.0.1:1/jwks", given_keys=None)
    client_id = agent(its, issuer, *HELPER)
    answer = shows(its, client_id, issuer.token())
    assert (answer.status_code, answer.json()["reason"], answer.json()["retryable"]) == (503, "unavailable", True)
    assert int(answer.headers["retry-after"]) >= 1
    assert "127.0.0.1:1" not in answer.text
    assert issuer.trusted_issuer.name not in answer.text
    (counted,) = refusals(its)
    assert (counted.event.reason, counted.counted, counted.event.client.id) == ("unavailable", True, client_id)
    assert counted.event.request_id == answer.json()["request_id"]
    assert counted.event.detail["trusted_issuer"] == {
        "id": issuer.trusted_issuer.id,
        "name": issuer.trusted_issuer.name,
    }
    assert "are not available: 127.0.0.1 is not a public address" in counted.event.detail["failed"]


def test_of_ten_misses_in_a_minute_each_is_told_apart_and_the_rest_count_on(its: Any) -> None:
    issuer = kubernetes()
    trust(its, issuer)
    client_id = agent(its, issuer, *HELPER)
    for number in (*range(12), 0, 11):
        named = {"namespace": f"n{number}", "serviceaccount": {"name": "b"}}
        token = issuer.token(**{"kubernetes.io": named, "sub": f"system:serviceaccount:n{number}:b"})
        assert shows(its, client_id, token).status_code == 403
    assert [each.count for each in refusals(its)] == [2, *[1] * 8, 4]
    its.clock.at += timedelta(minutes=1)
    assert shows(its, client_id, token).status_code == 403
    assert [each.count for each in refusals(its)][10:] == [1]


@pytest.mark.sqlite_suffices
def test_which_step_a_signed_token_failed_is_for_the_operator_alone(its: Any) -> None:
    issuer = kubernetes()
    trust(its, issuer)
    client_id = agent(its, issuer, *HELPER)
    for spoilt in (issuer.token(exp=1), issuer.token(aud=["b"]), issuer.token(exp=1, key=OTHER_RSA), "nonsense"):
        assert shows(its, client_id, spoilt).json()["reason"] == "attestation_invalid"
    expired, audience, unsigned = refusals(its)
    assert expired.event.detail["failed"].startswith("The token has expired")
    assert audience.event.detail["failed"].startswith("The token's `aud` must be exactly")
    assert expired.event.detail["trusted_issuer"] == {
        "id": issuer.trusted_issuer.id,
        "name": issuer.trusted_issuer.name,
    }
    assert (unsigned.count, unsigned.event.detail) == (2, {})


def test_a_audit_log_that_is_away_does_not_change_the_answer(its: Any) -> None:
    issuer = kubernetes()
    trust(its, issuer, keys_from="url", keys_url="https://127.0.0.1:1/jwks", given_keys=None)
    client_id = agent(its, issuer, *HELPER)
    tokens = replace(its.authority.tokens, database=Deaf(its.authority.database))
    with pytest.raises(Unchecked, match="cannot be checked"):
        tokens.issue(request(client_id, issuer.token()))
    assert refusals(its) == []


class Deaf:
    """A database that is read and takes nothing."""

    def __init__(self, database: Any) -> None:
        self.read, self.recent_changes = database.read, database.recent_changes

    def append(self, _work: Any) -> None:
        raise Unavailable("The database is not available.")


@pytest.mark.parametrize("change", ["disabled", "edited", "removed"])
def test_what_changes_between_proof_and_record_counts(its: Any, change: str) -> None:
    """After the evidence was checked, and before the token is recorded, a trusted issuer or a proof changes.

    In its next revision a trusted issuer may have other keys. The evidence is checked once more, by those.
    """
    issuer = kubernetes()
    trust(its, issuer)
    client_id = agent(its, issuer, *HELPER)
    find = finder(issuer)
    acts = {
        "disabled": lambda tx, act: issuers.disable(tx, act, issuer.trusted_issuer.id),
        "edited": lambda tx, act: issuers.edit(
            tx, act, issuer.trusted_issuer.id, revision=1, changes={"name": "Other"}
        ),
        "removed": lambda tx, act: remove_proof(tx, act, client_id),
    }

    checked: list[int] = []

    def meanwhile(trusted_issuer: Any, kid: str) -> Any:
        checked.append(trusted_issuer.revision)
        if len(checked) == 1:
            its.authority.database.change(lambda tx: acts[change](tx, operator(its)))
        return find(trusted_issuer, kid)

    judging = Workloads(meanwhile, issuer=US, trust_domain="example.org")
    outcome = replace(its.authority.tokens, workloads=judging).issue(request(client_id, issuer.token()))
    if change == "edited":
        assert (type(outcome), checked) == (Issued, [1, 2])
    else:
        assert isinstance(outcome, Denied)
        assert (outcome.reason, checked) == (Reason.ATTESTATION_INVALID, [1])


def remove_proof(tx: Any, act: Any, client_id: str) -> None:
    client = clients.get(tx, act, client_id)
    held_proofs.remove_proof(tx, act, client_id, client.proofs[0].id)


def request(client_id: str, token: str) -> Any:
    return parse(
        [("client_id", client_id)],
        [],
        [f"Bearer {token}"],
        address="192.0.2.1",
        request_id="req_00000000000000000000real",
    )


@pytest.mark.sqlite_suffices
def test_the_operator_is_told_what_differs(its: Any) -> None:
    issuer = kubernetes()
    trust(its, issuer)
    client_id = agent(its, issuer, ("k8s:ns", "staging"))
    shows(its, client_id, issuer.token())
    (counted,) = refusals(its)
    found = remedy(Reason(counted.event.reason), counted.event.detail)
    assert "namespace is `production`, registered `staging`" in found.text
    assert found.place is Place.PROOFS


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("make", [kubernetes, spire, github], ids=["kubernetes", "spiffe", "oidc"])
def test_a_preview_is_the_token_that_is_given_then(its: Any, make: Any) -> None:
    issuer = make()
    trust(its, issuer)
    client_id = agent(its, issuer, *SHOWN[issuer.trusted_issuer.kind])
    seen = look(its, client_id)
    assert isinstance(seen, Preview)
    assert seen.provable
    real = its.authority.tokens.issue(request(client_id, issuer.token()))
    assert isinstance(real, Issued)
    claims = parse_compact(real.token).claims
    assert seen.claims | {"jti": claims["jti"]} == claims


def look(its: Any, client_id: str) -> Any:
    issuance = its.authority.tokens.issuance
    return its.authority.database.read(lambda tx: preview(tx, operator(its), issuance, client_id))


@pytest.mark.sqlite_suffices
def test_a_preview_of_what_the_trusted_issuer_can_never_tell(its: Any) -> None:
    issuer = kubernetes()
    trust(its, issuer)
    seen = look(its, agent(its, issuer, ("k8s:pod-label:app", "support")))
    assert isinstance(seen, Preview)
    assert not seen.provable


@pytest.mark.sqlite_suffices
def test_a_preview_with_a_disabled_trusted_issuer(its: Any) -> None:
    issuer = kubernetes()
    trust(its, issuer)
    client_id = agent(its, issuer, *HELPER)
    its.authority.database.change(lambda tx: issuers.disable(tx, operator(its), issuer.trusted_issuer.id))
    denied = look(its, client_id)
    assert isinstance(denied, Denied)
    assert denied.reason is Reason.ATTESTATION_INVALID


@pytest.mark.sqlite_suffices
def test_no_evidence_is_in_the_audit_log(its: Any) -> None:
    issuer = github(claims={"x:canary": "canary"})
    trust(its, issuer)
    client_id = agent(its, issuer, ("x:canary", "yes"))
    token = issuer.token(canary="yes")
    assert shows(its, client_id, token).status_code == 200
    assert shows(its, client_id, issuer.token(canary="no")).status_code == 403
    kept = json.dumps([[str(each.event.detail), str(each.event)] for each in its.events()])
    for part in token.split("."):
        assert part not in kept


@pytest.mark.sqlite_suffices
def test_a_client_whose_selectors_a_trusted_issuer_proves_can_prove_itself(its: Any) -> None:
    issuer = kubernetes()
    trust(its, issuer)
    client_id = agent(its, issuer, *HELPER)
    client = its.authority.database.read(lambda tx: clients.get(tx, operator(its), client_id))
    assert client.can_prove_itself(its.clock.now())
    without = replace(client, proofs=tuple(replace(each, trusted_issuer_id=None) for each in client.proofs))
    assert not without.can_prove_itself(its.clock.now())
    assert client.trusted_issuer_ids == {issuer.trusted_issuer.id}
