"""The release of this program, and the oldest release that may run on a schema. Pure, but for the package's version.

Each migration names the oldest release that may run on its schema. The newest name is stored with the schema, in the
row of `authority`, because an older program lacks the file of the migration.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib.metadata import version
from typing import Any, Final

from authsec_server.failures import Fault, Unavailable

_RELEASE: Final = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6}){0,3}")


@cache
def this_release() -> str:
    """Return the release of this program, for example `0.1.0`."""
    return version("authsec-server")


def order_of(release: str) -> tuple[int, ...] | None:
    """Return numbers that sort releases. A development version sorts as its release. None if this is no release."""
    found = _RELEASE.match(release)
    if found is None:
        return None
    numbers = [int(each) for each in found[0].split(".")]
    return tuple(numbers + [0] * (4 - len(numbers)))


@lru_cache(maxsize=8)  # each transaction asks
def may_run(oldest: Any) -> bool:
    """Whether this program may run on a schema whose oldest release is `oldest`, a value as stored.

    Raw SQL can store any text, and in a SQLite file a value of any type.
    """
    needed = order_of(oldest) if isinstance(oldest, str) else None
    its = order_of(this_release())
    return needed is not None and its is not None and needed <= its


def shown(stored: Any, longest: int = 20) -> str:
    """Return a release or a version of the schema for a message, without characters that a terminal obeys."""
    text = str(stored)[:longest]
    return text if text.isascii() and text.isprintable() else ascii(text)


def too_new(oldest: Any) -> Unavailable:
    """Return the failure of a server that runs while another program upgrades the schema."""
    return Unavailable(
        f"The schema of the database needs AuthSec {shown(oldest)} or newer, and this server is {this_release()}.",
        f"Start a server of AuthSec {shown(oldest)} or newer: docs/upgrade.md. If nobody upgraded the database, "
        "somebody changed a row: authsec audit verify",
        retry_after=60,
        fault=Fault.SCHEMA_NEWER,
    )
