"""A feed that was too old comes back while a token is being verified that it ends.

Whoever asks first what has ended, and then whether that is recent, has two answers of two moments: nothing had ended as
far as was known, and what is known now is recent. A revoked token was accepted by both together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

import pytest
from authsec import InvalidToken, RevocationsUnavailable
from authsec.verifier.revocations.batch import Subject

from ..fake_keys import token, verifier_of

MOST_QUESTIONS: Final = 12


class ComesBack:
    """Old, and without the revocation, until it was asked so many questions; then recent, and with it."""

    def __init__(self, after: int) -> None:
        self.left = after

    def _is_back(self) -> bool:
        self.left -= 1
        return self.left < 0

    @property
    def settled(self) -> bool:
        self._is_back()
        return True

    def settle(self) -> None:
        """There is nothing to wait for."""

    def ended(self, subjects: Iterable[Subject], version: int) -> bool:  # noqa: ARG002 - the one token that is shown
        return self._is_back()

    @property
    def current(self) -> bool:
        return self._is_back()

    def introspect(self, token: str, claims: Mapping[str, Any]) -> None:  # noqa: ARG002 - no token counts
        raise RevocationsUnavailable("The revocations are not known.", retry_after=1)

    def health(self) -> None:
        return None

    def close(self) -> None:
        """There is nothing to let go of."""


@pytest.mark.parametrize("waiting", ["verify", "averify"])
def test_whenever_it_comes_back_the_revoked_token_is_refused(waiting: str) -> None:
    bearer, reasons = token(), set()
    for questions in range(MOST_QUESTIONS):
        verifier = verifier_of(revocations=ComesBack(after=questions))
        with pytest.raises((InvalidToken, RevocationsUnavailable)) as refused:
            verifier.verify(bearer) if waiting == "verify" else asyncio.run(verifier.averify(bearer))
        reasons.add(refused.value.reason)
    assert reasons == {"token_revoked", "revocations_unavailable"}
