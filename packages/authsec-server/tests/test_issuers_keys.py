"""The keys of trusted issuers: fetched from a real issuer on loopback, on both databases."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from authsec.jose import PrivateKey
from authsec_server.db import Database
from authsec_server.issuers import key_cache, service
from authsec_server.issuers.key_cache import Condition, refresh_seconds
from authsec_server.issuers.key_sets import WAITING_FOR_ONE
from authsec_server.issuers.model import KeysUnavailable
from hypothesis import given
from hypothesis import strategies as st
from issuers import DISCOVERY, JWKS, NOW, ONE, TWO, Asking, Issuer
from long_runs import some_of

pytestmark = pytest.mark.sqlite_suffices


@pytest.fixture
def its(database: Database, peers: Any, peer: Callable[..., Any]) -> Asking:
    return Asking(Issuer(peers, peer), database, peers.outbound("127.0.0.1"))


def test_keys_are_discovered_fetched_once_and_used_for_an_hour(its: Asking) -> None:
    found = its.find("one")
    assert found is not None
    assert found.thumbprint() == ONE.public.thumbprint()
    its.wait(minutes=59)
    assert its.has("one")
    assert its.issuer.asked == [DISCOVERY, JWKS]
    its.wait(minutes=1)
    assert its.has("one")
    assert its.fetches == 2


def test_at_an_address_nothing_is_discovered(its: Asking) -> None:
    its.edit(keys_from="url", keys_url=its.issuer.url + "/keys?set=1")
    its.issuer.says(its.issuer.jwks(), "/keys?set=1")
    assert its.has("one")
    assert its.issuer.asked == ["/keys?set=1"]


def test_given_keys_are_never_fetched(its: Asking) -> None:
    its.edit(keys_from="given", given_keys=its.issuer.jwks())
    assert its.has("one")
    assert not its.has("two")
    assert its.key_sets.refresh(its.trusted_issuer) == its.state()
    assert (its.state().condition, list(its.state().keys), its.state().fetched_at) == (Condition.GIVEN, ["one"], None)
    assert its.issuer.asked == []


def test_a_bundle_is_fetched_when_it_wants_to_be(its: Asking) -> None:
    its.trusted_issuer = its.register(
        name="Mesh", kind="spiffe", issuer="example.org", keys_from="url", keys_url=its.issuer.url + JWKS, preset=""
    )
    bundle = {"keys": [{**ONE.public.to_jwk(), "kid": "one", "use": "jwt-svid"}]}
    its.issuer.says({**bundle, "spiffe_refresh_hint": 300, "spiffe_sequence": 1})
    assert its.has("one")
    its.wait(seconds=299)
    assert its.has("one")
    assert its.fetches == 1
    its.wait(seconds=1)
    assert its.has("one")
    assert its.fetches == 2


@given(st.one_of(st.none(), st.integers()))
def test_a_hint_never_leads_out_of_its_bounds(hint: int | None) -> None:
    assert 30 <= refresh_seconds(hint) <= 86_400


def test_a_new_key_is_found_and_one_that_went_is_gone(its: Asking) -> None:
    assert its.has("one")
    its.issuer.keys = {"two": TWO}
    its.wait(minutes=1)
    assert its.has("two")
    assert not its.has("one")


def test_invented_names_have_the_issuer_asked_once_a_minute(its: Asking) -> None:
    assert its.has("one")
    for _ in range(3):
        for number in range(50):
            assert not its.has(f"invented {number}")
            its.wait(seconds=1.2)
    assert its.fetches in {3, 4}


def test_another_process_knows_what_was_fetched(its: Asking) -> None:
    assert its.has("one")
    its.restart()
    its.wait(minutes=30)
    assert its.has("one")
    assert its.fetches == 1
    assert not its.has("invented")
    assert its.fetches == 2


def test_a_restart_while_the_issuer_is_away_loses_nothing(its: Asking) -> None:
    assert its.has("one")
    its.issuer.fails()
    its.wait(hours=23)
    its.restart()
    assert its.has("one")
    its.wait(hours=1)
    its.restart()
    assert "more than 24 hours old" in its.failure("one")


def test_the_set_that_a_process_lacks_may_be_in_the_database_already(its: Asking) -> None:
    assert its.has("one")
    slow = its.key_sets
    its.issuer.keys["two"] = TWO
    its.wait(minutes=2)
    its.restart()
    assert its.has("two")
    its.wait(minutes=2)
    fetched = its.fetches
    assert slow.find(its.trusted_issuer, "two") is not None
    assert its.fetches == fetched


def test_a_set_of_another_address_does_not_count(its: Asking) -> None:
    assert its.has("one")
    its.edit(name="Builds")
    its.issuer.fails()
    assert its.has("one")
    before = its.trusted_issuer
    its.issuer.answers["/elsewhere"] = its.issuer.http(b"{}", status="404 Not Found")
    its.edit(keys_from="url", keys_url=its.issuer.url + "/elsewhere")
    assert "/elsewhere answered 404" in its.failure("one")
    its.restart()
    assert "/elsewhere answered 404" in its.failure("one")
    with pytest.raises(KeysUnavailable, match="was changed while this request was processed"):
        its.key_sets.find(before, "one")


def test_keys_of_a_trusted_issuer_that_was_removed_meanwhile_are_kept_nowhere(its: Asking) -> None:
    its.database.change(lambda tx: service.remove(tx, its.act, its.trusted_issuer))
    assert its.has("one")
    its.restart()
    assert its.state().condition is Condition.NONE


# -- failing


def failing_documents(issuer: Issuer) -> dict[str, tuple[str, Callable[[], None]]]:
    private = {**ONE.public.to_jwk(), "kid": "one", "d": "c2VjcmV0LXNjYWxhcg"}
    http = issuer.http

    def hang(connection: socket.socket) -> None:
        connection.settimeout(3)
        connection.recv(1)

    def redirect() -> None:
        issuer.answers[JWKS] = http(b"", "Location: https://169.254.169.254/", status="302 Found")

    return {
        "500": ("answered 500", issuer.fails),
        "hang": ("http://127.0.0.1:", lambda: issuer.answers.update({JWKS: hang})),
        "empty set": ("has no key", lambda: issuer.says({"keys": []})),
        "no set": ("no list", lambda: issuer.says({"error": "x"})),
        "only unusable": ("has no key", lambda: issuer.says({"keys": [{"kty": "OKP"}]})),
        "wrong issuer": ("names the issuer 'https://evil'", lambda: issuer.metadata.update(issuer="https://evil")),
        "slash": ("names the issuer", lambda: issuer.metadata.update(issuer=issuer.url + "/")),
        "no jwks_uri": ("has no jwks_uri", lambda: issuer.metadata.update(jwks_uri=7)),
        "script": ("the URL", lambda: issuer.metadata.update(jwks_uri="javascript:alert(1)")),
        "plain http": ("plain http", lambda: issuer.metadata.update(jwks_uri="http://keys.example.com/")),
        "private address": (
            "AUTHSEC_SERVER_OUTBOUND_PRIVATE_HOSTS",
            lambda: issuer.metadata.update(jwks_uri="https://10.0.0.1/"),
        ),
        "redirect": ("redirect", redirect),
        "not JSON": ("JSON", lambda: issuer.answers.update({JWKS: http(b"<html>")})),
        "private key": ("Consider that key exposed", lambda: issuer.says({"keys": [private]})),
        "10k keys": (
            "larger",
            lambda: issuer.says({"keys": [{**ONE.public.to_jwk(), "kid": str(n)} for n in range(10_000)]}),
        ),
        "500 small keys": ("500 keys", lambda: issuer.says({"keys": [{"kid": str(n)} for n in range(500)]})),
    }


FAILING = [
    "500", "hang", "empty set", "no set", "only unusable", "wrong issuer", "slash", "no jwks_uri", "script",
    "plain http", "private address", "redirect", "not JSON", "private key", "10k keys", "500 small keys",
]  # fmt: skip


@pytest.mark.parametrize("fault", some_of(FAILING))
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_fault_replaces_a_good_set_or_makes_it_younger(its: Asking, fault: str) -> None:
    assert its.has("one")
    before = its.state()
    says, fail = failing_documents(its.issuer)[fault]
    fail()
    its.wait(hours=1)
    assert its.has("one")
    its.lands()
    state = its.state()
    assert (state.condition, state.keys, state.fetched_at) == (Condition.STALE, before.keys, before.fetched_at)
    assert (state.fresh_until, state.usable_until) == (before.fresh_until, before.usable_until)
    assert says in state.failure
    assert "c2VjcmV0" not in state.failure
    assert state.failed_at == its.at


@pytest.mark.parametrize("fault", some_of(FAILING))
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_every_fault_is_said_where_there_was_no_set_before(its: Asking, fault: str) -> None:
    says, fail = failing_documents(its.issuer)[fault]
    fail()
    sentence = its.failure()
    assert sentence.startswith("The keys of the trusted issuer 'CI' (ci) are not available: ")
    assert sentence.endswith(".")
    assert says in sentence
    its.restart()
    assert (its.state().condition, its.state().failure in sentence) == (Condition.NONE, True)
    assert its.state().failure


def test_after_a_failure_nothing_is_tried_for_five_seconds(its: Asking) -> None:
    its.issuer.fails()
    for _ in range(4):
        assert "answered 500" in its.failure()
        its.wait(seconds=1.2)
    assert len(its.issuer.asked) == 1
    its.issuer.recovers()
    its.wait(seconds=1)
    assert its.has("one")
    assert (its.state().failure, its.state().condition) == ("", Condition.FRESH)


def test_while_nobody_could_look_a_key_is_not_unknown_but_not_to_be_had(its: Asking) -> None:
    assert its.has("one")
    its.issuer.fails()
    its.wait(minutes=2)
    assert "answered 500" in its.failure("two")
    assert its.has("one")
    asked = len(its.issuer.asked)
    its.wait(seconds=30)
    assert "answered 500" in its.failure("three")
    assert len(its.issuer.asked) == asked


def test_a_cluster_that_answers_nobody_is_told_how_to_be_registered(its: Asking) -> None:
    its.trusted_issuer = its.register(name="Cluster", kind="kubernetes", issuer=its.issuer.url + "/k", preset="")
    its.issuer.answers["/k" + DISCOVERY] = its.issuer.http(b"{}", status="401 Unauthorized")
    assert "--from-kubeconfig" in its.failure()


def test_an_admin_may_have_them_fetched_at_once(its: Asking) -> None:
    assert its.has("one")
    its.issuer.keys["two"] = TWO
    state = its.key_sets.refresh(its.trusted_issuer)
    assert (list(state.keys), state.condition, state.failure) == (["one", "two"], Condition.FRESH, "")
    its.issuer.fails()
    failed = its.key_sets.refresh(its.trusted_issuer)
    assert (list(failed.keys), "answered 500" in failed.failure) == (["one", "two"], True)


def test_a_clock_that_is_set_back_makes_no_set_younger(its: Asking) -> None:
    assert its.has("one")
    its.issuer.fails()
    its.set_back(hours=5)
    its.wait(hours=23)
    assert its.has("one")
    its.wait(hours=1)
    assert "more than 24 hours old" in its.failure()


def test_a_trusted_issuer_with_certificates_of_its_own_trusts_no_others(
    database: Database, peers: Any, peer: Callable[..., Any]
) -> None:
    certificate, other = peers.Certificate("localhost"), peers.Certificate("localhost")
    issuer = Issuer(peers, peer, certificate=certificate)
    issuer.url = issuer.url.replace("127.0.0.1", "localhost")
    door = peers.outbound("localhost", names={"localhost": ["127.0.0.1"]}, trust=other.trusted())
    its = Asking(issuer, database, door)
    assert "certificate" in its.failure()
    its.edit(ca=certificate.pem.decode())
    assert its.has("one")
    its.edit(ca=other.pem.decode())
    assert "certificate" in its.failure()


# -- many at once


def at_once(its: Asking, kids: list[str]) -> list[str]:
    """What each of them gets, all asking at the same time."""
    answers: list[str] = []
    starting = threading.Barrier(len(kids))

    def ask(kid: str) -> None:
        starting.wait()
        try:
            answers.append("key" if its.find(kid) else "none")
        except KeysUnavailable as error:
            answers.append(error.sentence)

    threads = [threading.Thread(target=ask, args=(kid,)) for kid in kids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return answers


class Gate:
    """Lets an answer out only once it is opened."""

    def __init__(self, issuer: Issuer) -> None:
        self.reached, self.open = threading.Event(), threading.Event()
        self._said = issuer.http(issuer.jwks())
        issuer.answers[JWKS] = self._say

    def _say(self, connection: socket.socket) -> None:
        self.reached.set()
        self.open.wait(10)
        connection.sendall(self._said)


def test_of_twenty_threads_without_a_set_a_few_wait_for_one_fetch(its: Asking) -> None:
    gate = Gate(its.issuer)
    threading.Timer(0.3, gate.open.set).start()
    answers = at_once(its, ["one"] * 20)
    assert answers.count("key") == WAITING_FOR_ONE
    assert sum("still being fetched" in answer for answer in answers) == 20 - WAITING_FOR_ONE
    assert its.fetches == 1
    assert its.has("one")


def test_twenty_threads_that_fail_together_ask_once(its: Asking) -> None:
    its.issuer.fails()
    answers = at_once(its, ["one"] * 20)
    assert len(answers) == 20
    assert all("answered 500" in answer or "still being fetched" in answer for answer in answers)
    assert len(its.issuer.asked) == 1


def test_a_flood_of_invented_names_asks_once(its: Asking) -> None:
    assert its.has("one")
    its.wait(minutes=5)
    answers = at_once(its, [f"invented {number}" for number in range(20)])
    assert len(answers) == 20
    assert all(answer == "none" or "still being fetched" in answer for answer in answers)
    assert its.fetches == 2


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_of_those_who_ask_for_invented_names_few_wait_for_an_issuer_that_hangs(
    its: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_cache, "UNKNOWN_KEY_WAIT", 20.0)
    assert its.has("one")
    its.wait(minutes=5)
    gate = Gate(its.issuer)
    with ThreadPoolExecutor(20) as threads:
        asking = [threads.submit(its.failure, f"invented {number}") for number in range(20)]
        assert gate.reached.wait(10)
        deadline = time.monotonic() + 10
        while sum(each.done() for each in asking) < 20 - WAITING_FOR_ONE:
            assert time.monotonic() < deadline, "they wait, and so do the agents of other issuers"
            time.sleep(0.01)
        assert its.has("one")
        gate.open.set()
        answers = [each.result(20) for each in asking]
    assert answers.count("") == WAITING_FOR_ONE, "these were told that there is no such key"


def test_a_key_that_is_held_is_found_at_once_while_the_issuer_hangs(its: Asking) -> None:
    assert its.has("one")
    gate = Gate(its.issuer)
    its.wait(hours=2)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(its.has, "one")
        assert gate.reached.wait(10)
        assert its.has("one"), "another one fetches"
        assert first.result(10), "who fetches goes on after two seconds"
        assert not gate.open.is_set()
    gate.open.set()
    its.lands()


def test_others_go_on_with_a_stale_set_while_one_fetches(its: Asking) -> None:
    assert its.has("one")
    its.issuer.keys["two"] = TWO
    gate = Gate(its.issuer)
    its.wait(hours=2)
    flyer = threading.Thread(target=its.find)
    flyer.start()
    assert gate.reached.wait(5)
    assert its.has("one")
    assert "still being fetched" in its.failure("two")
    assert its.state().condition is Condition.STALE
    gate.open.set()
    flyer.join(10)
    assert its.has("two")
    assert its.state().fetched_at != NOW


def test_a_key_of_every_allowed_kind_comes_through_the_database_unchanged(its: Asking) -> None:
    its.issuer.keys = {
        "rsa": PrivateKey.generate_rsa(),
        **{curve: PrivateKey.generate_ec(curve) for curve in ("P-256", "P-384", "P-521")},
    }
    assert its.has("rsa")
    fetched = its.state().keys
    its.restart()
    assert {kid: (key.thumbprint(), key.algorithms) for kid, key in its.state().keys.items()} == {
        kid: (key.thumbprint(), key.algorithms) for kid, key in fetched.items()
    }
    assert its.fetches == 1
