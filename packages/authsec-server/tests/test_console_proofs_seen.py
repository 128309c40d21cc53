"""What a client's page says of a proof beyond what it asks for: who came near it, and who else it fits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from attesting import HELPER
from pages import get
from token_endpoint import by_grant
from trusted_issuers import agent, shows, trust
from workload_evidence import kubernetes

NEAR = "namespace matches; service account is support , registered customer-support-sa"


@pytest.fixture
def its(house: Callable[..., Any]) -> Any:
    """An authority at whose machine we sit, which trusts a cluster."""
    return house(local_operator=True)


def as_account(issuer: Any, account: str, namespace: str = "production") -> str:
    bound = issuer.claims()["kubernetes.io"] | {"namespace": namespace, "serviceaccount": {"name": account, "uid": "1"}}
    token: str = issuer.token(**{"kubernetes.io": bound, "sub": f"system:serviceaccount:{namespace}:{account}"})
    return token


def test_the_closest_of_recent_misses_with_when_and_how_often(its: Any) -> None:
    issuer = kubernetes()
    trust(its, issuer)
    client_id, door = agent(its, issuer, *HELPER), its.door()
    page = f"/console/clients/{client_id}"
    assert "Closest mismatch" not in get(door, page).text
    for account, namespace in (("support", "production"), ("support", "staging"), ("support", "production")):
        assert shows(its, client_id, as_account(issuer, account, namespace), door=door).status_code == 403
        its.clock.at += timedelta(minutes=2)
    seen = get(door, page)
    assert f"Closest mismatch: {NEAR} . 2 times, last" in seen.text
    assert 'small-text warn-text"><strong>Closest mismatch' in seen.html
    issuer.now = its.clock.at
    assert shows(its, client_id, issuer.token(), door=door).status_code == 200
    assert 'small-text soft"><strong>Closest mismatch' in get(door, page).html, "it has come in since"
    its.clock.at += timedelta(days=8)
    assert "Closest mismatch" not in get(door, page).text, "nobody looks for that any more"


def test_one_workload_that_could_come_as_two(its: Any) -> None:
    issuer = kubernetes()
    trust(its, issuer)
    first, door = agent(its, issuer, *HELPER, name="First"), its.door()
    assert "a workload can get tokens as either" not in get(door, f"/console/clients/{first}").text
    second = agent(its, issuer, *HELPER[::-1], name="Second")
    page = get(door, f"/console/clients/{first}")
    assert "Second has the same selectors at this trusted issuer: a workload can get tokens as either" in page.text
    assert page.links["Second"] == f"/console/clients/{second}"


def test_the_story_of_a_refusal_says_which_step_failed_and_of_an_outage_what(its: Any) -> None:
    issuer = kubernetes()
    trust(its, issuer)
    away = kubernetes("away", issuer="https://away.example.com")
    trust(its, away, keys_from="url", keys_url="https://127.0.0.1:1/jwks", given_keys=None)
    door = its.door()
    for trusted_issuer, spoilt, told in (
        (issuer, {"exp": 1}, "A token that cluster-a signed is invalid: The token has expired"),
        (away, {}, "The proof could not be checked. The keys of the trusted issuer 'away' (away)"),
    ):
        client_id = agent(its, trusted_issuer, *HELPER, name=trusted_issuer.trusted_issuer.name)
        assert shows(its, client_id, trusted_issuer.token(**spoilt), door=door).status_code in {401, 503}
        page = get(door, f"/console/activity/{its.events()[-1].id}")
        assert told in page.text
        assert "Signed by" not in page.text
    assert "The trusted issuer could not be asked" in page.text


def test_the_story_of_a_workload_without_a_client_id_names_the_clients_that_match(its: Any) -> None:
    issuer, door = kubernetes(), its.door()
    trust(its, issuer)

    def story() -> Any:
        assert by_grant(door, issuer.token()).status_code == 400
        return get(door, f"/console/activity/{its.events()[-1].id}")

    unknown = story()
    assert "Signed by cluster-a" in unknown.text
    assert unknown.text.partition("Details")[0].count("No client has a proof that the workload matches") == 1
    assert "add a proof with its selectors" in unknown.text
    for name in ("First", "Second"):
        agent(its, issuer, *HELPER, name=name)
    its.delegated_name("So that the authority changes")
    page = story()
    assert "The workload matches several clients: First" in page.text
    assert "Remove the proof from all but one client" in page.text


def test_the_story_of_a_workload_whose_issuer_is_away_says_so(its: Any) -> None:
    away = kubernetes("away", issuer="https://away.example.com")
    trust(its, away, keys_from="url", keys_url="https://127.0.0.1:1/jwks", given_keys=None)
    door = its.door()
    answer = by_grant(door, away.token())
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    page = get(door, f"/console/activity/{its.events()[-1].id}")
    assert "The proof could not be checked. The keys of the trusted issuer 'away' (away)" in page.text
    assert "The trusted issuer could not be asked" in page.text
