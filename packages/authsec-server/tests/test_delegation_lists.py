"""Lists of trust delegations: every filter and order finds what the rules say, on both databases."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from authsec_server.audit import service as audit
from authsec_server.audit.model import Decision, Event, EventKind, Named
from authsec_server.audit.rollup import roll_up
from authsec_server.delegations import search, service
from authsec_server.delegations.model import (
    DelegationFilters,
    DelegationSort,
    DelegationState,
    ResolvedDelegation,
    TargetType,
    Uses,
    state,
)
from authsec_server.failures import Invalid
from databases import FilledOnce

_crowd: FilledOnce[list[ResolvedDelegation]] = FilledOnce()


@pytest.fixture
def crowd(estate: Any) -> list[ResolvedDelegation]:
    """Delegations of all kinds, some made at the same moment."""
    later = _at(estate, estate.act.now + timedelta(hours=20))
    made = _crowd.fill(estate.database, lambda: _made(estate))
    estate.act = later
    return list(made)


def _made(estate: Any) -> list[ResolvedDelegation]:
    chance = random.Random(7)  # noqa: S311 - the same each time
    for name in ("Support", "Sales 100%"):
        estate.role(name)
    for name in ("Helper", "Ärztin Bot", "Reporter"):
        estate.agent(name)
    made = []
    now: datetime = estate.act.now
    for number in range(24):
        estate.act = _at(estate, now + timedelta(minutes=number // 3))
        made.append(
            estate.delegate(
                chance.choice(["support", "sales-100"]),
                chance.choice(["helper", "arztin-bot", "reporter"]),
                target_type=chance.choice([TargetType.AUTOGEN, TargetType.CREWAI]).value,
                max_duration=3600 + number,
                audiences=chance.choice([(), ("payments",), ("payments", "authsec-api")]),
                ends_at=chance.choice([None, now + timedelta(hours=chance.randrange(1, 48))]),
            )
        )
    for resolved in made[::6]:
        estate.do(lambda tx, act, it=resolved: service.revoke(tx, act, it.delegation.id, estate.terms))
    for resolved in made[1::6]:
        estate.do(lambda tx, act, it=resolved: service.disable(tx, act, it.delegation.id, estate.terms))
    estate.act = _at(estate, now + timedelta(hours=20))
    return [
        estate.see(lambda tx, act, it=resolved: service.get(tx, act, it.delegation.id, estate.terms))
        for resolved in made
    ]


def _at(estate: Any, now: datetime) -> Any:
    return replace(estate.act, now=now)


def paged(estate: Any, filters: DelegationFilters, sort: DelegationSort, limit: int = 5) -> list[str]:
    """The ids on all pages, one after the other."""
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        found, after = estate.see(
            lambda tx, act, after=after: search.page(
                tx, act, estate.terms, filters, sort=sort, after=after, limit=limit
            )
        )
        seen += [resolved.delegation.id for resolved in found]
    return seen


def fits(resolved: ResolvedDelegation, filters: DelegationFilters, now: datetime) -> bool:
    """The filters, by the rules."""
    delegation = resolved.delegation
    names = [resolved.role.name, resolved.role.slug, resolved.client.name, resolved.client.slug]
    text = filters.text.lower()
    return all(
        (
            not text or any(text in name.lower() for name in names) or delegation.id.startswith(text),
            filters.state in (None, state(delegation, now)),
            filters.role_id in (None, delegation.role_id),
            filters.client_id in (None, delegation.client_id),
            filters.target_type in (None, delegation.target_type),
            filters.audience is None or filters.audience in delegation.audiences,
            filters.ends_before is None
            or (delegation.ends_at is not None and delegation.ends_at < filters.ends_before),
        )
    )


def order(resolved: ResolvedDelegation, sort: DelegationSort) -> tuple[Any, ...]:
    delegation = resolved.delegation
    if sort is DelegationSort.ENDS:
        return (delegation.ends_at or datetime.max.replace(tzinfo=UTC), delegation.id)
    return (delegation.created_at, delegation.id)


@pytest.mark.soak
@pytest.mark.sqlite_suffices
def test_every_filter_in_every_order_finds_what_the_rules_say(estate: Any, crowd: list[ResolvedDelegation]) -> None:
    one = crowd[5]
    soon = estate.act.now + timedelta(hours=10)
    some: list[DelegationFilters] = [
        DelegationFilters(),
        *(DelegationFilters(state=each) for each in DelegationState),
        *(
            DelegationFilters(text=text)
            for text in ("SUPP", "100%", "arztin", "Ärztin", "report", one.delegation.id[:9], "zzz")
        ),
        DelegationFilters(role_id=one.role.id),
        DelegationFilters(client_id=one.client.id, state=DelegationState.LIVE),
        DelegationFilters(target_type=TargetType.CREWAI),
        *(DelegationFilters(audience=each) for each in ("payments", "authsec-api", "pay", "nobody", "\0")),
        *(DelegationFilters(text="\0"), DelegationFilters(role_id="\0"), DelegationFilters(client_id="\0")),
        DelegationFilters(ends_before=soon, state=DelegationState.LIVE),
        DelegationFilters(text="support", audience="payments", target_type=TargetType.AUTOGEN),
    ]
    for filters in some:
        for sort in DelegationSort:
            fitting = [resolved for resolved in crowd if fits(resolved, filters, estate.act.now)]
            fitting.sort(key=lambda resolved, sort=sort: order(resolved, sort), reverse=sort is DelegationSort.NEWEST)
            expected = [resolved.delegation.id for resolved in fitting]
            assert paged(estate, filters, sort) == expected, (filters, sort)


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("sort", list(DelegationSort))
def test_what_was_never_used_is_found_whether_its_use_is_counted_or_not(
    estate: Any, crowd: list[ResolvedDelegation], sort: DelegationSort
) -> None:
    counted, late, refused = crowd[2:5], crowd[4:7], crowd[7]
    before = crowd[12].delegation.created_at

    def use(resolved: ResolvedDelegation, decision: Decision) -> None:
        its = resolved.delegation
        event = Event(
            at=estate.act.now,
            kind=EventKind.TOKEN_ISSUED if decision is Decision.GRANTED else EventKind.TOKEN_REFUSED,
            request_id="req_00000000000000000000000v",
            client=Named(id=its.client_id, name="Agent"),
            delegations=(Named(id=its.id, name="It"),),
            roles=(Named(id=its.role_id, name="Role"),),
            decision=decision,
            authority_version=1,
            reason="" if decision is Decision.GRANTED else "action_not_allowed",
        )
        estate.database.append(lambda tx: audit.record(tx, event))

    for resolved in counted:
        use(resolved, Decision.GRANTED)
    estate.act = _at(estate, estate.act.now + timedelta(hours=1))
    roll_up(estate.database, estate.act.now)
    for resolved in late:
        use(resolved, Decision.GRANTED)
    use(refused, Decision.DENIED)
    used = {resolved.delegation.id for resolved in (*counted, *late)}
    unused = [each for each in crowd if each.delegation.id not in used and each.delegation.created_at < before]
    assert refused in unused
    unused.sort(key=lambda resolved: order(resolved, sort), reverse=sort is DelegationSort.NEWEST)
    found = paged(estate, DelegationFilters(unused_since=before), sort, limit=2)
    assert found == [resolved.delegation.id for resolved in unused]


@pytest.mark.soak
def test_the_default_audience_in_a_list_is_what_is_named_not_what_is_meant(
    estate: Any, crowd: list[ResolvedDelegation]
) -> None:
    found = paged(estate, DelegationFilters(audience="authsec-api"), DelegationSort.NEWEST)
    assert found
    assert all("authsec-api" in each.delegation.audiences for each in crowd if each.delegation.id in found)


def test_a_cursor_that_no_list_gave_out(estate: Any) -> None:
    for cursor in ("x", "\0", "6f1d2a34-0000-4000-8000-000000000001"):
        with pytest.raises(Invalid, match="cursor"):
            estate.see(lambda tx, act, cursor=cursor: search.page(tx, act, estate.terms, after=cursor))


def test_search_finds_by_name_and_id(estate: Any, crowd: list[ResolvedDelegation]) -> None:
    def found(text: str) -> list[str]:
        resolved_delegations = estate.see(lambda tx, act: search.search(tx, act, text, estate.terms, limit=3))
        return [resolved.delegation.id for resolved in resolved_delegations]

    one = crowd[11].delegation.id
    assert found(one) == found(one[:13].upper()) == [one]
    assert len(found("helper")) == 3
    assert found("") == found("nobody") == found("\0") == []


def test_a_clients_delegations_come_live_first(estate: Any, crowd: list[ResolvedDelegation]) -> None:
    client = crowd[0].client
    found = estate.see(lambda tx, act: search.of_client(tx, act, client.id, estate.terms))
    assert {each.delegation.id for each in found} == {
        each.delegation.id for each in crowd if each.client.id == client.id
    }
    states = [list(DelegationState).index(each.state) for each in found]
    assert states == sorted(states)
    live = [each.delegation.created_at for each in found if each.state is DelegationState.LIVE]
    assert live == sorted(live, reverse=True)


def test_uses_are_counted_as_they_stand_now(estate: Any, crowd: list[ResolvedDelegation]) -> None:
    now = estate.act.now

    def expected(resolved_delegations: list[ResolvedDelegation]) -> Uses:
        states = [state(each.delegation, now) for each in resolved_delegations]
        live, disabled = states.count(DelegationState.LIVE), states.count(DelegationState.DISABLED)
        return Uses(live=live, disabled=disabled, over=len(states) - live - disabled)

    role_ids = {each.role.id for each in crowd} | {"unused"}
    assert estate.see(lambda tx, _act: search.using(tx, role_ids, now)) == {
        role_id: expected([each for each in crowd if each.role.id == role_id]) for role_id in role_ids
    }
    client_ids = {each.client.id for each in crowd}
    assert estate.see(lambda tx, _act: search.held_by(tx, client_ids, now)) == {
        client_id: expected([each for each in crowd if each.client.id == client_id]) for client_id in client_ids
    }
    assert estate.see(lambda tx, act: search.tally(tx, act, now)) == {
        each: sum(state(resolved.delegation, now) is each for resolved in crowd) for each in DelegationState
    }


def test_nothing_is_counted_as_none(estate: Any) -> None:
    assert estate.see(lambda tx, act: search.tally(tx, act, act.now)) == dict.fromkeys(DelegationState, 0)
    assert estate.see(lambda tx, act: search.using(tx, [], act.now)) == {}
