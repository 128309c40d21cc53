"""A throwaway authority in the place of a real one: verifiers and clients that believe in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from authsec.client import AuthSecClient
from authsec.config import AuthSecConfig
from authsec.credentials import Proof, ProofRequest
from authsec.testing.tokens import CLIENT_ID, ISSUER, key_set
from authsec.verifier import SeveralAuthorities, TokenVerifier
from authsec.verifier.checks import Expected
from authsec.verifier.revocations.batch import Subject
from authsec.verifier.revocations.policy import NoRevocations

Believer = TokenVerifier | SeveralAuthorities | AuthSecClient
"""Objects whose authority can be replaced."""


class InMemoryRevocations(NoRevocations):
    """The revocations of a test, known to all its verifiers at once."""

    def __init__(self) -> None:
        self.version = 1
        self._below: dict[Subject, int] = {}

    def end(self, subject: Subject) -> None:
        self.version += 1
        self._below[subject] = self.version

    def ended(self, subjects: Iterable[Subject], version: int) -> bool:
        return any(version < self._below.get(subject, 0) for subject in subjects)


class _ExpectedInTests(Expected):
    """The one expectation of the throwaway issuer that is not refused."""

    __slots__ = ()

    def __post_init__(self) -> None:
        """The rest was checked when the verifier was made."""


class _Unproved:
    """No proof: none of this machine's is sent to a test."""

    def proof(self, request: ProofRequest) -> Proof | None:  # noqa: ARG002 - none, whoever asks
        return None

    def looked_at(self, request: ProofRequest) -> str:  # noqa: ARG002 - nowhere, whoever asks
        return "nothing, since a throwaway authority of a test is asked"


def verifier_for(audience: str, revocations: InMemoryRevocations, like: Expected | None = None) -> TokenVerifier:
    """A verifier for tokens of this process. All but issuer, keys and revocations is as with every other."""
    settings: dict[str, Any] = {} if like is None else {"leeway": like.leeway, "algorithms": like.algorithms}
    # Made for a name on loopback, for which nothing has to be read or trusted, and then told whom to expect.
    verifier = TokenVerifier("http://127.0.0.1", audience, keys=key_set(), revocations=revocations, **settings)
    made = verifier.expected
    verifier.expected = _ExpectedInTests(
        issuer=ISSUER, audience=audience, leeway=made.leeway, algorithms=made.algorithms
    )
    return verifier


def client_for(base_url: str, like: AuthSecConfig | None = None) -> AuthSecClient:
    """A client that asks at `base_url`."""
    if like is None:
        config = AuthSecConfig(base_url=base_url, client_id=CLIENT_ID, issuer=ISSUER)
    else:
        config = dataclasses.replace(like, base_url=base_url, issuer=ISSUER)
    return AuthSecClient(config, credential=_Unproved())


@contextmanager
def in_place_of(thing: Believer, other: Believer) -> Iterator[None]:
    """Until the block ends, `thing` is what `other` is, for everybody who holds it: an app, middleware, decorators."""
    kept, thing.__dict__ = thing.__dict__, other.__dict__
    try:
        yield
    finally:
        thing.__dict__ = kept
