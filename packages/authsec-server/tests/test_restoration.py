"""`authsec admin restored`: what the backup has forgotten cannot come back, and healthy agents go on."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from authsec_server.accounts import administrators, links
from authsec_server.apis import service as apis
from authsec_server.app.restoration import VERSIONS, Restoration, open_restoration
from authsec_server.audit.sealing.restore_loss import Loss
from authsec_server.audit.sealing.restores import restores_in
from authsec_server.clients import enrolment_service
from authsec_server.clients import service as clients
from authsec_server.clients.model import Onboarding
from authsec_server.db import Tx
from authsec_server.failures import NotFound
from authsec_server.keys import service as keys
from authsec_server.keys.model import KeyState
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind
from authsec_server.settings import Settings, load_settings
from authsec_server.web.errors import Unauthenticated
from sqlalchemy import text

pytestmark = pytest.mark.sqlite_suffices

UNKNOWN = "U" * 43
LONG_AGO = 4711


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Of an authority over a database of each kind."""
    file = tmp_path / "master.key"
    file.write_bytes(base64.b64encode(secrets.token_bytes(32)))
    file.chmod(0o600)
    return load_settings(data=tmp_path, database=database_url, master_key_file=file)


@pytest.fixture
def restoration(settings: Settings) -> Iterator[Restoration]:
    """Of a database with keys, a disabled agent and a version that was raised long ago."""
    with open_restoration(settings) as opened:
        opened.authority_keys.key_ring.keep(act(opened))
        opened.database.append(lambda tx: tx.connection.execute(text(f"UPDATE authority SET version = {LONG_AGO}")))
        yield opened


def act(its: Restoration) -> Act:
    return Act(
        principal=LOCAL_OPERATOR, now=its.runtime.now(), request_id="", address="", token_bytes=secrets.token_bytes
    )


def end_some(its: Restoration, *names: str) -> None:
    for name in names:
        its.database.change(partial(revocations.end, kind=SubjectKind.CLIENT, subject_id=name, now=its.runtime.now()))


def state_of(its: Restoration) -> dict[str, KeyState]:
    return {key.kid: key.state for key in its.database.read(lambda tx: keys.every(tx, act(its)))}


def test_the_version_rises_a_million_above_all_that_is_known(restoration: Restoration) -> None:
    done = restoration.record(Loss(authority_version=1_000))
    assert (done.version_before, done.authority_version) == (LONG_AGO, LONG_AGO + 1 + VERSIONS)
    done = restoration.record(Loss(authority_version=7_000_000))
    assert done.authority_version == 7_000_000 + VERSIONS
    assert restoration.database.read(lambda tx: tx.version) == done.authority_version
    end_some(restoration, "later")
    last = restoration.database.read(lambda tx: revocations.since(tx, 0))[-1]
    assert last.version == done.authority_version + 1


@pytest.mark.parametrize("table", ["events", "revocations"])
def test_the_version_rises_a_million_above_that_of_each_row(restoration: Restoration, table: str) -> None:
    """The row of the version itself may be older than the others."""
    end_some(restoration, "one")
    restoration.record(Loss())
    column, higher = {"events": "authority_version", "revocations": "version"}[table], 50_000_000
    of_one = f"(SELECT max({column}) FROM {table})"
    raised = f"UPDATE {table} SET {column} = {higher} WHERE {column} = {of_one}"
    restoration.database.append(lambda tx: tx.connection.execute(text(raised)))
    assert restoration.record(Loss()).authority_version == higher + 1_000_000


def test_every_key_that_may_have_signed_is_revoked_and_others_sign(restoration: Restoration) -> None:
    before = state_of(restoration)
    assert set(before.values()) == {KeyState.ACTIVE, KeyState.PREPARED}
    done = restoration.record(Loss(signing_keys=frozenset({UNKNOWN, *before})), also=["no key"])
    assert set(done.revoked) == set(before)
    assert done.revoked_unknown == [UNKNOWN]
    after = state_of(restoration)
    assert {after.pop(kid) for kid in before} == {KeyState.REVOKED}
    assert sorted(after.values()) == [KeyState.ACTIVE, KeyState.PREPARED]
    ended = restoration.database.read(lambda tx: revocations.since(tx, 0))
    assert {each.subject_id for each in ended if each.subject_kind is SubjectKind.KEY} == {UNKNOWN, *before}
    assert {each.version for each in ended} == {done.authority_version}


def test_keys_of_every_algorithm_are_revoked_and_those_of_apis_are_replaced(restoration: Restoration) -> None:
    ring = restoration.authority_keys.key_ring
    register = partial(apis.create, name="CRM", identifier="crm-api", signing_algorithm="ES256")
    api = restoration.database.change(lambda tx: register(tx, act(restoration)))
    ring.keep(act(restoration))
    changes = {"signing_algorithm": "EdDSA"}
    restoration.database.change(lambda tx: apis.edit(tx, act(restoration), api.id, revision=1, changes=changes))
    ring.keep(act(restoration))
    before = state_of(restoration)
    assert len(before) == 6
    assert set(restoration.record(Loss()).revoked) == set(before)
    every = restoration.database.read(lambda tx: keys.every(tx, act(restoration)))
    assert sorted((key.algorithm, key.state) for key in every if key.kid not in before) == [
        ("EdDSA", "active"),
        ("EdDSA", "prepared"),
        ("RS256", "active"),
        ("RS256", "prepared"),
    ]


def test_the_feed_begins_an_epoch_in_which_nobody_has_read_yet(restoration: Restoration) -> None:
    """Whoever stands anywhere in the numbers from before gets a snapshot of all that has ended."""
    end_some(restoration, "one", "two", "three")
    done = restoration.record(Loss())

    def look(tx: Tx) -> None:
        for since in (0, 1, 3, 4, 5, 99, 1_000):
            page = revocations.page(tx, since, 100)
            assert page.snapshot, since
            assert [each.subject_id for each in page.entries[:3]] == ["one", "two", "three"]
            assert len(page.entries) == 5
            assert page.through == page.last == done.authority_version + 5
        following = revocations.page(tx, page.entries[1].sequence, 100)
        assert not following.snapshot
        assert [each.sequence for each in following.entries] == [each.sequence for each in page.entries[2:]]

    restoration.database.read(look)
    again = restoration.record(Loss())
    assert restoration.database.read(revocations.last) == done.authority_version + 7 + again.authority_version


def test_the_record_is_signed_and_an_event_says_what_was_done(restoration: Restoration) -> None:
    done = restoration.record(Loss())
    known = restoration.authority_keys.sealing_keyring.by_kid()
    found = restoration.database.read(lambda tx: restores_in(tx.connection, known))
    assert [each.authority_version for each in found] == [done.authority_version]

    def detail(tx: Tx) -> Any:
        return tx.connection.execute(text("SELECT detail FROM events WHERE kind = 'authority.restored'")).scalar_one()

    told = restoration.database.read(detail)
    told = json.loads(told) if isinstance(told, str) else told
    assert told["version_before"] == LONG_AGO
    assert sorted(told["revoked_keys"]) == sorted(done.revoked)


def test_a_rehearsal_says_what_would_be_done_and_leaves_nothing(restoration: Restoration) -> None:
    before = state_of(restoration)
    foreseen, _ = restoration.rehearse(Loss(signing_keys=frozenset({UNKNOWN})))
    assert (foreseen.version_before, foreseen.authority_version) == (LONG_AGO, LONG_AGO + 1 + VERSIONS)
    assert (set(foreseen.revoked), foreseen.revoked_unknown) == (set(before), [UNKNOWN])
    assert state_of(restoration) == before
    assert restoration.database.read(lambda tx: (tx.version, revocations.last(tx))) == (LONG_AGO, 0)


def test_the_last_record_is_known_and_whether_anything_was_changed_since(restoration: Restoration) -> None:
    assert restoration.last_restore([]) == (None, False)
    done = restoration.record(Loss())
    last, is_up_to_date = restoration.last_restore([])
    assert last is not None
    assert (last.authority_version, is_up_to_date) == (done.authority_version, True)
    end_some(restoration, "later")  # a backup from here on may have been put back, and nothing here says so
    assert restoration.last_restore([]) == (last, False)


def test_an_agent_that_is_not_there_undoes_all_of_it(restoration: Restoration) -> None:
    before = state_of(restoration)
    with pytest.raises(NotFound):
        restoration.record(Loss(), disable=["nobody"])
    assert state_of(restoration) == before
    assert restoration.database.read(lambda tx: tx.version) == LONG_AGO


def test_what_lets_somebody_in_once_or_for_a_while_ends(restoration: Restoration, entrance: Any) -> None:
    """A link or a code that was used after the backup is unused in it, and a session that was ended goes on."""
    database = restoration.database
    cookie = entrance.first().cookie
    assert entrance.principal(cookie).name == "Ann"
    another = database.change(lambda tx: administrators.for_a_sign_in(tx, act(restoration), "ann@example.com"))
    onboarding = Onboarding(name="Laptop", platform="unattested")

    def enrol(tx: Tx) -> str:
        client = clients.create(tx, act(restoration), onboarding)
        enrolment_service.make(tx, act(restoration), client.id)
        return client.id

    client = database.change(enrol)
    restoration.record(Loss())
    with pytest.raises(Unauthenticated):
        entrance.principal(cookie)
    state = database.read(lambda tx: links.find_link(tx, restoration.runtime.now(), another.code))
    assert not state.open
    assert database.read(lambda tx: enrolment_service.open_of(tx, act(restoration), client)) == []
