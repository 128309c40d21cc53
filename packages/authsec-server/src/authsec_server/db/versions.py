"""The limits of the authority version. Pure constants."""

from __future__ import annotations

from typing import Final

MAX_VERSION: Final = 2**53 - 1  # every program that reads JSON keeps it exactly
HIGHEST_LIKELY_VERSION: Final = 2**52
"""AuthSec never reaches a higher version, so a row with one was forged. A restore raises the authority's version to a
million above all others."""
