"""The proofs that a client holds: one more, one less; on both databases."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from authsec.jose import PrivateKey
from authsec_server.audit import service as audit
from authsec_server.audit.model import Event, EventKind, Named
from authsec_server.clients import held_proofs, service
from authsec_server.clients.model import MAX_PROOFS, Client, NewProof, Onboarding, Platform, ProofKind
from authsec_server.clients.store import proofs
from authsec_server.db import Database
from authsec_server.failures import Conflict, Invalid, NotFound, NotPermitted
from authsec_server.principal import Act, Role
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind
from sqlalchemy import func, select

pytestmark = pytest.mark.sqlite_suffices

SEEN = (("k8s:ns", "production"), ("k8s:sa", "support"))


def pem() -> str:
    return PrivateKey.generate_ed25519().public.to_pem().decode()


def onboard(database: Database, act: Act, name: str = "Customer Support", **what: Any) -> Client:
    wanted = Onboarding(name=name, **({"platform": "kubernetes", "selectors": SEEN} | what))
    return database.change(lambda tx: service.create(tx, act, wanted))


def add(database: Database, act: Act, client: Client, platform: str, **what: Any) -> Client:
    return database.change(lambda tx: held_proofs.add_proof(tx, act, client.slug, NewProof(platform=platform, **what)))


def remove(database: Database, act: Act, client: Client, proof_id: str) -> Client:
    return database.change(lambda tx: held_proofs.remove_proof(tx, act, client.id, proof_id))


def stored(database: Database, client: Client) -> Client | None:
    return database.read(lambda tx: service.load(tx, client.id))


def audit_log(database: Database, act: Act) -> list[Event]:
    return [each.event for each in reversed(database.read(lambda tx: audit.page(tx, act.principal).items))]


def after(act: Act, **amount: float) -> Act:
    return replace(act, now=act.now + timedelta(**amount))


def test_a_client_gets_a_second_way_to_prove_itself(database: Database, act: Act) -> None:
    client = onboard(database, act)
    assert not client.can_prove_itself(act.now)
    held = add(database, after(act, hours=1), client, "key", public_key=pem())
    assert [proof.kind for proof in held.proofs] == [ProofKind.SELECTORS, ProofKind.KEY_PAIR]
    assert held.can_prove_itself(act.now)
    assert held.platform is Platform.KUBERNETES, "that of its first proof"
    assert (held.revision, held.changed_by) == (2, "local operator")
    assert stored(database, client) == held
    event = audit_log(database, act)[-1]
    assert (event.kind, event.client) == (EventKind.PROOF_ADDED, Named(id=client.id, name="Customer Support"))
    assert event.subject == Named(id=held.proofs[1].id, name="key_pair")
    assert event.detail == {"kind": "key_pair", "selectors": [], "thumbprint": held.proofs[1].thumbprint}


def test_a_proof_may_have_an_end(database: Database, act: Act) -> None:
    client = onboard(database, act)
    end = act.now + timedelta(hours=1)
    held = add(database, after(act, minutes=1), client, "unattested", expires_at=end)
    assert held.unattested(act.now)
    assert not held.unattested(end)
    assert stored(database, client) == held
    assert audit_log(database, act)[-1].detail["expires_at"] == "2026-11-25T13:00:00+00:00"


def test_a_proof_that_has_ended_already_is_refused(database: Database, act: Act) -> None:
    client = onboard(database, act)
    for end in (act.now, act.now - timedelta(days=1)):
        with pytest.raises(Invalid, match="must be in the future") as caught:
            add(database, act, client, "unattested", expires_at=end)
        assert caught.value.field == "expires_at"
    assert stored(database, client) == client


@pytest.mark.parametrize(
    ("platform", "what", "field"),
    [
        ("k8s", {}, "platform"),
        ("key", {}, "public_key"),
        ("key", {"public_key": PrivateKey.generate_ed25519().to_pem().decode()}, "public_key"),
        ("kubernetes", {}, "selectors"),
        ("docker", {"selectors": SEEN}, "selectors.0"),
        ("unattested", {"selectors": SEEN}, "selectors"),
        ("unattested", {"public_key": pem()}, "public_key"),
    ],
)
def test_a_proof_obeys_the_rules_of_onboarding(
    database: Database, act: Act, platform: str, what: dict[str, Any], field: str
) -> None:
    client = onboard(database, act)
    with pytest.raises(Invalid) as caught:
        add(database, act, client, platform, **what)
    assert caught.value.field == field
    assert stored(database, client) == client


def test_the_same_proof_is_not_held_twice(database: Database, act: Act) -> None:
    key = pem()
    client = onboard(database, act)
    add(database, after(act, hours=1), client, "key", public_key=key)
    held = add(database, after(act, hours=2), client, "unattested", expires_at=act.now + timedelta(hours=3))
    for what in (
        {"platform": "kubernetes", "selectors": SEEN[::-1]},
        {"platform": "key", "public_key": key},
        {"platform": "unattested"},
    ):
        with pytest.raises(Conflict, match="already has this proof"):
            add(database, after(act, hours=4), client, **what)
    assert stored(database, client) == held


def test_proofs_have_a_number(database: Database, act: Act) -> None:
    client = onboard(database, act, platform="unix", selectors=[("unix:uid", "0")])
    for number in range(1, MAX_PROOFS):
        add(database, act, client, "unix", selectors=(("unix:uid", str(number)),))
    with pytest.raises(Conflict, match="has 16 proofs"):
        add(database, act, client, "key", public_key=pem())


def test_a_key_of_another_client_is_refused(database: Database, act: Act) -> None:
    key = pem()
    onboard(database, act, name="Payroll", platform="key", selectors=(), public_key=key)
    client = onboard(database, act)
    with pytest.raises(Conflict, match="belongs to 'Payroll'"):
        add(database, act, client, "key", public_key=key)


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_of_many_that_want_one_key_exactly_one_gets_it(database: Database, act: Act) -> None:
    key, outcomes = pem(), []
    held = [onboard(database, act, name=f"agent {number}") for number in range(6)]

    def attempt(client: Client) -> None:
        try:
            outcomes.append(add(database, act, client, "key", public_key=key))
        except Conflict as conflict:
            outcomes.append(conflict)

    threads = [threading.Thread(target=attempt, args=(client,)) for client in held]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Client", *["Conflict"] * 5]
    counted = select(func.count()).select_from(proofs).where(proofs.c.thumbprint.is_not(None))
    assert database.read(lambda tx: tx.connection.execute(counted).scalar_one()) == 1


def test_removing_a_proof_ends_its_tokens_and_no_others(database: Database, act: Act) -> None:
    client = onboard(database, act)
    held = add(database, after(act, hours=1), client, "key", public_key=pem())
    first, second = held.proofs
    rest = remove(database, after(act, hours=2), held, first.id)
    assert rest.proofs == (second,)
    assert rest.platform is Platform.KEY, "its first proof is now another"
    assert stored(database, client) == rest
    (revocation,) = database.read(lambda tx: revocations.since(tx, 0))
    assert (revocation.subject_kind, revocation.subject_id, revocation.version) == (SubjectKind.PROOF, first.id, 3)
    event = audit_log(database, act)[-1]
    assert (event.kind, event.subject) == (EventKind.PROOF_REMOVED, Named(id=first.id, name="selectors"))
    assert event.detail["selectors"] == [list(pair) for pair in SEEN], "what it was stays known"


def test_the_last_proof_may_go_and_another_may_come(database: Database, act: Act) -> None:
    client = onboard(database, act)
    bare = remove(database, act, client, client.proofs[0].id)
    assert bare.proofs == ()
    assert bare.platform is Platform.KUBERNETES, "as long as nothing else is known"
    assert not bare.can_prove_itself(act.now)
    assert not bare.unattested(act.now)
    assert stored(database, client) == bare
    assert add(database, act, client, "docker", selectors=(("docker:image_id", "a"),)).platform is Platform.DOCKER


def test_a_removed_key_may_be_given_anew(database: Database, act: Act) -> None:
    key = pem()
    client = onboard(database, act, platform="key", selectors=(), public_key=key)
    remove(database, act, client, client.proofs[0].id)
    again = add(database, act, client, "key", public_key=key)
    assert again.proofs[0].id != client.proofs[0].id, "tokens of the one before stay ended"


def test_a_proof_of_another_client_is_not_found(database: Database, act: Act) -> None:
    client, other = onboard(database, act), onboard(database, act, name="Other")
    for proof_id in (other.proofs[0].id, "", "\0", "x" * 10_000):
        with pytest.raises(NotFound, match="Customer Support has no proof"):
            remove(database, act, client, proof_id)
    assert stored(database, other) == other


def test_a_viewer_changes_no_proof(database: Database, act: Act) -> None:
    viewer = replace(act, principal=replace(act.principal, role=Role.VIEWER))
    client = onboard(database, act)
    with pytest.raises(NotPermitted):
        add(database, viewer, client, "unattested")
    with pytest.raises(NotPermitted):
        remove(database, viewer, client, client.proofs[0].id)
    assert stored(database, client) == client


@pytest.mark.parametrize("days", [None, 1])
def test_what_has_no_end_stands_for_ever(database: Database, act: Act, days: int | None) -> None:
    end = None if days is None else act.now + timedelta(days=days)
    client = onboard(database, act)
    held = add(database, act, client, "key", public_key=pem(), expires_at=end)
    held = add(database, act, held, "unattested", expires_at=end)
    for now in (act.now, act.now + timedelta(days=1)):
        assert held.can_prove_itself(now) is held.unattested(now) is (end is None or now < end)
