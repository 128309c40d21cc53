"""Whatever administrators and time do to the signing keys, in any order: what verifiers and signers rely on holds."""

from __future__ import annotations

import secrets
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from authsec_server.db import Tx, open_database
from authsec_server.failures import Conflict
from authsec_server.keys import service, store
from authsec_server.keys.model import FINAL_STATES, PUBLISH_AHEAD, Algorithm, KeyState, NewKey, SigningKey
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.revocations import service as revocations
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from examples import examples

MAX_AGE = timedelta(days=30)
MAX_TOKEN_LIFETIME = timedelta(days=1)
ORDER = list(KeyState)
WANTED = frozenset(Algorithm)


def made(algorithm: Algorithm) -> NewKey:
    kinds = {Algorithm.RS256: "RSA", Algorithm.ES256: "EC", Algorithm.EDDSA: "OKP"}
    return NewKey(kid=secrets.token_urlsafe(32), public_jwk={"kty": kinds[algorithm]}, sealed=b"sealed")


class Rotation(RuleBasedStateMachine):
    """One authority's keys; a token is signed, with the longest life there is, whenever the state is looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.database = open_database(f"sqlite:///{self.folder.name}/authsec.sqlite3")
        self.database.migrate()
        self.act = Act(
            principal=LOCAL_OPERATOR,
            now=datetime(2026, 11, 25, tzinfo=UTC),
            request_id="req_00000000000000000000test",
            address="",
            token_bytes=secrets.token_bytes,
        )
        self.last_token_dead: dict[str, datetime] = {}
        self.before: dict[str, SigningKey] = {}
        self.forced = False
        self.revoked: set[str] = set()

    def teardown(self) -> None:
        self.database.close()
        self.folder.cleanup()

    @initialize()
    def first_start(self) -> None:
        self.database.change(lambda tx: service.ensure(tx, self.act, made, WANTED))
        self.before = {key.kid: key for key in self.keys()}

    @rule(amount=st.sampled_from([timedelta(seconds=1), timedelta(minutes=4), timedelta(hours=12), timedelta(days=31)]))
    def time_passes(self, amount: timedelta) -> None:
        self.act = replace(self.act, now=self.act.now + amount)

    @rule(force=st.booleans(), algorithm=st.sampled_from(Algorithm))
    def somebody_rotates(self, force: bool, algorithm: Algorithm) -> None:
        self.forced = force
        with self.others_alone(algorithm):
            try:
                self.database.change(
                    lambda tx: service.rotate(
                        tx,
                        self.act,
                        made,
                        max_token_lifetime=MAX_TOKEN_LIFETIME,
                        algorithm=algorithm,
                        force=force,
                    )
                )
            except Conflict:
                assert not force, "who forces it does not wait"

    @rule(which=st.integers(0, 8))
    def somebody_may_have_one(self, which: int) -> None:
        published = self.database.read(service.published)
        key = published[which % len(published)]
        kid = key.kid
        self.forced = True  # whoever signs next may have been seen by nobody
        self.last_token_dead.pop(kid, None)
        self.revoked.add(kid)
        with self.others_alone(key.algorithm):
            self.database.change(lambda tx: service.revoke(tx, self.act, kid, made, wanted=WANTED))

    @rule()
    def the_minute_comes_round(self) -> None:
        def keep(tx: Tx) -> None:
            service.ensure(tx, self.act, made, WANTED)
            service.rotate_if_due(tx, self.act, made, max_age=MAX_AGE, max_token_lifetime=MAX_TOKEN_LIFETIME)
            service.expire(tx, self.act)

        self.database.change(keep)

    @invariant()
    def one_key_signs_and_one_is_ready(self) -> None:
        states = Counter((key.algorithm, key.state) for key in self.keys())
        for algorithm in Algorithm:
            assert [states[algorithm, state] for state in (KeyState.ACTIVE, KeyState.PREPARED)] == [1, 1]

    @invariant()
    def a_key_that_signed_is_published_until_its_tokens_are_dead(self) -> None:
        signing = self.database.record(service.active_kids)
        self.last_token_dead |= dict.fromkeys(signing.values(), self.act.now + MAX_TOKEN_LIFETIME)
        published = {key.kid for key in self.database.read(service.published)}
        assert {kid for kid, dead in self.last_token_dead.items() if self.act.now <= dead} <= published

    @invariant()
    def keys_move_forward_and_sign_only_once_they_were_seen(self) -> None:
        now = {key.kid: key for key in self.keys()}
        for kid, key in now.items():
            was = self.before.get(kid)
            assert was is None or ORDER.index(was.state) <= ORDER.index(key.state)
            if was is not None and was.state is KeyState.PREPARED and key.state is KeyState.ACTIVE and not self.forced:
                assert self.act.now - key.created_at >= PUBLISH_AHEAD
        self.before, self.forced = now, False

    @invariant()
    def exactly_the_keys_that_are_not_over_have_a_private_part(self) -> None:
        sealed = self.database.read(lambda tx: store.all_sealed(tx.connection))
        assert sealed.keys() == {key.kid for key in self.keys() if key.state not in FINAL_STATES}

    @invariant()
    def what_was_revoked_stays_so_and_is_in_the_feed(self) -> None:
        assert {key.kid for key in self.keys() if key.state is KeyState.REVOKED} == self.revoked
        feed = self.database.read(lambda tx: revocations.since(tx, 0))
        assert {each.subject_id for each in feed} == self.revoked

    @contextmanager
    def others_alone(self, algorithm: Algorithm) -> Iterator[None]:
        """What happens to the keys of one algorithm changes no key of another."""
        before = [key for key in self.keys() if key.algorithm is not algorithm]
        yield
        assert [key for key in self.keys() if key.algorithm is not algorithm] == before

    def keys(self) -> list[SigningKey]:
        return self.database.read(lambda tx: store.in_states(tx.connection, tuple(KeyState)))


Rotation.TestCase.settings = settings(
    max_examples=examples(20), stateful_step_count=20, suppress_health_check=[HealthCheck.too_slow]
)
TestRotation = Rotation.TestCase
