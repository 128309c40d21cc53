"""A key server that sends a byte now and then holds the API for ever: every byte restarts the socket's time limit."""

from __future__ import annotations

import itertools

import pytest
from authsec import KeysUnavailable, TokenVerifier
from authsec.clock import Clock

from ..fake_keys import AUDIENCE, JWKS, METADATA, NOW, UNFOLLOWED, serving


def test_dripping_is_given_up() -> None:
    hurried = itertools.count()  # every look at this clock finds it a second later
    clock = Clock(wall=lambda: float(NOW), monotonic=lambda: float(next(hurried)))
    with serving() as authority:
        authority.pages[METADATA].drip = 0.02
        verifier = TokenVerifier(authority.url, AUDIENCE, clock=clock, **UNFOLLOWED)
        with pytest.raises(KeysUnavailable, match="longer than 5 seconds"):
            verifier.verify(authority.token())
        assert JWKS not in authority.asked
