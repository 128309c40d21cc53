"""Check that no two events issued one token, that its revocation came later, and that its request has no other event.

A server makes a new `jti` for each token, and a new id for each request. A request that issues a token issues only one
and records nothing else. A token is revoked after its issue, and servers take numbers of events under the authority
lock.

The attack: raw SQL reserves the number before that of a token. After the commit of the token and before its seal, it
inserts another event of the token under this number, as of another agent or as expired. One pass of the sealer seals
both, the lower number first. So readers that look for the token find the forged event first.

Or raw SQL inserts the event of a token into the request of a refusal or a change, which then seems granted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing.reader_questions import shown
from authsec_server.audit.sealing.scratch import Scratch

MOST: Final = 5  # findings of each kind that are listed; further ones are only counted
_ISSUED: Final = f"kind = '{EventKind.TOKEN_ISSUED}'"
_OF_ISSUE: Final = f"CASE WHEN {_ISSUED} THEN number END"
_OTHER: Final = f"CASE WHEN {_ISSUED} THEN NULL ELSE number END"
_TWICE: Final = (
    f"SELECT {{0}}, min(number), max(number) FROM value WHERE {_ISSUED}"  # noqa: S608 - constants
    " AND coalesce({0}, '') <> '' GROUP BY {0} HAVING count(*) > 1"
)
# One pass over an index: a join would compare each of very many events of one request with each other.
_BESIDE: Final = (
    f"SELECT request_id, min({_OF_ISSUE}), min({_OTHER}) FROM value"  # noqa: S608 - constants
    f" WHERE coalesce(request_id, '') <> '' GROUP BY request_id HAVING min({_ISSUED}) = 0 AND max({_ISSUED}) = 1"
)
_EARLIER: Final = (
    f"SELECT jti, max({_OF_ISSUE}), min({_OTHER}) FROM value"  # noqa: S608 - constants
    f" WHERE coalesce(jti, '') <> '' GROUP BY jti HAVING min({_OTHER}) < max({_OF_ISSUE})"
)
# The columns of an index, the query, and the finding about the result of the query.
_CHECKS: Final = (
    ("jti", _TWICE.format("jti"), "both issued the token {}: one of the two was inserted."),
    ("request_id", _TWICE.format("request_id"), "both issued a token for the request {}: one of the two was inserted."),
    ("request_id", _BESIDE, "are of the request {}, which issued a token: one of the two was inserted."),
    ("jti", _EARLIER, "are the issue and an earlier revocation of the token {}: one of the two was inserted."),
)


def findings(scratch: Scratch) -> Iterator[str]:
    """Report each token and each request with such events, in a sentence."""
    for column, query, says in _CHECKS:
        scratch.create_index(f"value_{column}", f"value ({column}, kind)")
        for its, first, second in scratch.query(f"{query} ORDER BY 2 LIMIT {MOST}"):
            yield f"Event {first} and event {second} {says.format(shown(its))}"
        number = scratch.query(f"SELECT count(*) FROM ({query})")[0][0]  # noqa: S608 - constants
        if number > MOST:
            yield f"{number - MOST:,} more tokens or requests have such events."
