"""An audit log with some of everything, and the answers of all its readers: to see which change alters one."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from authsec_server.app.routes import NAMES
from authsec_server.audit import counts, live_tokens
from authsec_server.audit import service as audit
from authsec_server.audit.api import read_filter
from authsec_server.audit.filters import EventFilter
from authsec_server.audit.model import Decision, Event, EventKind, Named, Refusal, Tally
from authsec_server.audit.rollup import roll_up
from authsec_server.audit.sealing import service as sealing
from authsec_server.audit.sealing.checkpoints import Checkpoint, Keys
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.audit.views import as_json
from authsec_server.db import Database, Tx, metadata
from authsec_server.db.database import Access
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from authsec_server.principal import Act, Principal, PrincipalKind, Role
from authsec_server.tokens.revocation import revoked
from databases import FilledOnce, raise_version_to
from sqlalchemy import insert

NOW = datetime.fromisoformat("2026-11-25T12:00:00+00:00")
LATER = NOW + timedelta(hours=3)
ANN = Principal(kind=PrincipalKind.ADMIN_KEY, id="key-ann", name="ann", role=Role.ADMIN)
CLIENTS, DELEGATIONS = ("c-1", "c-2", "c-3"), ("d-1", "d-2", "d-3")
ENDING_VERSION, LAST_VERSION = 20, 104  # the first of `_done`, and the version of the authority in the end
Reader = Callable[[Tx], Any]


ENDING_TOKENS = (EventKind.CLIENT_TOKENS_REVOKED, EventKind.DELEGATION_EDITED)  # and permit later ones


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedLog:
    """What an outsider has of it: the keys, a checkpoint, and which events that checkpoint covers."""

    keys: Keys
    checkpoint: Checkpoint
    covered: frozenset[int]
    answers: Mapping[str, Any] = field(repr=False)  # of all readers


_log: FilledOnce[SealedLog] = FilledOnce()


def fill(database: Database) -> SealedLog:
    """Record, count and seal some thirty events of two hours."""
    return _log.fill(database, lambda: _fill(database))


def _fill(database: Database) -> SealedLog:
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    keys.keep(NOW)
    raise_version_to(database, 100)
    for number in range(18):
        database.append(partial(audit.record, event=issued(number)))
    for number in range(6):
        database.append(partial(_do, number=number))
    for number in range(4):
        tally = {_refusal(number): Tally(count=number + 1, request_id=f"req_no{number:022}")}
        database.append(partial(audit.count_refusals, tallies=tally, now=NOW + timedelta(minutes=20 * number)))
    roll_up(database, LATER)
    for number in range(18, 21):  # not counted yet
        database.append(partial(audit.record, event=issued(number, at=LATER + timedelta(seconds=number))))
    for number in range(len(CLIENTS)):
        database.change(partial(_name, number=number))
    database.change(_name_key)
    sealed_at = LATER + timedelta(minutes=10)
    sealer = Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: sealed_at)
    while sealer.seal():
        pass
    report = database.read(lambda tx: verify_log(tx, keys.by_kid(), now=sealed_at))
    assert report.findings == (), report.findings
    assert report.last is not None
    assert database.read(lambda tx: tx.version) == LAST_VERSION
    numbers = database.read(lambda tx: [each.id for each in audit.page(tx, ANN, limit=201).items])
    covered = frozenset(numbers)
    found = database.read(lambda tx: answers(tx, covered))
    silent = [name for name, answer in found.items() if _is_empty(answer)]
    assert not silent, f"Readers that find nothing notice no change: {silent}"
    return SealedLog(keys=keys.by_kid(), checkpoint=report.last, covered=covered, answers=found)


def _is_empty(answer: Any) -> bool:
    """Whether a reader found nothing, or ended with an error (its name)."""
    return not answer or isinstance(answer, str)


def jti(number: int) -> str:
    """Of the token with this number: as long as a genuine one."""
    return f"{number:032}"


def issued(number: int, at: datetime | None = None) -> Event:
    """A token of one of the clients."""
    at = at or NOW + timedelta(minutes=5 * number)
    of = number % 3
    return Event(
        at=at,
        kind=EventKind.TOKEN_ISSUED,
        request_id=f"req_{number:024}",
        client=Named(id=CLIENTS[of], name=f"Agent {of}"),
        delegations=tuple(Named(id=id_, name=id_) for id_ in DELEGATIONS[: of + 1]),
        roles=(Named(id="r-1", name="Support"),),
        decision=Decision.GRANTED,
        address="192.0.2.1",
        authority_version=_version_of(number),
        jti=jti(number),
        kid="kid",
        token_sha256=f"{number:064d}",
        expires_at=at + timedelta(hours=6),
        detail={"actions": ["customers:read"], "audience": ["https://api"], "proof_id": f"p-{of}"},
    )


def _version_of(number: int) -> int:
    """The authority version of a token: before what `_done` ends, after it, or after the last change."""
    if number < 18:
        return number
    return 30 if number < 21 else LAST_VERSION


def _name(tx: Tx, number: int) -> None:
    """A client and a delegation of it, which people call by a slug; as `clients` and `delegations` make them."""
    client, delegation = Named(id=CLIENTS[number], name=f"Agent {number}"), Named(id=DELEGATIONS[number], name="D")
    at = LATER + timedelta(minutes=1, seconds=number)
    for kind, slug, delegations in (
        (EventKind.CLIENT_CREATED, f"agent-{number}", ()),
        (EventKind.DELEGATION_CREATED, f"delegation-{number}", (delegation,)),
    ):
        event = Event(
            at=at,
            kind=kind,
            request_id=f"req_name{number:020}",
            principal=ANN,
            client=client,
            delegations=delegations,
            address="192.0.2.9",
            authority_version=tx.version,
            detail={"slug": slug},
        )
        audit.record(tx, event)
    described = {"owner": "", "description": "", "created_at": at, "enabled": True}
    unlisted = {"kind": "ai_agent", "platform": "unattested", "labels": {}}
    called = {"name": client.name, "sort_name": client.name.lower()}
    client_row = {"id": client.id, "slug": f"agent-{number}", **called, **described, **unlisted}
    tx.connection.execute(insert(metadata.tables["clients"]).values(client_row))
    role_id = f"role-{number}" if number else "r-1"  # as in the tokens of the first delegation alone
    role_row = {"id": role_id, "slug": f"role-{number}", "name": "N", "description": "", "created_at": at}
    tx.connection.execute(insert(metadata.tables["roles"]).values(role_row))
    given = {"id": delegation.id, "slug": f"delegation-{number}", "client_id": client.id, "role_id": role_row["id"]}
    terms = {"target_type": "MCP server", "actions": [], "max_duration": 60, "audiences": [], "excluded_proofs": []}
    tx.connection.execute(insert(metadata.tables["delegations"]).values(given | terms | described))


def _name_key(tx: Tx) -> None:
    """The admin key of Ann, which people call by its name."""
    at = LATER + timedelta(minutes=2)
    event = Event(
        at=at,
        kind=EventKind.ADMIN_KEY_CREATED,
        request_id="req_00000000000000000namekei",
        principal=ANN,
        subject=Named(id="key-ann", name="ann-key"),
        address="192.0.2.9",
        authority_version=tx.version,
    )
    audit.record(tx, event)
    row = {"id": "key-ann", "name": "ann-key", "role": "admin", "key_sha256": "a" * 64, "created_at": at}
    tx.connection.execute(insert(metadata.tables["admin_keys"]).values(row))


def _do(tx: Tx, number: int) -> None:
    event = _done(number)
    audit.record(tx, event)
    if event.client is not None:
        kind, id_ = ("delegation", event.delegations[0].id) if event.delegations else ("client", event.client.id)
        sequence = number - number // 3  # without a gap: each third event ends nothing
        ended = {"sequence": sequence, "subject_kind": kind, "subject_id": id_}
        at = {"version": event.authority_version, "at": event.at}
        tx.connection.execute(insert(metadata.tables["revocations"]).values(ended | at))


def _done(number: int) -> Event:
    kind = (EventKind.ROLE_CREATED, *ENDING_TOKENS)[number % 3]
    return Event(
        at=NOW + timedelta(minutes=10 * number, seconds=1),
        kind=kind,
        request_id=f"req_act{number:021}",
        principal=ANN,
        subject=Named(id="r-1", name="Support"),
        client=Named(id=CLIENTS[0], name="Agent 0") if number % 3 else None,
        delegations=(Named(id="d-2", name="d-2"),) if number % 3 == 2 else (),
        address="192.0.2.9",
        authority_version=ENDING_VERSION + number,
        detail={"before": {"name": "U"}, "after": {"name": "Ünïcode"}, "revision": number}
        | ({"ended": [{"kind": "delegation", "id": "d-2"}]} if number % 3 == 2 else {}),
    )


def _refusal(number: int) -> Refusal:
    return Refusal(address=f"192.0.2.{number}", reason="rate_limited", client=Named(id=CLIENTS[number % 3], name="A"))


def readers() -> Mapping[str, Reader]:
    """All that people and programs ask, by name; those that sum up begin with `sum of`."""
    filters = {
        "everything": EventFilter(),
        "a kind": EventFilter(kinds=frozenset({EventKind.ROLE_CREATED})),
        "acts": EventFilter(kinds=frozenset(ENDING_TOKENS)),
        "refusals": EventFilter(decision=Decision.DENIED),
        "a reason": EventFilter(reason="rate_limited"),
        "a client": EventFilter(client_id="c-1"),
        "a client's refusals": EventFilter(client_id="c-1", decision=Decision.DENIED),
        "a delegation": EventFilter(delegation_id="d-2"),
        "a person": EventFilter(principal=(PrincipalKind.ADMIN_KEY, "key-ann")),
        "a subject": EventFilter(subject_id="r-1"),
        "an address": EventFilter(address="192.0.2.1"),
        "a request": EventFilter(request_id="req_000000000000000000000004"),
        "a token": EventFilter(jti=jti(4)),
        "since": EventFilter(since=NOW + timedelta(minutes=30)),
        "until": EventFilter(until=NOW + timedelta(minutes=50)),
        "a client, since": EventFilter(client_id="c-2", since=NOW + timedelta(minutes=61)),
        "a delegation, until": EventFilter(delegation_id="d-1", until=NOW + timedelta(minutes=61)),
    }
    found: dict[str, Reader] = {
        f"newest of {what} called {slug}": partial(_called, query={what: slug})
        for what, slug in (
            ("client", "agent-0"),
            ("client", "agent-2"),
            ("delegation", "delegation-1"),
            ("by", "ann-key"),
        )
    }
    for name, wanted in filters.items():
        found[f"newest of {name}"] = partial(_page, wanted=wanted)
        found[f"oldest of {name}"] = partial(_page, wanted=wanted, after=0)
    found["story of a token"] = lambda tx: [as_json(each) for each in [audit.token_issued(tx, jti(7))] if each]
    found["search for a token"] = lambda tx: [as_json(each) for each in audit.search(tx, _act(), jti(7))]
    found["search for a request"] = lambda tx: [as_json(each) for each in audit.search(tx, _act(), f"req_act{4:021}")]
    found["all of a request"] = lambda tx: [as_json(each) for each in audit.of_request(tx, ANN, f"req_name{1:020}")]
    found["when tokens were revoked"] = lambda tx: sorted(revoked(tx, audit.page(tx, ANN, limit=201).items).items())
    found["one by one"] = lambda tx: [as_json(audit.event(tx, ANN, number)) for number in sorted(_numbers(tx))[:30]]
    found["in the order of sealing"] = lambda tx: [
        as_json(each) for each in sealing.following(tx, ANN, after=-1, limit=200).events
    ]
    found["sum of live tokens"] = lambda tx: sorted(map(repr, live_tokens.of_clients(tx, LATER, CLIENTS).tokens))
    found["sum of a key's tokens"] = lambda tx: sorted(map(repr, live_tokens.of_key(tx, LATER, "kid").tokens))
    found |= _sums()
    return found


def _act() -> Act:
    return Act(
        principal=ANN, now=LATER, request_id="req_00000000000000000000asks", address="192.0.2.1", token_bytes=bytes
    )


def _sums() -> dict[str, Reader]:
    start, end = NOW - timedelta(hours=1), LATER + timedelta(hours=1)
    ids = (*CLIENTS, *DELEGATIONS, "r-1", "p-0", "p-1", "p-2")
    return {
        "sum of hours": lambda tx: counts.series(tx, start, end, timedelta(hours=1)),
        "sum of a client's hours": lambda tx: counts.series(tx, start, end, timedelta(hours=1), client_id="c-1"),
        "sum of all": lambda tx: counts.totals(tx, start, end),
        "sum by reason": lambda tx: counts.refusals_by_reason(tx, start, end),
        "sum of repeated refusals": lambda tx: counts.repeated_refusals(tx, start, 1),
        "sum of last uses": lambda tx: sorted(counts.last_uses(tx, ids).items()),
        "sum of actions": lambda tx: counts.actions_used(tx, ids, NOW),
        "sum of the used": lambda tx: sorted(tx.connection.execute(counts.used(tx).kept).scalars().all()),
    }


def _page(tx: Tx, wanted: EventFilter, after: int | None = None) -> list[Any]:
    found = audit.page(tx, ANN, wanted, after=after, limit=201).items
    return [as_json(each) for each in found]


def _called(tx: Tx, query: Mapping[str, str]) -> list[Any]:
    return _page(tx, read_filter(tx, query, NAMES))


def answers(tx: Tx, covered: frozenset[int], only: Collection[str] = ()) -> dict[str, Any]:
    """What every reader says of the covered events in this transaction, or the error that it ends with.

    If `only` names readers, no other is asked. Sums are left out where the database has other events as well: these
    may count.
    """
    reading = Tx(tx.connection, Access.READ, tx.version)
    others = set(_numbers(tx)) - covered
    return {
        name: _answer(reader, reading, covered)
        for name, reader in readers().items()
        if (not only or name in only) and not (others and name.startswith("sum"))
    }


def _numbers(tx: Tx) -> list[int]:
    try:
        return [int(row[0]) for row in tx.connection.exec_driver_sql("SELECT id FROM events").all()]
    except Exception:  # noqa: BLE001 - the table may be gone
        return []


def _answer(reader: Reader, tx: Tx, covered: frozenset[int]) -> Any:
    savepoint = tx.connection.begin_nested()
    try:
        found = reader(tx)
    except Exception as error:  # noqa: BLE001 - an error is an answer as well
        savepoint.rollback()
        return type(error).__name__
    savepoint.commit()
    if isinstance(found, list) and found and isinstance(found[0], dict):
        return [each for each in found if each["id"] in covered]
    return found
