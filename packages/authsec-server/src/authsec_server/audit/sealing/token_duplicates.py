"""Check that no two events issued one token, or a token for one request.

A server makes a new `jti` for each token, and a new id for each request. One request issues at most one token.

The attack: raw SQL reserves the number before that of a token. After the commit of the token and before its seal, it
inserts another event of the token under this number, as of another agent or as expired. One pass of the sealer seals
both, the lower number first. So readers that look for the token find the forged event first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing.reader_questions import shown
from authsec_server.audit.sealing.scratch import Scratch

MOST: Final = 5  # findings of each kind that are listed; further ones are only counted
_TWICE: Final = (
    f"SELECT {{0}}, min(number), max(number) FROM value WHERE kind = '{EventKind.TOKEN_ISSUED}'"  # noqa: S608 - constants
    " AND coalesce({0}, '') <> '' GROUP BY {0} HAVING count(*) > 1"
)
_SAYS: Final = {"jti": "issued the token", "request_id": "issued a token for the request"}


def findings(scratch: Scratch) -> Iterator[str]:
    """Report each token and each request with several events that issued a token, in a sentence."""
    for column, says in _SAYS.items():
        scratch.create_index(f"value_{column}", f"value ({column}, kind)")
        twice = _TWICE.format(column)
        for its, first, last in scratch.query(f"{twice} ORDER BY 2 LIMIT {MOST}"):
            yield f"Event {first} and event {last} both {says} {shown(its)}: one of the two was inserted."
        number = scratch.query(f"SELECT count(*) FROM ({twice})")[0][0]  # noqa: S608 - constants
        if number > MOST:
            yield f"{number - MOST:,} more events {says} of another event."
