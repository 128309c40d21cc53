"""Verifiers and clients that use a throwaway authority in place of a real one."""

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

TokenUser = TokenVerifier | SeveralAuthorities | AuthSecClient
"""Objects whose authority can be replaced."""


class InMemoryRevocations(NoRevocations):
    """The revocations of one test. All verifiers of the test see a new revocation at once."""

    def __init__(self) -> None:
        self.version = 1
        self._below: dict[Subject, int] = {}

    def end(self, subject: Subject) -> None:
        self.version += 1
        self._below[subject] = self.version

    def ended(self, subjects: Iterable[Subject], version: int) -> bool:
        return any(version < self._below.get(subject, 0) for subject in subjects)


class _ExpectedInTests(Expected):
    """The expected values of a verifier in tests. No other `Expected` accepts the throwaway issuer."""

    __slots__ = ()

    def __post_init__(self) -> None:
        """Skip the checks. The verifier has already checked all values except the issuer."""


class _Unproved:
    """A credential source without a proof. A throwaway authority must not receive a real proof of this machine."""

    def proof(self, request: ProofRequest) -> Proof | None:  # noqa: ARG002 - there is no proof for any request
        return None

    def looked_at(self, request: ProofRequest) -> str:  # noqa: ARG002 - no place for any request
        return "nothing, because a test authority is used"


def verifier_for(audience: str, revocations: InMemoryRevocations, like: Expected | None = None) -> TokenVerifier:
    """Make a verifier for the tokens of this process. Only issuer, keys and revocations differ from a normal verifier.

    The leeway is copied from `like`, the expected values of another verifier. The algorithms are not copied: all
    tokens of a test are signed with RS256, and a verifier that allows only ES256 would refuse them.
    """
    settings: dict[str, Any] = {} if like is None else {"leeway": like.leeway}
    # A loopback issuer needs no trust store. The next lines replace it by the throwaway issuer.
    verifier = TokenVerifier("http://127.0.0.1", audience, keys=key_set(), revocations=revocations, **settings)
    made = verifier.expected
    verifier.expected = _ExpectedInTests(
        issuer=ISSUER, audience=audience, leeway=made.leeway, algorithms=made.algorithms
    )
    return verifier


def client_for(base_url: str, like: AuthSecConfig | None = None) -> AuthSecClient:
    """Make a client that requests tokens at `base_url`. The other settings are those of `like`, if it is set."""
    if like is None:
        config = AuthSecConfig(base_url=base_url, client_id=CLIENT_ID, issuer=ISSUER)
    else:
        config = dataclasses.replace(like, base_url=base_url, issuer=ISSUER)
    return AuthSecClient(config, credential=_Unproved())


@contextmanager
def in_place_of(thing: TokenUser, other: TokenUser) -> Iterator[None]:
    """Make `thing` behave like `other` until the `with` block ends.

    The change affects every object that refers to `thing`: an app, a middleware, a decorator.
    """
    kept, thing.__dict__ = thing.__dict__, other.__dict__
    try:
        yield
    finally:
        thing.__dict__ = kept
