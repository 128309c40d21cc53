"""Verifiers and clients that use a throwaway authority in place of a real one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
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
    """A credential source without a proof. A throwaway authority must not receive a real proof of this machine.

    An agent with `dpop` needs an assertion. `is_key_pair` adds one, which proves nothing.
    """

    def __init__(self, *, is_key_pair: bool) -> None:
        self._is_key_pair = is_key_pair

    def proof(self, request: ProofRequest) -> Proof | None:  # noqa: ARG002 - the same for every request
        return Proof(authorization="Bearer unproved", source="a test", is_key_pair=True) if self._is_key_pair else None

    def looked_at(self, request: ProofRequest) -> str:  # noqa: ARG002 - no place for any request
        return "nothing, because a test authority is used"


def settings_of(verifier: TokenVerifier) -> dict[str, Any]:
    """Return the settings of a verifier for the verifier that replaces it.

    The algorithms are not among them: all tokens of a test are signed with RS256, and a verifier that allows only
    ES256 would refuse them.
    """
    return {"leeway": verifier.expected.leeway, **dpop_settings_of([verifier])}


def dpop_settings_of(verifiers: Sequence[TokenVerifier]) -> dict[str, Any]:
    """Return the settings about bound tokens of the first verifier that accepts them."""
    for verifier in verifiers:
        if verifier.binding is not None:
            return {"dpop_origin": verifier.binding.origin, "dpop_required": verifier.binding.required}
    return {}


def verifier_for(audience: str, revocations: InMemoryRevocations, **settings: Any) -> TokenVerifier:
    """Make a verifier for the tokens of this process. Only issuer, keys and revocations differ from a normal verifier.

    `settings` are further settings of `TokenVerifier`.
    """
    # A loopback issuer needs no trust store. The next lines replace it by the throwaway issuer.
    verifier = TokenVerifier("http://127.0.0.1", audience, keys=key_set(), revocations=revocations, **settings)
    made = verifier.expected
    verifier.expected = _ExpectedInTests(
        issuer=ISSUER,
        audience=audience,
        leeway=made.leeway,
        algorithms=made.algorithms,
        accepts_bound=made.accepts_bound,
    )
    return verifier


def client_for(base_url: str, like: AuthSecConfig | None = None) -> AuthSecClient:
    """Make a client that requests tokens at `base_url`. The other settings are those of `like`, if it is set."""
    if like is None:
        config = AuthSecConfig(base_url=base_url, client_id=CLIENT_ID, issuer=ISSUER)
    else:
        config = dataclasses.replace(like, base_url=base_url, issuer=ISSUER)
    return AuthSecClient(config, credential=_Unproved(is_key_pair=config.dpop))


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
