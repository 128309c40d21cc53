"""Lists of clients: whatever is asked, the pages hold what sorting and filtering by hand gives; on both databases."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from authsec.jose import PrivateKey
from authsec_server.clients import held_proofs, search, service
from authsec_server.clients.model import Attention, Client, ClientKind, NewProof, Onboarding, Platform
from authsec_server.clients.search import ClientFilters, ClientSort, Count, position, write_cursor
from authsec_server.clients.store import clients
from authsec_server.db import Database, Tx
from authsec_server.failures import Invalid
from authsec_server.naming import folded
from authsec_server.principal import Act
from databases import FilledOnce
from hypothesis import given, settings
from hypothesis import strategies as st
from long_runs import some_of
from sqlalchemy import insert, select

from examples import examples

NAMES = [
    "alpha",
    "Alpha",
    "ALPHA 2",
    "Zeta",
    "zeta_1",
    "zeta%1",
    "Ökonomie",
    "ökonomie 2",
    "Straße",
    "STRASSE",
    "ﬁn",
    "🤖 bot",
    "ͅ x",
]
OWNERS = ["Team CRM", "team crm", "Örtlich", "anna", "100%"]
PLATFORMS: list[dict[str, Any]] = [
    {"platform": "kubernetes", "selectors": (("k8s:ns", "production"),)},
    {"platform": "key"},
    {"platform": "unattested"},
]
LABELS = [{}, {"team": "crm"}, {"team": "crm", "env": "prod"}, {"env": "a=b"}, {"env": "50%"}]

OPEN_UNTIL = {3: -1, 9: 0, 18: 1, 1: 1, 4: -1}  # hours from now: those that are unattested besides, for a time

SECRET_UNTIL = {2: 1, 3: 1, 6: None, 7: -1, 10: 0}  # the same for those that have a secret, be it without an end


_filled: dict[int, FilledOnce[list[Client]]] = defaultdict(FilledOnce)


def fill(database: Database, act: Act, number: int = 39) -> list[Client]:
    """Clients of every sort, many of them alike but for their ids; every fifth is off, some proofs have an end."""
    return list(_filled[number].fill(database, lambda: _made(database, act, number)))


def _made(database: Database, act: Act, number: int) -> list[Client]:
    def work(tx: Tx) -> list[Client]:
        return [one(tx, index) for index in range(number)]

    def one(tx: Tx, index: int) -> Client:
        what = dict(PLATFORMS[index % 3])
        if what["platform"] == "key":
            what["public_key"] = PrivateKey.generate_ed25519().public.to_pem().decode()
        wanted = Onboarding(
            name=NAMES[index % len(NAMES)],
            slug=f"s{index}-{'ab'[index % 2]}",
            kind=ClientKind.MCP_SERVER if index % 4 == 0 else ClientKind.AI_AGENT,
            owner=OWNERS[index * 7 % len(OWNERS)],
            labels=LABELS[index * 3 % len(LABELS)],
            **what,
        )
        at = replace(act, now=act.now - timedelta(minutes=index % 6))
        client = service.create(tx, at, wanted)
        for platform, until in (("unattested", OPEN_UNTIL), ("secret", SECRET_UNTIL)):
            if index in until:
                hours = until[index]
                end = None if hours is None else act.now + timedelta(hours=hours)
                earlier = replace(act, now=act.now - timedelta(days=1))
                client = held_proofs.add_proof(tx, earlier, client.id, NewProof(platform=platform, expires_at=end))
        return service.disable(tx, at, client.id) if index % 5 == 0 else client

    return database.change(work)


def fits(client: Client, filters: ClientFilters, act: Act) -> bool:
    """Whether the client is one of those, said once more and plainly."""
    text, (label, _, value) = folded(filters.text), filters.label.partition("=")
    unattested, proves = client.unattested(act.now), client.can_prove_itself(act.now)
    needs = {
        None: True,
        Attention.UNATTESTED: unattested,
        Attention.CANNOT_PROVE: not unattested and not proves,
        Attention.ENROLLED: client.enrolled(act.now),
        Attention.SECRET: client.holds_secret(act.now),
    }
    return (
        (text in folded(client.name) or text in client.slug or client.id.startswith(text))
        and filters.kind in {None, client.kind}
        and filters.platform in {None, client.platform}
        and filters.enabled in {None, client.enabled}
        and folded(filters.owner) in {"", folded(client.owner)}
        and (not filters.label or (label in client.labels and value in {"", client.labels[label]}))
        and needs[filters.attention]
    )


FILTERS = st.builds(
    ClientFilters,
    text=st.sampled_from(["", "", "a", "ALPHA", "ök", "ÖK", "ss", "%", "_", "🤖", "-b", "\\", "/", "zzz"]),
    kind=st.sampled_from([None, None, *ClientKind]),
    platform=st.sampled_from([None, None, *Platform]),
    enabled=st.sampled_from([None, True, False]),
    owner=st.sampled_from(["", "", *OWNERS, "TEAM CRM", "nobody", "%"]),
    label=st.sampled_from(["", "", "team", "team=crm", "env", "env=a=b", "env=", "env=%", "nope", "=crm"]),
    attention=st.sampled_from([None, None, *Attention]),
)


def read_all(database: Database, act: Act, limit: int, filters: ClientFilters, **order: Any) -> list[Client]:
    """All pages, one behind the other."""
    seen: list[Client] = []
    cursor: str | None = ""
    for _ in range(100):
        if cursor is None:
            return seen
        here = cursor
        found, cursor = database.read(
            lambda tx, here=here: search.page_of(tx, act, filters, cursor=here, limit=limit, **order)
        )
        assert len(found) == limit or cursor is None
        seen += found
    raise AssertionError("the pages have no end")


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("few", [0, 2_000], ids=["labels held by many", "labels held by few"])
def test_pages_hold_each_client_once_and_in_order(
    database: Database, act: Act, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authsec_server.clients.search.FEW", few)
    held = fill(database, act)

    @settings(max_examples=examples(60))
    @given(filters=FILTERS, sort=st.sampled_from(ClientSort), descending=st.booleans(), limit=st.integers(1, 45))
    def check(filters: ClientFilters, sort: ClientSort, descending: bool, limit: int) -> None:
        wanted = [client for client in held if fits(client, filters, act)]
        wanted.sort(key=lambda client: position(client, sort), reverse=descending)
        assert read_all(database, act, limit, filters, sort=sort, descending=descending) == wanted
        assert database.read(lambda tx: search.count(tx, act, filters)) == Count(number=len(wanted), capped=False)

    check()


@pytest.mark.parametrize("label", some_of(["team", "team=crm", "env=", "env=a=b", "nope"], each=2))
def test_by_a_label_alone_the_labels_tell_how_many(database: Database, act: Act, label: str) -> None:
    wanted = [client for client in fill(database, act) if fits(client, ClientFilters(label=label), act)]
    counted = database.read(lambda tx: search.count(tx, act, ClientFilters(label=label)))
    assert counted == Count(number=len(wanted), capped=False)


def test_a_client_that_is_renamed_or_deleted_meanwhile_disturbs_no_other(database: Database, act: Act) -> None:
    held = sorted(fill(database, act), key=lambda client: position(client, ClientSort.NAME))
    first, cursor = database.read(lambda tx: search.page_of(tx, act, limit=10))
    last = first[-1]
    database.change(lambda tx: service.delete(tx, act, last))
    database.change(
        lambda tx: service.edit(
            tx, act, held[12].id, revision=held[12].revision, changes={"name": "aaa, behind the reader"}
        )
    )
    rest, _ = database.read(lambda tx: search.page_of(tx, act, cursor=cursor or "", limit=200))
    assert [client.id for client in rest] == [client.id for client in held[10:] if client.id != held[12].id]


def test_what_changes_is_found_by_what_it_is_now(database: Database, act: Act) -> None:
    client = database.change(
        lambda tx: service.create(
            tx, act, Onboarding(name="Old", platform="unattested", owner="Ada", labels={"team": "crm"})
        )
    )
    asked = {"name": "New", "owner": "Ben", "slug": "other", "labels": {"team": "ops"}}
    edited = database.change(lambda tx: service.edit(tx, act, client.id, revision=1, changes=asked))
    found = [
        ClientFilters(text="new"),
        ClientFilters(text="OTHER"),
        ClientFilters(owner="ben"),
        ClientFilters(label="team=ops"),
    ]
    gone = [ClientFilters(text="old"), ClientFilters(owner="ada"), ClientFilters(label="team=crm")]
    for filters, wanted in [*((each, [edited]) for each in found), *((each, []) for each in gone)]:
        assert database.read(lambda tx, filters=filters: search.page_of(tx, act, filters)) == (wanted, None)
    assert database.read(lambda tx: search.owners(tx, act)) == ["Ben"]
    bare = database.change(lambda tx: held_proofs.remove_proof(tx, act, client.id, client.proofs[0].id))
    cannot = ClientFilters(attention=Attention.CANNOT_PROVE)
    assert database.read(lambda tx: search.page_of(tx, act, cannot)) == ([bare], None)


def test_owners_differ_by_more_than_case(database: Database, act: Act) -> None:
    fill(database, act)
    assert database.read(lambda tx: search.owners(tx, act)) == ["100%", "anna", "Team CRM", "Örtlich"]


@pytest.mark.sqlite_suffices
def test_a_count_ends_where_it_tells_nothing_more(database: Database, act: Act) -> None:
    fill(database, act, 1)

    def many(tx: Tx) -> None:
        row = dict(tx.connection.execute(select(clients)).mappings().one())
        tx.connection.execute(
            insert(clients), [{**row, "id": f"{number:036}", "slug": f"n{number}"} for number in range(10_000)]
        )

    database.append(many)
    assert str(database.read(lambda tx: search.count(tx, act))) == "10,000+"
    exactly = database.read(lambda tx: search.count(tx, act, ClientFilters(text="n")))
    assert (exactly, str(exactly)) == (Count(number=10_000, capped=False), "10,000")


def test_search_finds_by_name_slug_and_the_beginning_of_the_id(database: Database, act: Act) -> None:
    held = fill(database, act)
    some = held[7]
    for text in (some.id, some.id[:13], some.slug, some.slug.upper()):
        assert some in database.read(lambda tx, text=text: search.search(tx, act, text)), text
    assert database.read(lambda tx: search.search(tx, act, some.id[1:])) == [], "only its beginning"
    assert database.read(lambda tx: search.search(tx, act, "")) == []
    assert len(database.read(lambda tx: search.search(tx, act, "a", limit=3))) == 3
    matching = select(clients.c.slug).where(clients.c.id.in_(search.ids_matching("ÖKONOMIE 2")))
    assert set(database.read(lambda tx: tx.connection.execute(matching).scalars().all())) == {
        client.slug for client in held if "ökonomie 2" in client.name
    }


def test_what_nothing_can_be_called_finds_nothing(database: Database, act: Act) -> None:
    fill(database, act, 3)
    for filters in (
        ClientFilters(text="\0"),
        ClientFilters(owner="\0"),
        ClientFilters(label="a=\0"),
        ClientFilters(text="x" * 10_000),
    ):
        assert database.read(lambda tx, filters=filters: search.page_of(tx, act, filters)) == ([], None)
        assert database.read(lambda tx, filters=filters: search.count(tx, act, filters)).number == 0


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("sort", ClientSort)
def test_a_made_up_cursor_is_refused(database: Database, act: Act, sort: ClientSort) -> None:
    (client,) = fill(database, act, 1)

    def encoded(*parts: str) -> str:
        return urlsafe_b64encode("\n".join(parts).encode()).decode()

    others = [write_cursor(other, position(client, other)) for other in ClientSort if other is not sort]
    made_up = [
        *others,
        "x",
        "ö",
        "====",
        client.slug,
        encoded(sort),
        encoded(sort, "a"),
        encoded(sort, "\0", "\0", client.id),
        encoded(sort, "2026-11-25T12:00:00", client.id, "x"),
        encoded(sort, "2026-11-25T12:00:00", "x"),
        encoded("created", "2026-11-25T12:00:00", client.id),
        urlsafe_b64encode(b"\xff\xff\xff").decode(),
        secrets.token_urlsafe(3000),
    ]
    for cursor in made_up:
        with pytest.raises(Invalid, match="This cursor does not come from") as caught:
            database.read(lambda tx, cursor=cursor: search.page_of(tx, act, sort=sort, cursor=cursor))
        assert caught.value.field == "cursor"


def test_the_longest_names_fit_the_indexes(database: Database, act: Act) -> None:
    """PostgreSQL refuses an index row of more than 2,704 bytes."""
    for number, letter in enumerate(["🤖", "ΐ", "ὒ"]):  # 4 bytes; and letters that folding makes longer
        wanted = Onboarding(
            name=letter * 120,
            owner=letter * 120,
            slug="s" * 62 + str(number),
            platform="unattested",
            labels={"l" * 63: letter * 120},
        )
        client = database.change(lambda tx, wanted=wanted: service.create(tx, act, wanted))
        assert database.read(lambda tx, wanted=wanted: search.search(tx, act, wanted.name)) == [client]
