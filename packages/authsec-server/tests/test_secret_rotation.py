"""A client's secrets: made and shown once, rotated with an overlap; on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from authsec.client_secret import is_client_secret
from authsec_server.audit.model import Named
from authsec_server.clients import held_proofs
from authsec_server.clients import service as clients
from authsec_server.clients.held_proofs import MAX_OVERLAP
from authsec_server.clients.model import MAX_PROOFS, OVERLAP, Client, NewProof, Platform, Proof, ProofKind
from authsec_server.failures import Conflict, Invalid, NotFound, NotPermitted
from authsec_server.principal import Role
from authsec_server.revocations.model import SubjectKind

pytestmark = pytest.mark.sqlite_suffices

PLACE = {"platform": "unix", "selectors": (("unix:uid", "1"),)}


def rotated(estate: Any, client: Client, **what: Any) -> Client:
    made: Client = estate.do(lambda tx, act: held_proofs.rotate_secret(tx, act, client.slug, **what))
    return made


def stored(estate: Any, client: Client) -> Client:
    found: Client = estate.see(lambda tx, act: clients.get(tx, act, client.id))
    return found


def ends(estate: Any, client: Client) -> list[timedelta | None]:
    """When each of its proofs ends, from now on, in the order in which they were added."""
    held = [proof.expires_at for proof in stored(estate, client).proofs]
    return [None if end is None else end - estate.act.now for end in held]


def later(estate: Any, **amount: float) -> None:
    estate.act = replace(estate.act, now=estate.act.now + timedelta(**amount))


def fresh(client: Client) -> Proof:
    (made,) = [proof for proof in client.proofs if proof.secret]
    return made


def test_a_secret_is_shown_once_and_kept_as_a_hash(estate: Any) -> None:
    client = estate.agent(platform="secret")
    (proof,) = client.proofs
    assert is_client_secret(client.fresh_secret)
    assert (proof.kind, client.platform, proof.expires_at) == (ProofKind.SECRET, Platform.SECRET, None)
    assert proof.secret_sha256 == sha256(client.fresh_secret.encode()).hexdigest()
    assert client.can_prove_itself(estate.act.now)
    assert client.holds_secret(estate.act.now)
    again = stored(estate, client)
    assert again == client
    assert again.fresh_secret is None
    assert estate.agent("Other", platform="secret").fresh_secret != client.fresh_secret
    assert client.fresh_secret not in repr(client)


def test_a_secret_is_never_of_the_callers_choice(estate: Any) -> None:
    for what in ({"selectors": (("k8s:ns", "x"),)}, {"public_key": "mine"}, {"trusted_issuer": "x"}):
        with pytest.raises(Invalid):
            estate.agent(platform="secret", **what)


def test_rotating_leaves_the_one_before_for_a_day(estate: Any) -> None:
    client = estate.agent(platform="secret")
    later(estate, days=3)
    made = rotated(estate, client)
    first, second = made.proofs
    assert first.id == client.proofs[0].id
    assert (fresh(made), second.expires_at) == (second, None)
    assert ends(estate, client) == [OVERLAP, None]
    assert stored(estate, client) == made
    assert (made.revision, made.platform) == (2, Platform.SECRET)
    assert estate.endings() == [], "its tokens last"
    (event,) = estate.events("proof.rotated")
    assert event.subject == Named(id=second.id, name="secret")
    assert [each["id"] for each in event.detail["before"]] == [first.id]


def test_an_overlap_never_lengthens_a_life(estate: Any) -> None:
    client = estate.agent(platform="secret")
    later(estate, hours=1)
    rotated(estate, client, overlap=timedelta(hours=2))
    later(estate, hours=1)
    made = rotated(estate, client, overlap=MAX_OVERLAP)
    hour = timedelta(hours=1)
    assert ends(estate, client) == [hour, MAX_OVERLAP, None]
    later(estate, hours=1)
    again = rotated(estate, client)
    assert made.proofs[0].id not in {proof.id for proof in again.proofs}, "what has ended is cleared away"
    assert ends(estate, client) == [OVERLAP, OVERLAP, None]


def test_the_new_secret_lives_no_longer_than_was_meant(estate: Any) -> None:
    client = estate.agent(**PLACE)
    for hours in (5, 9):
        end = estate.act.now + timedelta(hours=hours)
        wanted = NewProof(platform="secret", expires_at=end)
        estate.do(lambda tx, act, wanted=wanted: held_proofs.add_proof(tx, act, client.id, wanted))
        later(estate, minutes=1)
    made = fresh(rotated(estate, client))
    assert made.expires_at == end


def test_without_an_overlap_the_old_ones_and_their_tokens_end_at_once(estate: Any) -> None:
    client = estate.agent(**PLACE)
    later(estate, hours=1)
    estate.do(lambda tx, act: held_proofs.add_proof(tx, act, client.id, NewProof(platform="secret")))
    later(estate, hours=1)
    two = rotated(estate, client)
    later(estate, hours=1)
    made = rotated(estate, client, overlap=timedelta(0))
    place, *secrets = two.proofs
    assert [proof.id for proof in made.proofs] == [place.id, fresh(made).id]
    assert stored(estate, client) == made
    assert {(kind, id_) for kind, id_, _ in estate.endings()} == {(SubjectKind.PROOF, proof.id) for proof in secrets}
    assert {event.subject.id for event in estate.events("proof.removed")} == {proof.id for proof in secrets}


def test_one_without_a_secret_that_counts_is_given_none(estate: Any) -> None:
    client = estate.agent(**PLACE)
    with pytest.raises(Conflict, match="no valid secret") as caught:
        rotated(estate, client)
    assert "agents proofs add helper --platform secret" in caught.value.remedy
    wanted = NewProof(platform="secret", expires_at=estate.act.now + timedelta(hours=1))
    estate.do(lambda tx, act: held_proofs.add_proof(tx, act, client.id, wanted))
    later(estate, hours=1)
    with pytest.raises(Conflict):
        rotated(estate, client)
    with pytest.raises(NotFound):
        estate.do(lambda tx, act: held_proofs.rotate_secret(tx, act, "nobody"))


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), MAX_OVERLAP + timedelta(seconds=1)])
def test_an_overlap_has_bounds(estate: Any, overlap: timedelta) -> None:
    client = estate.agent(platform="secret")
    with pytest.raises(Invalid, match="0 to 7 days"):
        rotated(estate, client, overlap=overlap)
    assert stored(estate, client) == client


def test_a_viewer_rotates_nothing(estate: Any) -> None:
    client = estate.agent(platform="secret")
    estate.act = replace(estate.act, principal=replace(estate.act.principal, role=Role.VIEWER))
    with pytest.raises(NotPermitted):
        rotated(estate, client)


def test_rotating_again_and_again_heaps_up_no_secrets(estate: Any) -> None:
    client = estate.agent(platform="secret")
    for _ in range(MAX_PROOFS - 1):
        later(estate, minutes=1)
        rotated(estate, client)
    with pytest.raises(Conflict, match="has 16 proofs"):
        rotated(estate, client)
    assert len(rotated(estate, client, overlap=timedelta(0)).proofs) == 1
    later(estate, days=1)
    for _ in range(3):
        later(estate, days=2)
        rotated(estate, client)
    assert len(stored(estate, client).proofs) == 2
