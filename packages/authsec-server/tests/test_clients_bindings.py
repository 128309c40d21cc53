"""Proofs that are given a trusted issuer, and what becomes of them with it; on both databases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from authsec_server.audit import service as audit
from authsec_server.audit.model import Event, EventKind, Named
from authsec_server.clients import bindings, held_proofs, search, service
from authsec_server.clients.model import Attention, Client, NewProof, Platform
from authsec_server.clients.search import ClientFilters
from authsec_server.db import Database, Tx
from authsec_server.failures import Conflict, Invalid, NotFound, NotPermitted
from authsec_server.issuers import service as issuers
from authsec_server.issuers.model import TrustedIssuer
from authsec_server.principal import Act, Role
from authsec_server.revocations import service as revocations
from selector_proofs import OURS, SEEN, actions, cluster, onboard, our_spire

pytestmark = pytest.mark.sqlite_suffices

T = TypeVar("T")
CANNOT_PROVE = ClientFilters(attention=Attention.CANNOT_PROVE)
REPOSITORY = (("github:repository", "example/agent"),)


class House:
    """A database with somebody who acts in it."""

    def __init__(self, database: Database, act: Act) -> None:
        self.database, self.act = database, act

    def do(self, work: Callable[[Tx, Act], T]) -> T:
        return self.database.change(lambda tx: work(tx, self.act))

    def see(self, work: Callable[[Tx, Act], T]) -> T:
        return self.database.read(lambda tx: work(tx, self.act))

    def bind(self, trusted_issuer: TrustedIssuer, *proof_ids: str) -> list[bindings.BoundProof]:
        return self.do(
            lambda tx, act: bindings.bind(tx, act, trusted_issuer.slug, proof_ids or None, trust_domain=OURS)
        )

    def waiting(self, trusted_issuer: TrustedIssuer) -> list[str]:
        held = self.see(lambda tx, act: bindings.waiting(tx, act, trusted_issuer, trust_domain=OURS))
        return [each.client.name for each in held]

    def client(self, client: Client) -> Client:
        found = self.see(lambda tx, _: service.load(tx, client.id))
        assert found is not None
        return found

    def helpless(self) -> list[str]:
        return [each.name for each in self.see(lambda tx, act: search.page_of(tx, act, CANNOT_PROVE))[0]]

    def audit_log(self, kind: EventKind) -> list[Event]:
        newest = self.see(lambda tx, act: audit.page(tx, act.principal).items)
        return [each.event for each in reversed(newest) if each.event.kind is kind]

    def add(self, client: Client, platform: str, **what: Any) -> Client:
        wanted = NewProof(platform=platform, **what)
        return self.do(lambda tx, act: held_proofs.add_proof(tx, act, client.id, wanted, trust_domain=OURS))


@pytest.fixture
def its(database: Database, act: Act) -> House:
    return House(database, act)


def test_those_that_waited_are_bound_at_once(its: House) -> None:
    support, billing = onboard(its.database, its.act), onboard(its.database, its.act, "Billing")
    onboard(its.database, its.act, "Nightly", platform="oidc", selectors=REPOSITORY)
    onboard(its.database, its.act, "Labelled", selectors=(("k8s:pod-label:app", "x"),))
    trusted_issuer = cluster(its.database, its.act)
    assert its.helpless() == ["Billing", "Labelled", "Nightly", "Support"]
    assert its.waiting(trusted_issuer) == ["Billing", "Support"], "the others it could not prove"
    assert [each.client.name for each in its.bind(trusted_issuer)] == ["Billing", "Support"]
    assert its.helpless() == ["Labelled", "Nightly"]
    assert its.waiting(trusted_issuer) == []
    held = its.client(support)
    assert held.can_prove_itself(its.act.now)
    assert (held.revision, held.changed_by) == (2, "local operator")
    event = its.audit_log(EventKind.PROOF_BOUND)[0]
    assert event.client == Named(id=billing.id, name="Billing")
    assert event.detail["trusted_issuer_id"] == trusted_issuer.id
    assert its.bind(trusted_issuer) == [], "twice is as good as once"


def test_one_is_bound_by_name(its: House) -> None:
    support, billing = onboard(its.database, its.act), onboard(its.database, its.act, "Billing")
    trusted_issuer = cluster(its.database, its.act)
    its.bind(trusted_issuer, support.proofs[0].id)
    assert its.bind(trusted_issuer, support.proofs[0].id) == []
    assert its.client(support).proofs[0].trusted_issuer_id == trusted_issuer.id
    assert its.client(billing) == billing


def test_what_the_trusted_issuer_cannot_prove_is_not_bound(its: House) -> None:
    labelled = onboard(its.database, its.act, selectors=(*SEEN, ("k8s:pod-label:app", "x")))
    docker = onboard(its.database, its.act, "Docker", platform="docker", selectors=(("docker:image_id", "a"),))
    keyless = onboard(its.database, its.act, "Open", platform="unattested", selectors=())
    trusted_issuer = cluster(its.database, its.act)
    for client, says in (
        (labelled, "is not set up to prove k8s:pod-label:app"),
        (docker, "cannot prove"),
        (keyless, "needs no"),
    ):
        with pytest.raises(Invalid, match=says) as caught:
            its.bind(trusted_issuer, client.proofs[0].id)
        assert caught.value.field == "proofs"
        assert client.name in caught.value.message
        assert its.client(client) == client
    with pytest.raises(NotFound, match="There is no proof"):
        its.bind(trusted_issuer, "\0")


def test_either_all_that_were_named_are_bound_or_none(its: House) -> None:
    support, labelled = (
        onboard(its.database, its.act),
        onboard(its.database, its.act, "L", selectors=(("k8s:pod-label:a", "x"),)),
    )
    trusted_issuer = cluster(its.database, its.act)
    with pytest.raises(Invalid):
        its.bind(trusted_issuer, support.proofs[0].id, labelled.proofs[0].id)
    assert its.client(support) == support


def test_a_proof_stays_with_its_trusted_issuer(its: House) -> None:
    first = cluster(its.database, its.act)
    client = onboard(its.database, its.act)
    second = cluster(its.database, its.act, "cluster-b")
    assert its.waiting(second) == []
    with pytest.raises(Conflict, match=r"is bound to the trusted issuer 'cluster-a' \(cluster-a\)"):
        its.bind(second, client.proofs[0].id)
    assert its.client(client).proofs[0].trusted_issuer_id == first.id


def test_what_a_client_holds_of_the_trusted_issuer_already_is_not_bound_to_it_again(its: House) -> None:
    client = onboard(its.database, its.act)
    trusted_issuer = cluster(its.database, its.act)
    held = its.add(client, "kubernetes", selectors=SEEN, trusted_issuer=trusted_issuer.slug)
    assert [each.trusted_issuer_id for each in held.proofs] in ([None, trusted_issuer.id], [trusted_issuer.id, None])
    (without_issuer,) = [each.id for each in held.proofs if each.trusted_issuer_id is None]
    assert its.bind(trusted_issuer) == []
    with pytest.raises(Conflict, match="already has a proof with these selectors"):
        its.bind(trusted_issuer, without_issuer)


def test_a_disabled_trusted_issuer_proves_nothing_until_it_is_enabled(its: House) -> None:
    trusted_issuer = cluster(its.database, its.act)
    onboard(its.database, its.act)
    keyed = its.add(onboard(its.database, its.act, "Open"), "unattested")
    its.do(lambda tx, act: bindings.disable_trusted_issuer(tx, act, trusted_issuer.id))
    assert its.helpless() == ["Support"]
    assert not its.client(keyed).can_prove_itself(its.act.now)
    edited = its.do(lambda tx, act: service.edit(tx, act, "support", revision=1, changes={"description": "x"}))
    assert edited.revision == 2, "nobody's edit is outdated by it"
    assert its.helpless() == ["Support"], "an edit does not make it count again"
    its.do(lambda tx, act: bindings.enable_trusted_issuer(tx, act, trusted_issuer.slug))
    assert its.helpless() == []
    assert its.client(edited).can_prove_itself(its.act.now)


def test_what_is_derived_is_what_the_clients_say(its: House) -> None:
    """With an end, with a second trusted issuer, with a key: by the statement as by the model."""
    trusted_issuer, other = cluster(its.database, its.act), cluster(its.database, its.act, "cluster-b")
    soon = its.act.now + timedelta(hours=1)
    mixed = onboard(its.database, its.act, "Mixed", trusted_issuer=trusted_issuer.slug)
    its.add(mixed, "kubernetes", selectors=SEEN, trusted_issuer=other.slug, expires_at=soon)
    onboard(its.database, its.act, "Alone", trusted_issuer=trusted_issuer.slug)
    for verb in (bindings.disable_trusted_issuer, bindings.enable_trusted_issuer, bindings.disable_trusted_issuer):
        its.do(lambda tx, act, verb=verb: verb(tx, act, trusted_issuer.slug))
        for now in (its.act.now, soon):
            asked = replace(its.act, now=now)
            listed = its.database.read(lambda tx, asked=asked: search.page_of(tx, asked, CANNOT_PROVE))[0]
            everybody = its.see(lambda tx, act: search.page_of(tx, act))[0]
            assert listed == [each for each in everybody if not each.can_prove_itself(now)]


def test_a_trusted_issuer_that_proofs_name_stays(its: House) -> None:
    trusted_issuer = cluster(its.database, its.act)
    client = onboard(its.database, its.act)
    with pytest.raises(
        Conflict,
        match=r"1 proof of 1 client depends on the trusted issuer 'cluster-a'\. Clients without another proof: Support",
    ) as caught:
        its.do(lambda tx, act: bindings.remove_trusted_issuer(tx, act, trusted_issuer.slug))
    assert "--with-proofs" in caught.value.remedy
    assert its.client(client) == client


def test_a_trusted_issuer_goes_with_its_proofs(its: House) -> None:
    trusted_issuer = cluster(its.database, its.act)
    alone, other = onboard(its.database, its.act), onboard(its.database, its.act, "Other")
    other = its.add(other, "unattested")
    its.do(lambda tx, act: bindings.remove_trusted_issuer(tx, act, trusted_issuer.slug, with_proofs=True))
    assert its.see(lambda tx, _: issuers.find(tx, trusted_issuer.id)) is None
    bare = its.client(alone)
    assert (bare.proofs, bare.revision, bare.platform) == ((), 2, Platform.KUBERNETES)
    rest = its.client(other)
    assert [each.kind for each in rest.proofs] == ["unattested"]
    assert rest.platform is Platform.UNATTESTED, "its first proof is now another"
    assert its.helpless() == ["Support"]
    (revocation,) = its.see(lambda tx, _: revocations.since(tx, 0))
    assert (revocation.subject_kind, revocation.subject_id) == ("source", trusted_issuer.id)
    assert [each.client.name for each in its.audit_log(EventKind.PROOF_REMOVED) if each.client] == ["Other", "Support"]
    (deleted,) = its.audit_log(EventKind.ISSUER_DELETED)
    assert [each["name"] for each in deleted.detail["proofs"]] == ["Other", "Support"]


def test_a_trusted_issuer_that_nobody_names_goes_alone(its: House) -> None:
    trusted_issuer = actions(its.database, its.act)
    its.do(lambda tx, act: bindings.remove_trusted_issuer(tx, act, trusted_issuer.id))
    assert its.see(lambda tx, _: issuers.find(tx, trusted_issuer.id)) is None


def test_who_would_be_kept_out_is_known_beforehand(its: House) -> None:
    trusted_issuer = cluster(its.database, its.act)
    onboard(its.database, its.act, "Alone")
    its.add(onboard(its.database, its.act, "Open"), "unattested")
    twice = onboard(its.database, its.act, "Twice")
    other = cluster(its.database, its.act, "cluster-b")
    its.add(twice, "kubernetes", selectors=SEEN, trusted_issuer=other.slug)

    def users(which: TrustedIssuer) -> tuple[int, int, list[str]]:
        seen = its.see(lambda tx, act: bindings.users_of(tx, act, which))
        return seen.proofs, seen.clients, [each.name for each in seen.stranded]

    assert users(trusted_issuer) == (3, 3, ["Alone"])
    its.do(lambda tx, act: bindings.disable_trusted_issuer(tx, act, other.slug))
    assert users(trusted_issuer) == (3, 3, ["Alone", "Twice"]), "the other one counts no more"
    assert users(other) == (1, 1, []), "it lets nobody in already"


def test_many_that_would_be_kept_out_are_cut_short(its: House) -> None:
    trusted_issuer = cluster(its.database, its.act)
    for number in range(bindings.MOST_STRANDED + 1):
        onboard(its.database, its.act, f"agent {number:02}")
    seen = its.see(lambda tx, act: bindings.users_of(tx, act, trusted_issuer))
    assert (len(seen.stranded), seen.more) == (bindings.MOST_STRANDED, True)


def test_spire_proves_what_waited_for_it(its: House) -> None:
    onboard(its.database, its.act, "Docker", platform="docker", selectors=(("docker:image_id", "a"),))
    trusted_issuer = our_spire(its.database, its.act)
    assert its.see(lambda tx, act: bindings.waiting(tx, act, trusted_issuer)) == [], "without our trust domain none"
    assert [each.client.name for each in its.bind(trusted_issuer)] == ["Docker"]


def test_who_may(its: House) -> None:
    trusted_issuer = cluster(its.database, its.act)
    onboard(its.database, its.act)
    viewer = replace(its.act, principal=replace(its.act.principal, role=Role.VIEWER))
    operator = replace(its.act, principal=replace(its.act.principal, role=Role.OPERATOR))
    with pytest.raises(NotPermitted):
        its.database.change(lambda tx: bindings.bind(tx, viewer, trusted_issuer.slug))
    its.database.change(lambda tx: bindings.bind(tx, operator, trusted_issuer.slug))
    for verb in (bindings.disable_trusted_issuer, bindings.enable_trusted_issuer, bindings.remove_trusted_issuer):
        with pytest.raises(NotPermitted):
            its.database.change(lambda tx, verb=verb: verb(tx, operator, trusted_issuer.slug))


def test_many_are_bound_and_taken_away_in_several_changes(its: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (bindings, bindings):
        monkeypatch.setattr(module, "MOST_AT_ONCE", 2)
    held = [onboard(its.database, its.act, f"agent {number}") for number in range(5)]
    trusted_issuer = cluster(its.database, its.act)
    assert [len(its.bind(trusted_issuer)) for _ in range(4)] == [2, 2, 1, 0]
    with pytest.raises(Invalid, match="more than 2 proofs"):
        its.bind(trusted_issuer, *(each.proofs[0].id for each in held))

    def remove() -> tuple[int, int]:
        removed = its.do(lambda tx, act: bindings.remove_trusted_issuer(tx, act, trusted_issuer.id, with_proofs=True))
        return removed.proofs, removed.left

    assert remove() == (2, 3)
    half = its.see(lambda tx, _: issuers.find(tx, trusted_issuer.id))
    assert half is not None
    assert not half.enabled, "nobody gets in by what is going"
    assert len(its.helpless()) == 5
    assert [remove(), remove()] == [(2, 1), (1, 0)]
    assert its.see(lambda tx, _: issuers.find(tx, trusted_issuer.id)) is None
