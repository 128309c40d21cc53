"""The trusted issuer that a new proof rests on; on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.audit import service as audit
from authsec_server.clients import held_proofs, search, service
from authsec_server.clients.model import Attention, Client, NewProof
from authsec_server.clients.search import ClientFilters
from authsec_server.db import Database
from authsec_server.failures import Conflict, Invalid
from authsec_server.issuers import service as issuers
from authsec_server.principal import Act
from selector_proofs import OURS, SEEN, actions, cluster, onboard, our_spire

pytestmark = pytest.mark.sqlite_suffices


def add(
    database: Database, act: Act, client: Client, platform: str, trusted_issuer: str | None = None, **what: Any
) -> Client:
    wanted = NewProof(platform=platform, trusted_issuer=trusted_issuer, **what)
    return database.change(lambda tx: held_proofs.add_proof(tx, act, client.id, wanted, trust_domain=OURS))


def helpless(database: Database, act: Act) -> list[str]:
    wanted = ClientFilters(attention=Attention.CANNOT_PROVE)
    return [each.name for each in database.read(lambda tx: search.page_of(tx, act, wanted))[0]]


def test_the_only_trusted_issuer_that_fits_is_taken(database: Database, act: Act) -> None:
    actions(database, act)
    trusted_issuer = cluster(database, act)
    client = onboard(database, act)
    assert [each.trusted_issuer_id for each in client.proofs] == [trusted_issuer.id]
    assert client.can_prove_itself(act.now)
    assert database.read(lambda tx: service.load(tx, client.id)) == client
    assert helpless(database, act) == []
    (event, *_) = database.read(lambda tx: audit.page(tx, act.principal).items)
    assert event.event.detail["proofs"][0]["trusted_issuer_id"] == trusted_issuer.id, "what it rested on stays known"


def test_without_a_suitable_trusted_issuer_onboarding_succeeds(database: Database, act: Act) -> None:
    actions(database, act)
    client = onboard(database, act)
    assert [each.trusted_issuer_id for each in client.proofs] == [None]
    assert not client.can_prove_itself(act.now)
    assert helpless(database, act) == ["Support"]


def test_a_disabled_trusted_issuer_is_taken_and_proves_nothing_yet(database: Database, act: Act) -> None:
    trusted_issuer = cluster(database, act)
    database.change(lambda tx: issuers.disable(tx, act, trusted_issuer.id))
    client = onboard(database, act)
    assert client.proofs[0].trusted_issuer_id == trusted_issuer.id
    assert not client.can_prove_itself(act.now)
    assert helpless(database, act) == ["Support"]
    assert database.read(lambda tx: service.load(tx, client.id)) == client


def test_of_several_one_must_be_named(database: Database, act: Act) -> None:
    for name in ("cluster-a", "cluster-b"):
        cluster(database, act, name)
    with pytest.raises(Invalid, match=r"2 trusted issuers can prove") as caught:
        onboard(database, act)
    assert caught.value.field == "trusted_issuer"
    assert database.read(lambda tx: service.page(tx, act))[0] == []
    client = onboard(database, act, trusted_issuer="cluster-b")
    second = database.read(lambda tx: issuers.find(tx, "cluster-b"))
    assert second is not None
    assert client.proofs[0].trusted_issuer_id == second.id


@pytest.mark.parametrize("named", ["", "nowhere", "\0", "11111111-1111-4111-8111-111111111111", "x" * 10_000])
def test_a_trusted_issuer_that_there_is_not(database: Database, act: Act, named: str) -> None:
    cluster(database, act)
    with pytest.raises(Invalid, match="There is no trusted issuer") as caught:
        onboard(database, act, trusted_issuer=named)
    assert caught.value.field == "trusted_issuer"


def test_who_proves_itself_without_a_trusted_issuer_names_none(database: Database, act: Act) -> None:
    cluster(database, act)
    with pytest.raises(Invalid, match="Unattested needs no trusted issuer") as caught:
        onboard(database, act, platform="unattested", selectors=(), trusted_issuer="cluster-a")
    assert caught.value.field == "trusted_issuer"
    assert onboard(database, act, platform="unattested", selectors=()).proofs[0].trusted_issuer_id is None


def test_the_same_selectors_at_another_trusted_issuer_are_another_proof(database: Database, act: Act) -> None:
    for name in ("cluster-a", "cluster-b"):
        cluster(database, act, name)
    client = onboard(database, act, trusted_issuer="cluster-a")
    held = add(database, act, client, "kubernetes", "cluster-b", selectors=SEEN)
    assert len({each.trusted_issuer_id for each in held.proofs}) == 2
    with pytest.raises(Conflict, match="already has this proof"):
        add(database, act, client, "kubernetes", "cluster-b", selectors=SEEN[::-1])


def test_a_workload_may_be_two_clients(database: Database, act: Act) -> None:
    cluster(database, act)
    assert onboard(database, act, "Old").proofs[0].selectors == onboard(database, act, "New").proofs[0].selectors


def test_spire_proves_docker(database: Database, act: Act) -> None:
    trusted_issuer = our_spire(database, act)
    client = onboard(database, act, platform="docker", selectors=(("docker:image_id", "a"),))
    assert client.proofs[0].trusted_issuer_id == trusted_issuer.id
    held = add(database, act, client, "unix", selectors=(("unix:uid", "1000"),))
    assert [each.trusted_issuer_id for each in held.proofs] == [trusted_issuer.id] * 2


def test_a_selector_that_the_trusted_issuer_can_never_prove_is_refused(database: Database, act: Act) -> None:
    cluster(database, act)
    with pytest.raises(Invalid, match="is not set up to prove k8s:container-name") as caught:
        onboard(database, act, selectors=(*SEEN, ("k8s:container-name", "agent")))
    assert caught.value.field == "selectors.2"
    assert database.read(lambda tx: service.page(tx, act))[0] == []
