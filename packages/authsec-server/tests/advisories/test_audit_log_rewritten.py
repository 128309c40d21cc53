"""Somebody who administers the database changes the audit log after the fact, so that nobody sees who was given what.

They can write every table, and read the code, but have no master key: checkpoints they cannot sign. Whatever single
thing they do to what is sealed is found and named. Who puts everything back to an older state of its own is found by
whoever kept a checkpoint elsewhere.
"""

from __future__ import annotations

import itertools
import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from authsec.jose import PrivateKey
from authsec_server.audit import service as audit
from authsec_server.audit.merkle_tree import COVERED, Tree, event_hash, text_hash
from authsec_server.audit.model import Event, Recorded
from authsec_server.audit.sealing.checkpoints import Checkpoint, Keys, sign_checkpoint
from authsec_server.audit.sealing.exporting import export, verify_export
from authsec_server.audit.sealing.log_check import Report
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.service import following
from authsec_server.audit.sealing.store import checkpoints
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.audit.store import events, sealed_events
from authsec_server.db import Database, Tx
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from authsec_server.principal import LOCAL_OPERATOR
from databases import raise_version_to
from full_events import full_event
from sqlalchemy import Connection, Executable, Row, delete, insert, select, text, update

pytestmark = pytest.mark.sqlite_suffices

NOW = datetime.fromisoformat("2026-11-25T12:00:00+00:00")
VICTIM = 4
Spoil = Callable[[Connection], None]


def event(number: int) -> Event:
    return full_event(number, NOW, {"actions": ["customers:read"]})


class Sealed:
    """A database whose audit log is sealed, in two checkpoints of different minutes, and what an outsider has of it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = NOW
        sealing_keyring = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
        sealing_keyring.keep(NOW)
        raise_version_to(database, 100)
        self.sealer = Sealer(
            database,
            issuer="https://authsec.example.com",
            signing_key=sealing_keyring.signing_key,
            keys=sealing_keyring.by_kid,
            now=lambda: self.now,
        )
        database.append(lambda tx: tx.connection.execute(text("UPDATE authority SET version = 9")))
        self.fill(1, 6)
        self.fill(7, 9)
        self.now += timedelta(minutes=10)
        self.sealer.seal()  # all of them have settled: later ones with such numbers are inserted
        self.keys: Keys = sealing_keyring.by_kid()
        self.kept = self.report().last

    def fill(self, first: int, last: int) -> None:
        for number in range(first, last + 1):
            self.database.append(partial(audit.record, event=event(number)))
        self.sealer.seal()
        self.now += timedelta(minutes=1)

    def report(self, *kept: Checkpoint) -> Report:
        return self.database.read(lambda tx: verify_log(tx, self.keys, kept))

    def spoiled(self, spoil: Spoil, *kept: Checkpoint) -> str:
        """What is found once somebody has done that; afterwards all is as it was."""
        found: list[Report] = []

        def attempt(tx: Tx) -> None:
            spoil(tx.connection)
            found.append(verify_log(tx, self.keys, kept))
            raise Undone

        with pytest.raises(Undone):
            self.database.append(attempt)
        assert not found[0].as_sealed
        return "\n".join(found[0].findings)


def run(statement: Executable) -> Spoil:
    """Does what the statement says."""

    def spoil(connection: Connection) -> None:
        connection.execute(statement)

    return spoil


class Undone(Exception):
    """Rolls a transaction back."""


@pytest.fixture
def sealed(database: Database) -> Iterator[Sealed]:
    """A sealed audit log, once per kind of database; all is well with it, before and after."""
    made = Sealed(database)
    assert made.report().as_sealed
    yield made
    assert made.report().as_sealed


def another(name: str, row: Row[Any]) -> list[Any]:
    """Other values for the column: a little different, and none, where the table takes none."""
    value = row._mapping[name]
    column = events.c[name]
    if name == "id":
        return [1000]
    if isinstance(value, datetime):
        others: list[Any] = [value + timedelta(microseconds=1), value - timedelta(days=1)]
    elif isinstance(value, int):
        others = [value + 1]
    elif isinstance(value, list):
        others = [[], [*value, *value]]
    elif isinstance(value, Mapping):
        others = [{}, {**value, "more": None}]
    else:
        others = ["other", ""]
    return [other for other in [*others, *([None] if column.nullable else [])] if other != value]


def test_every_change_of_any_column_is_found_and_its_event_named(sealed: Sealed) -> None:
    row = sealed.database.read(lambda tx: tx.connection.execute(select(events).where(events.c.id == VICTIM)).one())
    tried = 0
    for name in COVERED:
        for value in another(name, row):
            change = update(events).where(events.c.id == VICTIM).values({name: value})
            told = sealed.spoiled(run(change))
            assert f"Event {VICTIM} was" in told, name
            tried += 1
    assert tried > 2 * len(COVERED) - 5


def test_a_row_that_is_no_event_any_more_is_named_and_no_other(sealed: Sealed) -> None:
    if sealed.database.dialect == "postgresql":
        pytest.skip("PostgreSQL takes no such values")
    not_text = "CAST(x'ff' AS TEXT)"
    for name, value in (
        *(("at", "'yesterday'"), ("detail", "'{'"), ("jti", "x'00'"), ("occurrences", "'many'")),
        *(("jti", not_text), ("detail", not_text), ("client_name", not_text)),
    ):
        spoil = text(f"UPDATE events SET {name} = {value} WHERE id = {VICTIM}")
        told = sealed.spoiled(run(spoil))
        assert told.startswith(f"Event {VICTIM} was changed")
        assert "\n" not in told


def test_a_row_of_another_kind_is_named_to_whoever_reads_on_and_hides_no_other_silently(sealed: Sealed) -> None:
    spoiled: dict[str, Any] = {"kind": "token.given", "decision": "perhaps", "principal_kind": "ghost"}
    spoiled |= {"principal_role": "emperor", "delegations": [7]}
    readings: list[Callable[[Tx], Sequence[Recorded]]] = [
        lambda tx: audit.page(tx, LOCAL_OPERATOR).items,
        lambda tx: following(tx, LOCAL_OPERATOR, after=-1, limit=100).events,
    ]
    for (name, value), read in itertools.product(spoiled.items(), readings):

        def attempt(tx: Tx, changed: dict[str, Any], read: Callable[[Tx], Sequence[Recorded]]) -> None:
            before = [each.id for each in read(tx)]
            tx.connection.execute(update(events).where(events.c.id == VICTIM).values(changed))
            shown = {each.id: each.event.detail for each in read(tx)}
            assert list(shown) == before
            raise Undone(shown[VICTIM]["problem"])

        with pytest.raises(Undone, match=f"Event {VICTIM} was changed in the database and cannot be read"):
            sealed.database.append(partial(attempt, changed={name: value}, read=read))


def copy_of(number: int, **changes: Any) -> Spoil:
    """Inserts a copy of the event, changed."""

    def spoil(connection: Connection) -> None:
        row = connection.execute(select(events).where(events.c.id == number)).one()
        connection.execute(insert(events).values(row._asdict() | changes))

    return spoil


def swap(connection: Connection) -> None:
    """Two events change their numbers."""
    for was, becomes in ((3, 1000), (5, 3), (1000, 5)):
        connection.execute(update(events).where(events.c.id == was).values(id=becomes))


def drop(connection: Connection) -> None:
    connection.execute(delete(events).where(events.c.id == VICTIM))


def test_what_is_dropped_swapped_or_inserted_is_named(sealed: Sealed) -> None:
    assert sealed.spoiled(drop) == f"Event {VICTIM} was dropped: only its seal is left."
    assert sealed.spoiled(swap).splitlines() == [
        "Event 3 was changed: the event differs from its seal.",
        "Event 5 was changed: the event differs from its seal.",
    ]
    assert "Event -7 has no seal" in sealed.spoiled(copy_of(VICTIM, id=-7))
    if sealed.database.dialect == "postgresql":  # whose numbers are unique only together with the time
        told = sealed.spoiled(copy_of(VICTIM, at=NOW))
        assert told == f"Event {VICTIM} occurs 2 times, but was sealed once."


def reseal(connection: Connection) -> None:
    """Make every leaf anew from what the events are now."""
    connection.execute(delete(sealed_events))
    rows = connection.execute(select(events).order_by(events.c.id)).all()
    for position, row in enumerate(rows):
        leaf = {"position": position, "event_id": row.id, "hash": event_hash(row._asdict())}
        connection.execute(insert(sealed_events).values(leaf))


def forge(connection: Connection, key: PrivateKey | None = None) -> None:
    """Sign the leaves that are there with a key of one's own."""
    leaves = connection.execute(select(sealed_events).order_by(sealed_events.c.position)).all()
    tree = Tree().with_leaves(bytes(leaf.hash) for leaf in leaves)
    own = key or PrivateKey.generate_ed25519()
    checkpoint = sign_checkpoint(
        tree, through=leaves[-1].event_id, at=NOW, issuer="https://authsec.example.com", key=own
    )
    connection.execute(delete(checkpoints))
    connection.execute(insert(checkpoints).values(size=checkpoint.size, at=NOW, signed=checkpoint.signed))


def in_turn(*steps: Spoil) -> Spoil:
    """One after the other."""

    def spoil(connection: Connection) -> None:
        for step in steps:
            step(connection)

    return spoil


def change(connection: Connection) -> None:
    connection.execute(update(events).where(events.c.id == VICTIM).values(client_name="Somebody else"))


def test_whoever_makes_the_seals_fit_does_not_get_past_the_checkpoints(sealed: Sealed) -> None:
    told = sealed.spoiled(in_turn(change, reseal))
    assert "seals do not match the checkpoint signed at 2026-11-25 12:00:00 UTC. From event 1 to event 7" in told
    for attempt in (in_turn(drop, reseal), in_turn(copy_of(VICTIM, id=-7), reseal), in_turn(swap, reseal)):
        assert "do not match the checkpoint" in sealed.spoiled(attempt)
    assert "a key that was not given" in sealed.spoiled(in_turn(change, reseal, forge))


def test_the_log_itself_is_no_better_protected_from_being_found(sealed: Sealed) -> None:
    fourth = sealed_events.c.position == 3
    assert "Event 4 was changed" in sealed.spoiled(run(update(sealed_events).where(fourth).values(hash=bytes(32))))
    gap = sealed.spoiled(run(delete(sealed_events).where(fourth)))
    assert "The seal at position 3 is missing" in gap
    assert "Event 4 has no seal" in gap
    assert "seals have no signed checkpoint" in sealed.spoiled(run(delete(checkpoints)))
    everything = in_turn(run(delete(checkpoints)), run(delete(sealed_events)))
    assert sealed.spoiled(everything) == "None of the 10 events is sealed, so none can be verified."


@pytest.mark.soak
def test_a_seal_or_a_checkpoint_that_is_none_any_more_is_found_and_hides_nothing(sealed: Sealed) -> None:
    if sealed.database.dialect == "postgresql":
        pytest.skip("PostgreSQL takes no such values")
    not_text = "CAST(x'ff' AS TEXT)"
    for place in (3, 9):
        for value in ("'text'", not_text, "7"):
            spoil = text(f"UPDATE sealed_events SET hash = {value} WHERE position = {place}")
            assert f"Event {place + 1} was changed" in sealed.spoiled(run(spoil))
        for value in ("'text'", not_text, "x'00'"):
            spoil = text(f"UPDATE sealed_events SET event_id = {value} WHERE position = {place}")
            assert f"Event {place + 1} has no seal" in sealed.spoiled(run(spoil))
    for size in (7, 10):
        for value in ("x'00'", not_text, "7"):
            told = sealed.spoiled(run(text(f"UPDATE checkpoints SET signed = {value} WHERE size = {size}")))
            assert f"The checkpoint of {size} seals cannot be verified" in told


def test_a_checkpoint_that_is_kept_as_of_another_time_is_found(sealed: Sealed) -> None:
    """So that the server takes it for one of a later minute, and lets go of others for it."""
    others = [NOW - timedelta(days=1), NOW + timedelta(days=1), NOW + timedelta(seconds=1)]
    for at in [*others, *([text("'yesterday'")] if sealed.database.dialect == "sqlite" else [])]:
        told = sealed.spoiled(run(update(checkpoints).where(checkpoints.c.size == 7).values(at=at)))
        assert (
            told == "The checkpoint of 7 seals was signed at 2026-11-25 12:00:00 UTC, but is stored with another time."
        )


def test_each_checkpoint_is_checked_and_one_in_anothers_place_is_found(sealed: Sealed) -> None:
    signed = sealed.database.read(
        lambda tx: tx.connection.execute(select(checkpoints.c.signed).order_by(checkpoints.c.size)).scalars().all()
    )
    assert len(signed) == 3
    for size, instead in ((7, signed[1]), (10, signed[0]), (7, "e30.e30.AAAA"), (10, signed[1][:-4] + "AAAA")):
        spoil = update(checkpoints).where(checkpoints.c.size == size).values(signed=instead)
        told = sealed.spoiled(run(spoil))
        assert f"The checkpoint of {size} seals" in told


def cut(connection: Connection) -> None:
    """Put all back to where it was when the first checkpoint was signed."""
    connection.execute(delete(events).where(events.c.id > 7))
    connection.execute(delete(sealed_events).where(sealed_events.c.position >= 7))
    connection.execute(delete(checkpoints).where(checkpoints.c.size > 7))


def test_a_log_that_was_put_back_is_found_by_a_checkpoint_that_was_kept(sealed: Sealed) -> None:
    assert sealed.kept is not None
    assert "The log was cut: it has 7 seals" in sealed.spoiled(cut, sealed.kept)


def test_a_log_written_anew_by_somebody_with_the_key_is_found_by_a_checkpoint_that_was_kept(sealed: Sealed) -> None:
    stolen = PrivateKey.generate_ed25519()
    sealed.keys = {**sealed.keys, stolen.public.thumbprint(): stolen.public}
    assert sealed.kept is not None
    told = sealed.spoiled(in_turn(change, reseal, partial(forge, key=stolen)), sealed.kept)
    assert "do not match the checkpoint signed at 2026-11-25 12:12:00 UTC" in told


def written(content: object) -> str:
    """A line as an export has it."""
    return json.dumps(content, sort_keys=True, separators=(",", ":")) + "\n"


def test_an_export_is_checked_without_the_database_and_so_is_every_change_of_it(sealed: Sealed) -> None:
    lines = list(export(sealed.database))
    assert verify_export(lines, sealed.keys).as_sealed
    leaves = [place for place, line in enumerate(lines) if "event" in json.loads(line)]
    checkpoints = [place for place, line in enumerate(lines) if "checkpoint" in json.loads(line)]
    assert (len(leaves), len(checkpoints), checkpoints[-1]) == (10, 3, len(lines) - 1)
    changed = {f"without {place}": lines[:place] + lines[place + 1 :] for place in leaves} | {
        "no checkpoint": lines[: checkpoints[1]]
    }
    changed |= {f"twice {place}": lines[: place + 1] + lines[place:] for place in leaves}
    changed |= {
        f"swapped {place}": [*lines[:place], lines[place + 1], lines[place], *lines[place + 2 :]] for place in leaves
    }
    changed |= {
        f"checkpoint {place} by {other}": [*lines[:place], lines[other], *lines[place + 1 :]]
        for place, other in ((checkpoints[0], checkpoints[1]), (checkpoints[1], checkpoints[0]))
    }
    for what, spoiled in changed.items():
        assert not verify_export(spoiled, sealed.keys).as_sealed, what
    assert not verify_export(lines, {}).as_sealed
    assert not verify_export(lines[: checkpoints[0] + 1], sealed.keys, [sealed.kept] if sealed.kept else []).as_sealed


def test_every_change_of_an_exported_event_is_found_and_the_event_named(sealed: Sealed) -> None:
    lines = list(export(sealed.database))
    leaf = json.loads(lines[VICTIM - 1])
    assert leaf["number"] == VICTIM
    for name in COVERED:
        others: list[Any] = ["other", None, 7, []]
        for value in others:
            if value == leaf["event"][name]:
                continue
            event = {**leaf["event"], name: value}
            for hash_ in (leaf["hash"], text_hash(written(event)[:-1]).hex()):  # and one that fits
                lines[VICTIM - 1] = written({**leaf, "event": event, "hash": hash_})
                findings = verify_export(lines, sealed.keys).findings
                assert findings, name
                assert f"Event {VICTIM} was" in findings[0] or "From event 1 to event 7" in findings[0]


def test_a_line_that_two_parsers_read_differently_is_refused(sealed: Sealed) -> None:
    lines = list(export(sealed.database))
    genuine = lines[VICTIM - 1]
    for line in (
        genuine.replace('"jti":', '"jti":"another","jti":'),
        genuine.replace(":", ": "),
        genuine.replace('"place":3', '"place":3,"more":1'),
        "7\n",
        "\n",
    ):
        lines[VICTIM - 1] = line
        assert f"Line {VICTIM} was changed after the export." in verify_export(lines, sealed.keys).findings
