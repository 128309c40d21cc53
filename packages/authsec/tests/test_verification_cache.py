"""A verifier that knows tokens again answers as one that has forgotten them."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from authsec import ConfigError, TokenVerifier, VerificationError
from authsec.errors import RevocationsUnavailable
from authsec.verifier.revocations.batch import Batch, Entry, Position, Subject
from authsec.verifier.revocations.policy import NoRevocations
from authsec.verifier.revocations.state import RevocationState
from hypothesis import given
from hypothesis import strategies as st

from .fake_keys import NOW, FakeAuthority, FakeClock, jwk_of, key_set, reason_of, rsa_key, serving, verifier_of
from .fake_keys import token as signed


@dataclass
class Told(NoRevocations):
    """Revocations as somebody tells them; `current` can be taken away."""

    current: bool = True
    state: RevocationState = field(default_factory=RevocationState)

    def ended(self, subjects: Iterable[Subject], version: int) -> bool:
        return self.state.ended(subjects, version)

    def introspect(self, token: str, claims: Mapping[str, Any]) -> None:  # noqa: ARG002 - nobody is asked
        raise RevocationsUnavailable("What has been revoked is not known.", retry_after=5)

    def end(self, kind: str, subject: str, version: int = 8) -> None:
        through = self.state.reached.sequence + 1
        entry = Entry(sequence=through, subject=(kind, subject), version=version, at=NOW)
        self.state.apply(
            Batch(
                since=through - 1, follows=None, reaches=Position(through, ""), through=through, last=through,
                snapshot=False, signed_at=NOW, entries=(entry,),
            )
        )  # fmt: skip


def outcome(verifier: TokenVerifier, bearer: str, loop: asyncio.Runner | None = None) -> Any:
    try:
        found = verifier.verify(bearer) if loop is None else loop.run(verifier.averify(bearer))
    except VerificationError as error:
        return error.reason, str(error)
    return found, found.claims


TOKENS: list[tuple[str, dict[str, Any]]] = [
    ("current", {}),
    ("current", {"client_id": "c1", "roles": []}),
    ("current", {"delegation_ids": ["d2", "d3"], "authority_version": 9}),
    ("current", {"exp": NOW + 60, "jti": "t1"}),
    ("current", {"nbf": NOW + 120}),
    ("current", {"aud": ["https://other.example.com"]}),
    ("next", {}),
    ("other", {"header": {"kid": "current"}}),
]
ENDINGS = [("client", "c1"), ("delegation", "d3"), ("key", "next"), ("token", "t1")]
KEY_SETS: list[dict[str, str]] = [
    {"current": "current"},
    {"current": "current", "next": "next"},
    {"next": "next"},
    {"current": "other"},  # another key by the name of the one that was
]
STEPS = st.one_of(
    st.tuples(st.just("pass"), st.sampled_from([1, 29, 61, 301, 620])),
    st.tuples(st.just("set back"), st.sampled_from([1, 31, 200])),
    st.tuples(st.just("end"), st.sampled_from(ENDINGS)),
    st.tuples(st.just("publish"), st.sampled_from(KEY_SETS)),
    st.tuples(st.just("current"), st.booleans()),
)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as its:
        yield its


@pytest.fixture(scope="module")
def authority() -> Iterator[FakeAuthority]:
    with serving() as its:
        yield its


@given(story=st.lists(STEPS, min_size=1, max_size=12), remember=st.sampled_from([2, 6, 64]))
def test_what_is_remembered_never_makes_a_difference(
    authority: FakeAuthority, loop: asyncio.Runner, story: list[tuple[str, Any]], remember: int
) -> None:
    """Whatever happens between two requests with a token: time, revocations, other keys."""
    clock, told = FakeClock(), Told()
    authority.publish(key_set())
    # With keep_for as long as fresh_for keys are renewed while the caller waits, so that both do it at one moment.
    settings: dict[str, Any] = {"revocations": told, "fresh_for": 300.0, "keep_for": 300.0}
    remembering = authority.verifier(clock, **settings, remember=remember)
    forgetting = authority.verifier(clock, **settings, remember=0)
    for act, what in [("nothing", None), *story]:
        if act == "pass":
            clock.pass_by(what)
        elif act == "set back":
            clock.wall -= what
        elif act == "end":
            told.end(*what)
        elif act == "publish":
            authority.publish({"keys": [jwk_of(rsa_key(which), kid) for kid, which in what.items()]})
        elif act == "current":
            told.current = what
        for number, (kid, changes) in enumerate(TOKENS):
            bearer = shown(authority, kid, changes)
            assert outcome(remembering, bearer, loop if number % 2 else None) == outcome(forgetting, bearer)


_SHOWN: dict[str, str] = {}


def shown(authority: FakeAuthority, kid: str, changes: dict[str, Any]) -> str:
    """One token for the same claims, as an agent shows it again and again."""
    name = f"{kid} {changes}"
    if name not in _SHOWN:
        _SHOWN[name] = signed(rsa_key(kid), **{"iss": authority.url, "header": {"kid": kid}, **changes})
    return _SHOWN[name]


def test_another_key_by_the_same_name_vouches_for_nothing_that_the_first_one_signed(authority: FakeAuthority) -> None:
    clock = FakeClock()
    authority.publish(key_set())
    verifier, bearer = authority.verifier(clock), authority.token(exp=NOW + 3600)
    assert verifier.verify(bearer)
    authority.publish({"keys": [jwk_of(rsa_key("other"), "current")]})
    clock.pass_by(601)
    assert reason_of(verifier, bearer) == "signature_invalid"


def test_a_token_that_is_shown_again_is_the_same_identity_and_not_another() -> None:
    verifier, bearer = verifier_of(), signed()
    assert verifier.verify(bearer) is verifier.verify(bearer)
    assert verifier.verify(bearer) is not verifier.verify(signed(jti="0192f0c2"))
    forgetting = verifier_of(remember=0)
    assert forgetting.verify(bearer) is not forgetting.verify(bearer)


def test_nothing_of_the_token_is_kept_and_nothing_at_all_of_those_that_were_refused() -> None:
    told = Told()
    verifier = verifier_of(revocations=told)
    good, revoked = signed(jti="good"), signed(jti="revoked", client_id="c1")
    told.end("client", "c1")
    for bearer in (good, good, revoked, signed(jti="expired", exp=NOW - 60), signed(jti="elsewhere", aud="x")):
        outcome(verifier, bearer)
    outcome(verifier, "\ud800" + good)
    kept = texts_within(verifier)
    assert "good" in kept
    assert not kept & {"revoked", "expired", "elsewhere"}
    octets = {text if isinstance(text, bytes) else text.encode("utf-8", "replace") for text in kept}
    for part in good.encode().split(b".")[1:]:
        assert not any(part in text for text in octets)


def texts_within(verifier: TokenVerifier) -> set[str | bytes]:
    """Every text that can be reached from the verifier, without classes and modules."""
    seen, found, coming = set[int](), set[str | bytes](), list[Any](vars(verifier).values())
    while coming:
        thing = coming.pop()
        if isinstance(thing, str | bytes):
            found.add(thing)
        elif id(thing) not in seen and not isinstance(thing, type) and not callable(thing):
            seen.add(id(thing))
            coming += gc.get_referents(thing)
    return found


@pytest.mark.parametrize("most", [0, 1, 2, 7])
def test_no_more_are_kept_than_was_said(most: int) -> None:
    verifier = verifier_of(remember=most)
    names = {f"token {n}" for n in range(20)}
    for name in sorted(names):
        verifier.verify(signed(jti=name))
        assert len(names & texts_within(verifier)) <= most


def test_what_is_shown_often_is_not_pushed_out() -> None:
    verifier, often = verifier_of(remember=4), signed()
    identity = verifier.verify(often)
    for n in range(20):
        verifier.verify(signed(jti=f"once {n}"))
        assert verifier.verify(often) is identity


def test_threads_that_meet_get_what_they_came_for() -> None:
    verifier = verifier_of(remember=4)
    bearers = {f"agent {n}": signed(client_id=f"agent {n}") for n in range(6)}

    def ask(turn: int) -> bool:
        name = f"agent {turn % 6}"
        return verifier.verify(bearers[name]).client_id == name

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(600)))


@pytest.mark.parametrize("wrong", [-1, True, 1.5, None, "many"])
def test_a_number_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="remember=") as caught:
        verifier_of(remember=wrong)
    assert caught.value.reason == "remember_invalid"
