"""Whatever has been done to signed tokens (RFC 8725 section 2), done to every door that reads one.

One list (doors/jose_attacks.py): algorithm confusion, keys that tokens bring, critical headers, names that occur twice,
times that are none, second spellings, other serialisations, bombs. A door that is not in here is a door with a reader
of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jose_doors as doors
import pytest
from api_server import ApiServer
from authsec.jose import PrivateKey
from hypothesis import settings
from jose_attacks import ATTACKS, Attack
from jose_doors import KEYS, Door


def attacked(door: Door) -> list[str]:
    """The attacks that got in. Before and after them good tokens do, so that no refusal is for another reason.

    In short runs, each third attack: all doors have one reader, and `test_delegation_tokens_at_an_api` has all attacks.
    """
    return among(ATTACKS[:: 1 if settings.get_current_profile_name() == "full" else 3], door)


def among(attacks: Sequence[Attack], door: Door) -> list[str]:
    """Those of these attacks that got in."""
    assert door.knock()
    attacks = [attack for attack in attacks if not attack.name.startswith(door.excuses)]
    got_in = [attack.name for attack in attacks if door.knock(attack.make)]
    assert door.knock()
    return got_in


LIMITS = dict.fromkeys(("address_limit", "client_limit", "unproved_limit"), 10_000)


@pytest.fixture
def endpoint(house: Callable[..., Any]) -> Any:
    return house(**LIMITS)


def test_the_tokens_of_a_cluster_that_is_asked_about_them(house: Any, peers: Any, peer: Any, tmp_path: Path) -> None:
    """It reads them, too, and hears of none that is not good by itself: it may not be as strict."""
    server = ApiServer(peers, peer, tmp_path)
    its = house(**server.settings, **LIMITS, lookup_seconds=0)
    door = doors.workload(its, "kubernetes", KEYS["RSA"], may_look_up=True, **server.asked_for(pod_lookup=False))
    assert attacked(door) == []
    assert len(server.reviewed()) == 2, "of the good one before, and the good one after"


@pytest.mark.parametrize(("kind", "key"), [("spiffe", "EC"), pytest.param("oidc", "RSA", marks=pytest.mark.soak)])
def test_the_tokens_of_workloads(endpoint: Any, kind: str, key: str) -> None:
    assert attacked(doors.workload(endpoint, kind, KEYS[key])) == []


@pytest.mark.parametrize("key", ["RSA", pytest.param("Ed25519", marks=pytest.mark.soak)])
def test_assertions_of_agents_with_a_key_pair(endpoint: Any, key: str) -> None:
    assert attacked(doors.key_pair(endpoint, KEYS[key])) == []


@pytest.mark.parametrize("key", ["EC", pytest.param("RSA", marks=pytest.mark.soak)])
def test_client_assertions_at_the_token_endpoint(endpoint: Any, key: str) -> None:
    assert attacked(doors.assertion(endpoint, KEYS[key])) == []


@pytest.mark.parametrize(("kind", "key"), [("kubernetes", "RSA"), pytest.param("spiffe", "EC", marks=pytest.mark.soak)])
def test_workload_tokens_as_client_assertions(endpoint: Any, kind: str, key: str) -> None:
    assert attacked(doors.workload_assertion(endpoint, kind, KEYS[key])) == []


@pytest.mark.parametrize(("kind", "key"), [("oidc", "RSA"), pytest.param("spiffe", "EC", marks=pytest.mark.soak)])
def test_workload_tokens_as_grants(endpoint: Any, kind: str, key: str) -> None:
    assert attacked(doors.workload_grant(endpoint, kind, KEYS[key])) == []


@pytest.mark.parametrize("key", ["EC", *(pytest.param(key, marks=pytest.mark.soak) for key in ("RSA", "Ed25519"))])
def test_dpop_proofs_at_the_token_endpoint(endpoint: Any, key: str) -> None:
    assert attacked(doors.dpop(endpoint, KEYS[key])) == []


def test_what_shows_that_a_machine_holds_its_key(house: Any) -> None:
    assert attacked(doors.enrolment(house(local_operator=True), PrivateKey.generate_ed25519)) == []


def test_tokens_that_operators_try(house: Any) -> None:
    assert attacked(doors.trial(house(local_operator=True), "kubernetes", KEYS["EC"])) == []


def test_tokens_that_are_handed_back(endpoint: Any) -> None:
    assert attacked(doors.revocation(endpoint)) == []


@pytest.mark.parametrize("key", KEYS)
def test_delegation_tokens_at_an_api(key: str) -> None:
    assert among(ATTACKS, doors.api(KEYS[key])) == []


@pytest.mark.parametrize("key", KEYS)
def test_id_tokens_of_administrators(provider: Any, key: str) -> None:
    assert attacked(doors.sign_in(provider, KEYS[key])) == []
