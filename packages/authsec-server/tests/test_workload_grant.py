"""The `jwt-bearer` grant: a workload shows its own token and no client_id, and gets the token of its client."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from api_server import ApiServer
from authsec.jose import PrivateKey, parse_compact
from authsec_server.attestation.kinds import SPIFFE_ID
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.clients import workload_proofs
from authsec_server.clients.model import spiffe_id
from authsec_server.clients.store import proofs
from authsec_server.clients.workload_proofs import MOST
from authsec_server.db import Tx
from authsec_server.issuers import service as issuers
from sqlalchemy import update
from token_endpoint import asserted, by_grant
from trusted_issuers import agent, operator, refusals, trust
from workload_evidence import EC, Issuer, github, kubernetes, spire

House = Any
POD = (("k8s:ns", "production"), ("k8s:sa", "customer-support-sa"))
SUPPORT = "spiffe://example.org/ns/production/sa/customer-support-sa"


@pytest.fixture
def its(house_on_each: Callable[..., House]) -> House:
    """An authority, once per kind of database."""
    return house_on_each(local_operator=True)


def client_of(answer: Any) -> str:
    assert answer.status_code == 200, answer.text
    client_id: str = parse_compact(answer.json()["access_token"]).claims["client_id"]
    return client_id


def told(answer: Any) -> tuple[int, str, str]:
    body = answer.json()
    return answer.status_code, body["error"], body["reason"]


BAD = (400, "invalid_grant", "attestation_invalid")


def test_a_pod_gets_the_token_of_the_one_client_that_it_matches(its: House) -> None:
    cluster, other = kubernetes(), kubernetes("cluster-b", key=PrivateKey.generate_rsa())
    for issuer in (cluster, other):
        trust(its, issuer)
    mine = agent(its, cluster, *POD, name="Mine")
    agent(its, cluster, POD[0], ("k8s:sa", "another-sa"), name="Neighbour")
    agent(its, cluster, *POD, ("k8s:pod-name", "another-pod"), name="Another pod")
    theirs = agent(its, other, *POD, name="Namesake in another cluster")
    agent(its, cluster, name="Without selectors")
    assert client_of(by_grant(its.door(), cluster.token())) == mine
    assert client_of(by_grant(its.door(), other.token())) == theirs
    assert client_of(by_grant(its.door(), cluster.token(), scope="customers:read", resource="authsec-api")) == mine


@pytest.mark.sqlite_suffices  # likewise
def test_a_job_and_an_svid_do_as_well(its: House) -> None:
    for issuer in (jobs := github(), domain := spire()):
        trust(its, issuer)
    job = agent(its, jobs, ("github:repository", "example/support-agent"), name="Job")
    registered = agent(its, domain, (SPIFFE_ID, SUPPORT), ("k8s:ns", "production"), name="Registered")
    assert client_of(by_grant(its.door(), jobs.token())) == job
    assert client_of(by_grant(its.door(), domain.token())) == registered


@pytest.mark.sqlite_suffices  # the search for a pod's client has PostgreSQL
def test_a_spiffe_id_that_we_made_is_that_of_its_client(house_on_each: Callable[..., House]) -> None:
    its, domain = house_on_each(trust_domain="example.org"), spire()
    trust(its, domain)
    own = agent(its, domain, ("k8s:ns", "production"), name="Own")
    registered = agent(its, domain, (SPIFFE_ID, SUPPORT), ("k8s:ns", "production"), name="Registered")
    without = its.delegated_agent("Without such a proof").client_id
    for client_id in (own, registered):
        assert client_of(by_grant(its.door(), domain.token(sub=spiffe_id("example.org", client_id)))) == client_id
    assert told(by_grant(its.door(), domain.token(sub=spiffe_id("example.org", without)))) == BAD


def test_labels_tell_two_clients_of_one_service_account_apart(
    house_on_each: Callable[..., House], peers: Any, peer: Any, tmp_path: Path
) -> None:
    (folder := tmp_path / "credentials").mkdir()
    server, cluster = ApiServer(peers, peer, folder), kubernetes()
    its = house_on_each(**server.settings)
    trust(its, cluster, may_look_up=True, **server.asked_for())
    labelled = agent(its, cluster, *POD, ("k8s:pod-label:app", "customer-support"), name="Labelled")
    agent(its, cluster, *POD, ("k8s:pod-label:app", "another"), name="Another")
    assert client_of(by_grant(its.door(), cluster.token())) == labelled
    unlabelled = agent(its, cluster, *POD, name="Of every pod")
    assert told(by_grant(its.door(), cluster.token())) == BAD
    assert client_of(by_grant(its.door(), cluster.token(), client_id=unlabelled)) == unlabelled


@pytest.mark.sqlite_suffices  # test_clients_alike.py compares such values on both
def test_selectors_with_special_characters_are_compared_as_they_are(its: House) -> None:
    jobs = github(claims={"ci:name": "name", "ci:ref": "ref"})
    trust(its, jobs)
    name = 'quo"te \\ back=slash, ["ci:ref", "x"] \N{LATIN SMALL LETTER E WITH ACUTE}\N{SNOWMAN} %_'
    odd = agent(its, jobs, ("ci:name", name), name="Odd")
    agent(its, jobs, ("ci:name", name[:-1] + "x"), name="Nearly")
    agent(its, jobs, ("ci:name", name), ("ci:ref", "refs/heads/other"), name="Other branch")
    assert client_of(by_grant(its.door(), jobs.token(name=name))) == odd
    assert told(by_grant(its.door(), jobs.token(name="%"))) == BAD


@pytest.mark.soak
@pytest.mark.sqlite_suffices  # a pod gets a token on PostgreSQL in every run
def test_many_neighbours_hide_no_client(its: House) -> None:
    cluster = kubernetes()
    trust(its, cluster)
    for number in range(MOST + 1):
        agent(its, cluster, POD[0], ("k8s:sa", f"sa-{number}"), name=f"A neighbour {number}")
    mine = agent(its, cluster, *POD, name="Mine")
    assert client_of(by_grant(its.door(), cluster.token())) == mine


@pytest.mark.sqlite_suffices  # the search for a pod's client has PostgreSQL
def test_where_two_clients_match_only_the_operator_is_told_which(its: House) -> None:
    cluster = kubernetes()
    trust(its, cluster)
    one, two = (agent(its, cluster, *POD, name=name) for name in ("One", "Two"))
    refused = by_grant(its.door(), cluster.token())
    assert told(refused) == BAD
    nobody = by_grant(its.door(), cluster.token(sub="system:serviceaccount:production:nobody"))
    assert {**refused.json(), "request_id": ""} == {**nobody.json(), "request_id": ""}
    for name in (one, two, "One", "Two", "several"):
        assert name not in refused.text
    event = next(each.event for each in refusals(its) if each.event.reason == "client_ambiguous")
    assert [each["id"] for each in event.detail["clients"]] == [one, two]
    assert event.detail["trusted_issuer"] == {"id": cluster.trusted_issuer.id, "name": "cluster-a"}
    assert "`One`" in event.detail["miss"]["sentence"]
    assert client_of(by_grant(its.door(), cluster.token(), client_id=two)) == two
    assert client_of(by_grant(its.door(), cluster.token(), client_id="one")) == one


@pytest.mark.sqlite_suffices
def test_the_audit_log_of_such_refusals_can_be_sealed_and_verified(its: House) -> None:
    cluster, door = kubernetes(), its.door()
    trust(its, cluster)
    selectors = [{"key": key, "value": value} for key, value in POD]
    assert told(by_grant(door, cluster.token())) == BAD
    assert told(by_grant(door, cluster.token(exp=1))) == BAD
    for name in ("One", "Two"):
        made = door.post(
            "/authsec/api/v1/clients", json={"name": name, "platform": "kubernetes", "selectors": selectors}
        )
        assert made.status_code == 201, made.text
    assert told(by_grant(door, cluster.token())) == BAD
    its.clock.at += timedelta(minutes=10)
    while its.authority.dropper.sealer.seal():
        pass
    assert its.authority.database.read(lambda tx: verify_log(tx, its.authority.sealing_keyring.by_kid())).findings == ()
    assert {each.event.reason for each in refusals(its)} == {
        "selectors_mismatch",
        "attestation_invalid",
        "client_ambiguous",
    }


@pytest.mark.sqlite_suffices  # likewise
def test_a_repeated_search_reads_no_proofs_until_something_changes(its: House, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster, searched, search = kubernetes(), list[str](), workload_proofs.candidates

    def counted(tx: Tx, trusted_issuer: Any, *args: Any, **named: Any) -> Any:
        searched.append(trusted_issuer.name)
        return search(tx, trusted_issuer, *args, **named)

    monkeypatch.setattr(workload_proofs, "candidates", counted)
    trust(its, cluster)
    for _ in range(3):
        assert told(by_grant(its.door(), cluster.token())) == BAD
    assert searched == ["cluster-a"]
    its.delegated_name("Something else")
    assert told(by_grant(its.door(), cluster.token())) == BAD
    assert len(searched) == 2
    mine = agent(its, cluster, *POD, name="Mine")
    its.delegated_name("Something more")  # `agent` writes its proof by raw SQL, which changes no version
    assert client_of(by_grant(its.door(), cluster.token())) == mine


@pytest.mark.sqlite_suffices  # likewise
def test_a_disabled_client_leaves_the_workload_to_the_enabled_one(its: House) -> None:
    cluster = kubernetes()
    trust(its, cluster)
    before, after = (agent(its, cluster, *POD, name=name) for name in ("Before", "Now"))
    its.door().post(f"/authsec/api/v1/clients/{before}/disable")
    assert client_of(by_grant(its.door(), cluster.token())) == after
    its.door().post(f"/authsec/api/v1/clients/{after}/disable")
    assert told(by_grant(its.door(), cluster.token())) == (400, "invalid_grant", "client_disabled")


@pytest.mark.sqlite_suffices  # likewise
def test_an_expired_proof_does_not_match(its: House) -> None:
    cluster = kubernetes()
    trust(its, cluster)
    mine, ended = (agent(its, cluster, *POD, name=name) for name in ("Mine", "Ended"))

    def end(tx: Tx) -> None:
        at = its.clock.now() + timedelta(seconds=1)
        tx.connection.execute(update(proofs).where(proofs.c.client_id == ended).values(expires_at=at))

    its.authority.database.append(end)
    assert told(by_grant(its.door(), cluster.token())) == BAD, "both match, until the end of one"
    its.clock.at += timedelta(seconds=2)
    assert client_of(by_grant(its.door(), cluster.token())) == mine


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"exp": 1}, "expired"),
        ({"aud": ["https://elsewhere.example"]}, "`aud`"),
        ({"sub": "system:serviceaccount:production:other"}, "different service accounts"),
    ],
)
def test_the_operator_sees_why_a_token_of_a_trusted_issuer_is_refused(
    its: House, changes: dict[str, Any], sentence: str
) -> None:
    cluster = kubernetes()
    trust(its, cluster)
    agent(its, cluster, *POD)
    assert told(by_grant(its.door(), cluster.token(**changes))) == BAD
    (event,) = [each.event for each in refusals(its)]
    assert sentence in event.detail["failed"]
    assert (event.client, event.detail["trusted_issuer"]["name"]) == (None, "cluster-a")


@pytest.mark.sqlite_suffices
def test_the_operator_sees_which_workload_nobody_registered(its: House) -> None:
    cluster = kubernetes()
    trust(its, cluster)
    assert told(by_grant(its.door(), cluster.token())) == BAD
    (event,) = [each.event for each in refusals(its)]
    assert event.reason == "selectors_mismatch"
    assert "k8s:sa `customer-support-sa`" in event.detail["miss"]["sentence"]


@pytest.mark.sqlite_suffices
def test_a_stranger_s_token_of_a_disabled_issuer_and_nonsense_are_refused_alike(its: House) -> None:
    cluster, disabled = kubernetes(), spire()
    for issuer in (cluster, disabled):
        trust(its, issuer)
    agent(its, disabled, (SPIFFE_ID, SUPPORT))
    its.authority.database.change(lambda tx: issuers.disable(tx, operator(its), disabled.trusted_issuer.id))
    keyed = its.delegated_agent("Keyed", key=EC)
    stranger = Issuer(cluster.trusted_issuer, PrivateKey.generate_rsa())
    for token in (
        stranger.token(),
        disabled.token(),
        github().token(),
        asserted(EC, keyed.client_id, its.clock.now()),  # a key pair is no workload
        "x",
        cluster.token(iss="\0"),
        cluster.token(iss=["https://kubernetes.default.svc.cluster.local"]),
    ):
        assert told(by_grant(its.door(), token)) == BAD


@pytest.mark.sqlite_suffices
def test_the_assertion_stands_alone(its: House) -> None:
    cluster = kubernetes()
    trust(its, cluster)
    agent(its, cluster, *POD)
    door, token = its.door(), cluster.token()
    malformed = (400, "invalid_request", "invalid_request")
    assert told(by_grant(door, token, client_secret="x", client_id="support")) == malformed
    assert told(by_grant(door, token, client_assertion=token)) == malformed
    assert told(by_grant(door, token, auth=("support", "x"))) == malformed
    assert told(by_grant(door, token, assertion=[token, token])) == malformed
    assert told(by_grant(door, token, assertion=None)) == malformed
    assert told(by_grant(door, token, client_id="no-such-agent")) == BAD


@pytest.mark.sqlite_suffices
def test_what_is_delegated_is_decided_as_for_any_other_request(its: House) -> None:
    cluster = kubernetes()
    trust(its, cluster)
    agent(its, cluster, *POD, excluded_proofs=("selectors",))
    excluded = (400, "unauthorized_client", "proof_not_accepted")
    assert told(by_grant(its.door(), cluster.token())) == excluded
    assert told(by_grant(its.door(), cluster.token(), scope="openid")) == (400, "invalid_scope", "invalid_scope")
