"""Pages of the audit log: what is wanted and nothing else, in order, at a price that does not grow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from authsec_server.audit import live_tokens, pages
from authsec_server.audit import service as audit
from authsec_server.audit.filters import EVERYTHING, AuditLogPage, EventFilter
from authsec_server.audit.live_tokens import TokenGroups
from authsec_server.audit.model import Decision, Event, EventKind, Named, Recorded
from authsec_server.db import Database, Tx
from authsec_server.failures import NotFound
from authsec_server.principal import LOCAL_OPERATOR, Act, Principal, PrincipalKind, Role
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import ColumnElement, text

from examples import examples

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
ALICE = Principal(kind=PrincipalKind.ADMINISTRATOR, id="alice", name="Alice", role=Role.OPERATOR)
KINDS = (EventKind.TOKEN_ISSUED, EventKind.TOKEN_REFUSED, EventKind.ROLE_CREATED, EventKind.ADMIN_SIGN_IN_REFUSED)

named = st.sampled_from(["a", "b"]).map(lambda id_: Named(id=id_, name=f'"id": "{id_}" %_'))
events = st.builds(
    Event,
    at=st.integers(0, 7200).map(lambda seconds: NOW + timedelta(seconds=seconds)),
    kind=st.sampled_from(KINDS),
    request_id=st.sampled_from(["req_000000000000000000000001", "req_000000000000000000000002"]),
    principal=st.sampled_from([None, ALICE, LOCAL_OPERATOR]),
    client=st.none() | named,
    delegations=st.lists(named, max_size=2, unique=True).map(tuple),
    subject=st.none() | named,
    decision=st.sampled_from([None, *Decision]),
    reason=st.sampled_from(["", "no_delegation", "client_disabled"]),
    address=st.sampled_from(["", "192.0.2.1"]),
    authority_version=st.just(1),
    jti=st.sampled_from(["", "1" * 32, "2" * 32]),
).map(lambda event: event if event.kind is EventKind.TOKEN_ISSUED else replace(event, jti=""))
unset_or = {
    "kinds": st.frozensets(st.sampled_from(KINDS)),
    "decision": st.sampled_from([None, None, *Decision]),
    "reason": st.sampled_from(["", "", "no_delegation"]),
    "client_id": st.sampled_from(["", "", "a"]),
    "delegation_id": st.sampled_from(["", "", "b", "%"]),
    "principal": st.sampled_from(
        [None, None, (PrincipalKind.ADMINISTRATOR, "alice"), (PrincipalKind.LOCAL_OPERATOR, "")]
    ),
    "subject_id": st.sampled_from(["", "", "a"]),
    "address": st.sampled_from(["", "", "192.0.2.1"]),
    "request_id": st.sampled_from(["", "", "req_000000000000000000000001"]),
    "jti": st.sampled_from(["", "", "1" * 32]),
    "since": st.sampled_from([None, NOW + timedelta(seconds=1800)]),
    "until": st.sampled_from([None, NOW + timedelta(seconds=5400)]),
}
filters = st.builds(EventFilter, **unset_or) | st.sampled_from(sorted(unset_or)).flatmap(
    lambda name: unset_or[name].map(lambda value: EventFilter(**{name: value}))
)


def write(database: Database, *written: Event) -> list[Recorded]:
    def work(tx: Tx) -> list[Recorded]:
        return [Recorded(id=audit.record(tx, event), event=event, count=1) for event in written]

    return database.append(work)


def page(database: Database, wanted: EventFilter = EVERYTHING, **which: int) -> AuditLogPage:
    return database.read(lambda tx: audit.page(tx, ALICE, wanted, **which))


def backwards(tx: Tx, wanted: EventFilter, limit: int) -> Iterator[Recorded]:
    """All pages, from the newest event on."""
    before: dict[str, int] = {}
    while True:
        found = audit.page(tx, ALICE, wanted, limit=limit, **before)
        assert len(found.items) <= limit
        yield from found.items
        if found.next is None:
            return
        assert found.next < before.get("before", found.next + 1)
        before = {"before": found.next}


def forwards(tx: Tx, wanted: EventFilter, limit: int) -> Iterator[Recorded]:
    """All pages, from the oldest event on."""
    after: int | None = 0
    while after is not None:
        found = audit.page(tx, ALICE, wanted, after=after, limit=limit)
        yield from found.items
        assert found.next is None or found.next > after
        after = found.next


def test_every_part_of_the_filter_is_tried() -> None:
    assert set(unset_or) == {field.name for field in fields(EventFilter)}


@pytest.mark.sqlite_suffices
@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(events, max_size=12), filters, st.integers(1, 5), st.sampled_from([1, 3, 5000]))
def test_the_pages_together_are_what_is_wanted(
    database: Database, written: list[Event], wanted: EventFilter, limit: int, candidates: int
) -> None:
    """The statements agree with `EventFilter.matches`; no page repeats or skips, however few candidates it looks at."""
    database.append(lambda tx: tx.connection.execute(text("DELETE FROM events")))
    # Numbers and times may disagree, as far as transactions overlap; not more.
    in_order = sorted(written, key=lambda event: event.at)
    audit_log = write(database, *in_order)
    expected = [recorded for recorded in audit_log if wanted.matches(recorded.event)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "CANDIDATES", candidates)
        assert database.read(lambda tx: list(backwards(tx, wanted, limit))) == expected[::-1]
        assert database.read(lambda tx: list(forwards(tx, wanted, limit))) == expected


EVENT = Event(at=NOW, kind=EventKind.TOKEN_ISSUED, request_id="req_000000000000000000000001", authority_version=1)


@pytest.mark.parametrize(
    "besides",
    [
        {"request_id": "req_000000000000000000000001"},
        {"client_id": "a"},
        {"subject_id": "a"},
        {"principal": (PrincipalKind.ADMINISTRATOR, "alice")},
    ],
    ids=lambda besides: next(iter(besides)),
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("what", [{"reason": "no_delegation"}, {"kinds": frozenset({EventKind.TOKEN_REFUSED})}])
def test_who_asks_for_refusals_gets_refusals_whichever_index_leads_to_them(
    database: Database, besides: dict[str, Any], what: dict[str, Any]
) -> None:
    a = Named(id="a", name="A")
    refused = replace(
        EVENT,
        kind=EventKind.TOKEN_REFUSED,
        decision=Decision.DENIED,
        reason="no_delegation",
        principal=ALICE,
        client=a,
        subject=a,
    )
    wanted = EventFilter(**besides, **what)
    denied, undecided, granted = write(
        database, refused, replace(refused, decision=None), replace(refused, decision=Decision.GRANTED)
    )
    assert page(database, wanted).items == (denied,)
    assert [wanted.matches(each.event) for each in (denied, undecided, granted)] == [True, False, False]


def test_numbers_may_be_out_of_the_order_of_time(database: Database) -> None:
    """A transaction that was dated earlier may get the higher number."""
    early, late = (write(database, replace(EVENT, at=NOW + timedelta(minutes=minutes)))[0] for minutes in (9, 0))
    write(database, replace(EVENT, at=NOW + timedelta(hours=1)))
    wanted = EventFilter(since=NOW + timedelta(minutes=9), until=NOW + timedelta(minutes=10))
    assert page(database, wanted).items == (early,)
    assert page(database, EventFilter(until=NOW + timedelta(minutes=1))).items == (late,)


def test_a_page_looks_only_so_far(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "CANDIDATES", 3)
    rare, *common = write(database, replace(EVENT, address="192.0.2.1"), *[EVENT] * 6)
    wanted = EventFilter(address="192.0.2.1")
    assert page(database, wanted) == AuditLogPage(items=(), next=common[3].id)
    assert page(database, wanted, before=common[3].id) == AuditLogPage(items=(), next=common[0].id)
    assert page(database, wanted, before=common[0].id) == AuditLogPage(items=(rare,), next=None)


def test_one_event_and_the_rest_of_its_request(database: Database) -> None:
    first, other, second = write(database, EVENT, replace(EVENT, request_id="req_000000000000000000000002"), EVENT)
    assert database.read(lambda tx: audit.event(tx, ALICE, second.id)) == second
    assert database.read(lambda tx: audit.of_request(tx, ALICE, "req_000000000000000000000001")) == (first, second)
    assert database.read(lambda tx: audit.of_request(tx, ALICE, "")) == ()
    for number in (0, -1, other.id + 2, 2**63, 2**80):
        with pytest.raises(NotFound):
            database.read(lambda tx, number=number: audit.event(tx, ALICE, number))


def test_tokens_minted_under_one_delegation(database: Database) -> None:
    client = Named(id="agent", name="Agent")
    one, two = (Named(id=id_, name="Support → Agent") for id_ in ("one", "two"))
    token = replace(EVENT, client=client, delegations=(one, two))
    both, _, _ = write(
        database, token, replace(token, delegations=(two,)), replace(token, kind=EventKind.DELEGATION_DISABLED)
    )
    assert database.read(lambda tx: audit.minted_under(tx, ALICE, "agent", "one")).items == (both,)


def test_the_last_acts_of_a_principal(database: Database) -> None:
    _, hers = write(database, replace(EVENT, principal=LOCAL_OPERATOR), replace(EVENT, principal=ALICE))
    found = database.read(lambda tx: audit.principal_acts(tx, ALICE, PrincipalKind.ADMINISTRATOR, "alice"))
    assert found == AuditLogPage(items=(hers,), next=None)


@pytest.mark.parametrize("asked", ["0123456789abcdef" * 2, f"req_{7:024}"])
def test_an_event_is_found_by_what_it_is_called(database: Database, act: Act, asked: str) -> None:
    event = replace(EVENT, jti="0123456789abcdef" * 2, request_id=f"req_{7:024}")
    written = write(database, event, event, EVENT)
    find = audit.search
    assert database.read(lambda tx: find(tx, act, asked)) == (written[0], written[1])
    assert database.read(lambda tx: find(tx, act, asked, limit=1)) == (written[0],)


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("asked", ["", "req", "0123456789abcde", "req_%", "a" * 41, "two words", "\0" * 10])
def test_what_is_not_a_whole_name_finds_nothing(database: Database, act: Act, asked: str) -> None:
    write(database, replace(EVENT, jti="0123456789abcdef" * 2))
    assert database.read(lambda tx: audit.search(tx, act, asked)) == ()


def token(client: str, minutes: int, *, version: int = 5, under: str = "d") -> Event:
    return replace(
        EVENT,
        client=Named(id=client, name=""),
        expires_at=NOW + timedelta(minutes=minutes),
        authority_version=version,
        delegations=(Named(id=under, name=""),),
    )


def test_tokens_that_are_out_stand_together_where_they_are_alike(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = {"audience": ["crm"], "proof_id": "p", "trusted_issuer": {"id": "s", "name": "S"}}
    write(
        database,
        *[replace(token("a", minutes), jti=f"{minutes + 1:032}", kid="k") for minutes in (-1, 0, 1, 5)],
        replace(token("a", 3, version=6, under="e"), detail=whole),
        replace(token("b", 9), at=NOW - timedelta(days=30), kid="k"),
        replace(token("a", 60), kind=EventKind.TOKEN_REFUSED, expires_at=None),
    )

    def look(*clients: str, revoked: tuple[str, ...] = ()) -> TokenGroups:
        def is_revoked(jti: ColumnElement[str], _version: ColumnElement[int]) -> ColumnElement[bool]:
            return jti.in_(revoked)

        return database.read(lambda tx: live_tokens.of_clients(tx, NOW, clients, is_revoked=is_revoked))

    def out(*clients: str, revoked: tuple[str, ...] = ()) -> set[tuple[object, ...]]:
        found = look(*clients, revoked=revoked).tokens
        return {(*each.delegation_ids, each.version, each.revoked, each.count, each.until) for each in found}

    def until(minutes: int) -> datetime:
        return NOW + timedelta(minutes=minutes)

    assert out("a") == {("d", 5, False, 2, until(5)), ("e", 6, False, 1, until(3))}
    assert out("b") == set(), "no token lives for thirty days"
    assert ("d", 5, True, 1, until(1)) in out("a", revoked=(f"{2:032}", f"{10:032}")), (
        "one of them was taken back by itself"
    )
    assert out() == out("nobody") == set()
    (full,) = [each for each in look("a").tokens if each.proof_id]
    assert (full.audience, full.proof_id, full.trusted_issuer_id, full.kid) == (("crm",), "p", "s", "")
    (signed,) = database.read(lambda tx: live_tokens.of_key(tx, NOW, "k")).tokens
    assert (signed.client_id, signed.count) == ("a", 2), "no token lives for thirty days"
    assert not look("a").more
    monkeypatch.setattr(live_tokens, "MOST", 2)
    assert look("a").more


PLANS = {
    "client": (EventFilter(client_id="a"), "ix_events_client_id_id"),
    "a client's refusals": (
        EventFilter(client_id="a", kinds=frozenset({EventKind.TOKEN_REFUSED})),
        "ix_events_denied_client_id_id",
    ),
    "refusals": (EventFilter(decision=Decision.DENIED), "ix_events_denied_id"),
    "a reason": (EventFilter(reason="no_delegation", decision=Decision.DENIED), "ix_events_denied_reason_id"),
    "acts": (EventFilter(kinds=frozenset({EventKind.ROLE_CREATED, EventKind.API_CREATED})), "ix_events_act_id"),
    "one kind": (EventFilter(kinds=frozenset({EventKind.ROLE_CREATED})), "ix_events_act_kind_id"),
    "a principal": (EventFilter(principal=(PrincipalKind.ADMINISTRATOR, "alice")), "ix_events_principal_id"),
    "a subject": (EventFilter(subject_id="a"), "ix_events_subject_id_id"),
    "a request": (EventFilter(request_id="req_000000000000000000000001"), "ix_events_request_id"),
    "a token": (EventFilter(jti="1" * 32), "ix_events_jti"),
}


@pytest.mark.parametrize(("wanted", "index"), PLANS.values(), ids=list(PLANS))
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_index_leads_to_the_candidates(database: Database, wanted: EventFilter, index: str) -> None:
    """An index on a condition serves only the statement that says the condition in the same words."""
    assert index in database.read(lambda tx: plan(tx, wanted))


def plan(tx: Tx, wanted: EventFilter) -> str:
    asked = pages.candidates(wanted, []).order_by(text("id DESC"))
    statement = asked.compile(tx.connection, compile_kwargs={"literal_binds": True})
    rows = tx.connection.execute(text(f"EXPLAIN QUERY PLAN {statement}")).all()
    assert not any("TEMP B-TREE" in row.detail for row in rows), rows
    return " ".join(row.detail for row in rows)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_postgresql_plans_for_each_reason_however_often_it_was_asked(database: Database) -> None:
    """A common plan would suit the frequent ones, and read the whole audit log for one that was never given."""
    often = ["no_delegation"] * 12

    def common_plans(tx: Tx) -> int:
        for reason in often:
            audit.page(tx, LOCAL_OPERATOR, EventFilter(reason=reason))
        used = "SELECT sum(generic_plans) FROM pg_prepared_statements WHERE statement LIKE '%candidates%'"
        number: int | None = tx.connection.execute(text(used)).scalar_one()
        assert number is not None, "the statements are prepared by now"
        return number

    assert database.read(common_plans) == 0
