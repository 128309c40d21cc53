"""The revocation feed over HTTP: ordered, with a head that covers it, and only for as long as an entry matters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from authsec import strict_json
from authsec.clock import Clock
from authsec.jose import JoseError, PublicKey, parse_compact, verify_compact
from authsec.verifier.key_set import GivenKeys
from authsec.verifier.revocations.batch import BatchRefused
from authsec.verifier.revocations.state import Feed
from authsec_server.app import open_authority
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind
from authsec_server.revocations.store import revocations as table
from authsec_server.settings import Settings
from databases import settings_for
from sqlalchemy import delete
from starlette.testclient import TestClient

FEED = "/authsec/v1/revocations"
ISSUER = "http://127.0.0.1:7468"
CANARY = "payroll-of-ann-example-com"

House = Any


@pytest.fixture
def its(house: Callable[..., House], database_url: str, tmp_path: Path) -> House:
    """An authority on each database, whose clock stands at noon."""
    return house(**settings_for(database_url, tmp_path))


def end(its: House, *subjects: tuple[SubjectKind, str]) -> None:
    """End the tokens of each, one change after the other."""
    for kind, subject in subjects:
        its.authority.database.change(lambda tx, k=kind, s=subject: revocations.end(tx, k, s, its.clock.at))


def tokens(*names: str) -> list[tuple[SubjectKind, str]]:
    return [(SubjectKind.TOKEN, name) for name in names]


def keys_of(door: TestClient) -> dict[str, PublicKey]:
    return {key["kid"]: PublicKey.from_jwk(key) for key in door.get(FEED + "/keys").json()["keys"]}


def read(door: TestClient, since: int, **query: int) -> dict[str, Any]:
    """A page whose head was checked as readers check it."""
    answer = door.get(FEED, params={"since": since, **query})
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    page: dict[str, Any] = answer.json()
    check(page, keys_of(door))
    return page


def check(page: dict[str, Any], keys: dict[str, PublicKey]) -> None:
    """Raise unless the feed's key vouches for this page."""
    head = parse_compact(page["head"])
    assert head.header == {"alg": "EdDSA", "kid": head.header["kid"], "typ": "authsec-revocations+jwt"}
    head.check_signature(keys[head.header["kid"]], algorithms={"EdDSA"})
    told = {name: page[name] for name in ("since", "through", "last", "snapshot")}
    told |= {"iss": page["issuer"], "entries_sha256": digest_of(page["entries"])}
    assert head.claims == {"iat": head.claims["iat"], "follows": head.claims["follows"], **told}


def digest_of(published: object) -> str:
    return sha256(strict_json.dumps(published)).hexdigest()


def follows(page: dict[str, Any]) -> Any:
    return parse_compact(page["head"]).claims["follows"]


def numbers(page: dict[str, Any]) -> list[int]:
    return [entry["sequence"] for entry in page["entries"]]


def test_entries_in_order_and_what_follows(its: House) -> None:
    door = its.door()
    empty = read(door, 0)
    assert (empty["issuer"], empty["entries"], empty["through"], empty["last"]) == (ISSUER, [], 0, 0)
    end(its, *tokens("a", "b", "c"))
    first = read(door, 0, limit=2)
    assert (numbers(first), first["through"], first["last"], first["snapshot"]) == ([1, 2], 2, 3, False)
    rest = read(door, first["through"])
    assert (numbers(rest), rest["through"], rest["last"]) == ([3], 3, 3)
    (entry,) = rest["entries"]
    version = entry.pop("version")
    assert entry == {"sequence": 3, "kind": "token", "subject": "c", "at": "2026-11-25T12:00:00Z"}
    assert version == its.authority.database.read(lambda tx: tx.version)
    assert read(door, 3)["entries"] == []


@pytest.mark.sqlite_suffices
def test_a_head_says_by_its_digest_which_entry_it_follows(its: House) -> None:
    door = its.door()
    assert follows(read(door, 0)) == ""
    end(its, *tokens("a", "b", "c"))
    entries = read(door, 0)["entries"]
    assert follows(read(door, 0)) == ""
    assert [follows(read(door, since)) for since in (1, 2, 3)] == [digest_of(each) for each in entries]
    assert follows(read(door, 4)) == "", "a snapshot follows nothing"


def test_a_database_that_was_restored_and_grew(its: House) -> None:
    """The verifier of the Python package notices that the numbers were given again, and misses nothing."""
    door, clock = its.door(), Clock(wall=lambda: its.clock.at.timestamp())
    feed = Feed(ISSUER, GivenKeys(door.get(FEED + "/keys").json()), clock)
    end(its, *tokens("a", "b", "c"))

    def take() -> bool:
        return feed.take(door.get(FEED, params={"since": feed.sequence, "limit": 2}).content).complete

    assert [take(), take()] == [False, True]
    its.authority.database.append(lambda tx: tx.connection.execute(delete(table).where(table.c.sequence > 1)))
    its.clock.at += timedelta(minutes=1)
    end(its, *tokens("d", "e", "f"))
    with pytest.raises(BatchRefused, match="was replaced"):
        take()
    assert [take(), take(), take()] == [False, True, True]
    assert all(feed.ended([("token", name)], 0) for name in "abcdef")


def test_a_reader_who_was_away_too_long_gets_all_that_still_matters(its: House) -> None:
    door = its.door()
    end(its, *tokens("old", "older still"))
    its.clock.at += timedelta(days=8, seconds=1)
    its.authority.database.append(lambda tx: revocations.forget(tx, its.clock.at))
    page = read(door, 1)
    assert (numbers(page), page["snapshot"]) == ([2], True), "the newest stays, so that numbers are given once"
    end(its, *tokens("new"))
    its.authority.database.append(lambda tx: revocations.forget(tx, its.clock.at))
    page = read(door, 0)
    assert (numbers(page), page["snapshot"], page["through"]) == ([3], True, 3)
    assert (read(door, 2)["snapshot"], read(door, 3)["snapshot"]) == (True, False)


@pytest.mark.sqlite_suffices
def test_a_reader_of_another_database_gets_all_there_is(its: House) -> None:
    door = its.door()
    end(its, *tokens("a", "b"))
    page = read(door, 999, limit=1)
    assert (numbers(page), page["snapshot"], page["since"], page["through"]) == ([1, 2], True, 999, 2)


def test_maintenance_forgets_what_matters_no_more(house: Callable[..., House], tmp_path: Path) -> None:
    its = house()
    end(its, *tokens("old", "newest"))
    late = replace(its.clock, at=its.clock.at + timedelta(days=9))
    with open_authority(Settings(data=tmp_path), runtime=late.around()):
        assert numbers(read(its.door(), 0)) == [1, 2]  # no checkpoint says that they are old
    its.authority.dropper.sealer.seal()
    with open_authority(Settings(data=tmp_path), runtime=late.around()):
        assert numbers(read(its.door(), 0)) == [2]


@pytest.mark.parametrize("change", ["entries", "through", "issuer", "since"])
def test_a_head_covers_all_of_its_page(house: Callable[..., House], change: str) -> None:
    its = house()
    door = its.door()
    end(its, *tokens("a", "b"))
    page = read(door, 0)
    page[change] = {"entries": page["entries"][1:], "through": 1, "issuer": "https://other.example", "since": 1}[change]
    with pytest.raises(AssertionError):
        check(page, keys_of(door))


def test_no_other_key_signs_heads_and_the_feeds_key_signs_nothing_else(house: Callable[..., House]) -> None:
    its = house()
    door = its.door()
    page = read(door, 0)
    published = [PublicKey.from_jwk(key) for key in door.get("/.well-known/jwks.json").json()["keys"]]
    assert not {key.thumbprint() for key in published} & keys_of(door).keys()
    for key in published:
        with pytest.raises(JoseError):
            verify_compact(page["head"], key, algorithms=key.algorithms)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, "since"),
        ({"since": "-1"}, "since"),
        ({"since": "x"}, "since"),
        ({"since": str(2**53)}, "since"),
        ({"since": ["1", "2"]}, "since"),
        ({"since": "0", "limit": "0"}, "limit"),
        ({"since": "0", "limit": "1001"}, "limit"),
    ],
)
def test_what_cannot_be_asked(house: Callable[..., House], query: Any, field: str) -> None:
    answer = house().door().get(FEED, params=query)
    assert (answer.status_code, answer.json()["field"]) == (400, field)


def test_a_token_names_what_its_proofs_end_is_published_as(house: Callable[..., House]) -> None:
    """Removing a proof ends the tokens that rest on it, because they and the feed name it alike."""
    its = house()
    agent, door = its.delegated_agent(), its.door()
    proves = {"Authorization": f"Bearer {agent.assertion(its.clock.at)}"}
    answer = door.get("/authsec/uflow/sdk/delegation-token", params={"client_id": agent.client_id}, headers=proves)
    claims = parse_compact(answer.json()["token"]).claims
    operator, proof = house(local_operator=True).door(), claims["attestation"]["proof"]
    operator.delete(f"/authsec/api/v1/clients/{agent.client_id}/proofs/{proof}").raise_for_status()
    (entry,) = [each for each in read(door, 0)["entries"] if each["kind"] == "proof"]
    assert entry["subject"] == proof
    assert claims["authority_version"] < entry["version"]


def test_the_metadata_names_it(house: Callable[..., House]) -> None:
    document = house().door().get("/.well-known/oauth-authorization-server").json()
    assert document["authsec_revocations_uri"] == ISSUER + FEED
    assert document["authsec_revocations_keys_uri"] == ISSUER + FEED + "/keys"


def test_no_name_of_anybody_stands_in_it(house: Callable[..., House]) -> None:
    """It is readable without credentials, so it tells nobody what the company has or who works there."""
    operator = house(local_operator=True).door()
    api = "/authsec/api/v1"
    role = operator.post(f"{api}/roles", json={"name": CANARY, "actions": [f"{CANARY}:read"]}).json()
    agent = operator.post(f"{api}/clients", json={"name": f"{CANARY} agent", "platform": "unattested"}).json()
    operator.post(f"{api}/clients/{agent['client_id']}/disable", json={}).raise_for_status()
    end(house(), (SubjectKind.ROLE, role["slug"]))
    page = read(house().door(), 0)
    assert {entry["kind"] for entry in page["entries"]} >= {"client", "role"}
    assert sha256(role["slug"].encode()).hexdigest() in {entry["subject"] for entry in page["entries"]}
    assert CANARY not in strict_json.dumps(page).decode()
    assert CANARY not in strict_json.dumps(dict(parse_compact(page["head"]).claims)).decode()
