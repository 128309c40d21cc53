"""The answers that readers must get, computed from the proved events.

This module reads only the private copy of `verify`, and nothing from the audited database.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from authsec_server.audit.filters import EventFilter
from authsec_server.audit.model import Decision, EventKind
from authsec_server.audit.sealing.scratch import LISTED, Scratch

_LOWEST: Final = -(2**63)
_HIGHEST: Final = 2**63 - 1
_INDEXES: Final = {  # the columns of each index; each question of `reader_check` has an index
    "value_at": "value (at)",
    "value_kind": "value (kind)",
    "value_request_id": "value (request_id, kind)",
    "value_jti": "value (jti, kind)",
    "value_client_id": "value (client_id) WHERE client_id IS NOT NULL",
    "value_subject_id": "value (subject_id) WHERE subject_id IS NOT NULL",
    "value_principal": "value (principal_kind, principal_id) WHERE principal_kind IS NOT NULL",
    "value_decision": "value (decision)",
    "value_reason": "value (reason)",
    "value_address": "value (address)",
    "named_delegation": "named (delegation, number)",
}
_EQUAL: Final = ("decision", "reason", "client_id", "subject_id", "address", "request_id", "jti")
_SHOWN: Final = (
    "SELECT v.number, lower(hex(e.leaf)), l.position FROM {} JOIN event e ON e.number = v.number"
    " LEFT JOIN leaf l ON l.number = v.number"
)


@dataclass(frozen=True, slots=True)
class ShownEvent:
    """An event as readers must see it: its number, the hash of its row (hex), and the place of its seal."""

    number: int
    leaf: str
    place: int | None


class ProvedEvents:
    """The events in the copy of an audit log in which `verify` has found nothing wrong."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        for name, columns in _INDEXES.items():
            scratch.create_index(name, columns)

    def count(self) -> int:
        """Return the number of events."""
        return int(self._scratch.query("SELECT count(*) FROM value")[0][0])

    def count_above(self, number: int) -> int:
        """Return the number of events with numbers above this one."""
        return int(self._scratch.query("SELECT count(*) FROM value WHERE number > ?", (number,))[0][0])

    def not_unique(self, numbers: Collection[int]) -> frozenset[int]:
        """Return which of these numbers several events have.

        Such events have no seal, so no answer about them is proved. Pass only the numbers of one answer: raw SQL can
        insert very many such events.
        """
        rows = self._scratch.query(
            "SELECT number FROM event WHERE copies > 1 AND number IN (SELECT value FROM json_each(?))",
            (json.dumps(sorted(numbers)),),
        )
        return frozenset(number for (number,) in rows)

    def listed(
        self, wanted: EventFilter, *, above: int | None, below: int | None, newest_first: bool, limit: int
    ) -> list[ShownEvent]:
        """Return the first matching events with numbers above `above` and below `below`, ordered by their numbers."""
        conditions, parameters = _conditions(wanted)
        source = "named n CROSS JOIN value v ON v.number = n.number" if wanted.delegation_id else "value v"
        number, order = "n.number" if wanted.delegation_id else "v.number", "DESC" if newest_first else "ASC"
        between = [f"{number} > ?", f"{number} < ?"]
        bounds = (_LOWEST if above is None else above, _HIGHEST if below is None else below)
        return self._shown(
            f"{_SHOWN.format(source)} WHERE {' AND '.join([*between, *conditions])} ORDER BY {number} {order} LIMIT ?",
            *bounds,
            *parameters,
            limit,
        )

    def in_order_of_sealing(self, wanted: EventFilter, limit: int) -> list[ShownEvent]:
        """Return the first matching events, in the order of sealing. Events without a seal come last.

        Of a token, the event of its issue comes first.
        """
        conditions, parameters = _conditions(wanted)
        first = f"v.kind <> '{EventKind.TOKEN_ISSUED}', " if wanted.jti else ""
        order = f"{first}l.position IS NULL, l.position, v.number"
        return self._shown(
            f"{_SHOWN.format('value v')} WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT ?", *parameters, limit
        )

    def sealed_after(self, place: int, limit: int) -> list[ShownEvent]:
        """Return the events of the next `limit` leaves after this place. Dropped events are left out."""
        leaves = "SELECT number, position FROM leaf WHERE position > ? ORDER BY position LIMIT ?"
        return self._shown(
            f"SELECT e.number, lower(hex(e.leaf)), l.position FROM ({leaves}) l JOIN event e ON e.number = l.number"  # noqa: S608 - names from here
            " ORDER BY l.position",
            place,
            limit,
        )

    def newest(self, limit: int) -> list[ShownEvent]:
        """Return the events with the highest numbers, lowest first."""
        return self._shown(f"{_SHOWN.format('value v')} ORDER BY v.number DESC LIMIT ?", limit)[::-1]

    def values(self, expression: str, most: int, *, only: str = "true") -> list[tuple[Any, int]]:
        """Return at most `most` values of this column or expression, each with the number of its events.

        The order and the choice are random. NULL and empty texts are left out. `only` is a further SQL condition.
        """
        return self._scratch.query(
            f"SELECT {expression}, count(*) FROM value WHERE coalesce({expression}, '') <> '' AND {only}"  # noqa: S608 - names from here
            " GROUP BY 1 ORDER BY random() LIMIT ?",
            (most,),
        )

    def principals(self, most: int) -> list[tuple[str, str, int]]:
        """Return at most `most` kinds and ids of principals, as `values` does."""
        return self._scratch.query(
            "SELECT principal_kind, principal_id, count(*) FROM value WHERE principal_kind IS NOT NULL GROUP BY 1, 2"
            " ORDER BY random() LIMIT ?",
            (most,),
        )

    def delegations(self, most: int) -> list[tuple[str, int]]:
        """Return at most `most` ids of delegations that events name, as `values` does."""
        rows = self._scratch.query(
            "SELECT delegation, count(*) FROM named JOIN value USING (number) GROUP BY 1 ORDER BY random() LIMIT ?",
            (most,),
        )
        return [(id_.decode(), number) for id_, number in rows]

    def delegations_of(self, number: int) -> list[str]:
        """Return the ids of the delegations that the event names."""
        rows = self._scratch.query("SELECT delegation FROM named WHERE number = ?", (number,))
        return [id_.decode() for (id_,) in rows]

    def sample(self, most: int) -> list[dict[str, Any]]:
        """Return the `number` and the values of at most `most` random events."""
        return self._sample(most, "true")

    def sample_of_tokens(self, most: int) -> list[dict[str, Any]]:
        """Return at most `most` random events of issued tokens with a known key and end, as `sample` does."""
        return self._sample(most, "kid IS NOT NULL AND expires_at IS NOT NULL")

    def _sample(self, most: int, only: str) -> list[dict[str, Any]]:
        chosen = f"SELECT number FROM value WHERE {only} ORDER BY random() LIMIT ?"  # noqa: S608 - names from here
        statement = f"SELECT number, {', '.join(LISTED)} FROM value WHERE number IN ({chosen})"  # noqa: S608 - names from here
        return [dict(zip(("number", *LISTED), row, strict=True)) for row in self._scratch.query(statement, (most,))]

    def sums(self, start: datetime, end: datetime, client_id: str | None = None) -> Counter[tuple[str, str, str]]:
        """Return the number of token requests from `start` to `end`, by hour (`2026-11-25T08`), kind and reason."""
        mine, parameters = ("", ()) if client_id is None else (" AND client_id = ?", (client_id,))
        rows = self._scratch.query(
            "SELECT substr(at, 1, 13), kind, reason, sum(occurrences) FROM value"  # noqa: S608 - names from here
            f" WHERE at >= ? AND at < ? AND decision IS NOT NULL{mine} GROUP BY 1, 2, 3",
            (_text(start), _text(end), *parameters),
        )
        return Counter({(hour, kind, reason): number for hour, kind, reason, number in rows})

    def last_token(self, client_id: str) -> datetime | None:
        """Return when the client got its last token."""
        return self._last_counted("client_id = ?", client_id)

    def last_use(self, delegation_id: str) -> datetime | None:
        """Return when the last token was issued under the delegation."""
        return self._last_counted("number IN (SELECT number FROM named WHERE delegation = ?)", delegation_id.encode())

    def live_tokens(self, client_id: str, now: datetime) -> int:
        """Return how many tokens of the client expire after `now`."""
        statement = "SELECT count(*) FROM value WHERE client_id = ? AND kind = ? AND expires_at > ?"
        return int(self._scratch.query(statement, (client_id, EventKind.TOKEN_ISSUED, _text(now)))[0][0])

    def live_tokens_of_key(self, kid: str, issued_after: datetime, now: datetime) -> int:
        """Return how many tokens of the key were issued after `issued_after` and expire after `now`."""
        statement = "SELECT count(*) FROM value WHERE at > ? AND kid = ? AND kind = ? AND expires_at > ?"
        parameters = (_text(issued_after), kid, EventKind.TOKEN_ISSUED, _text(now))
        return int(self._scratch.query(statement, parameters)[0][0])

    def _last_counted(self, condition: str, of: object) -> datetime | None:
        """Return the time of the last token. As in counts, an event without a client or a decision is left out."""
        is_counted = "kind = ? AND client_id IS NOT NULL AND decision IS NOT NULL"
        statement = f"SELECT max(at) FROM value WHERE {condition} AND {is_counted}"  # noqa: S608 - constants
        found = self._scratch.query(statement, (of, EventKind.TOKEN_ISSUED))[0][0]
        return None if found is None else datetime.fromisoformat(found)

    def _shown(self, statement: str, *parameters: object) -> list[ShownEvent]:
        return [ShownEvent(*row) for row in self._scratch.query(statement, parameters)]


def _conditions(wanted: EventFilter) -> tuple[list[str], list[object]]:
    """Return the filter as SQL conditions on `value`, and their parameters."""
    found: list[tuple[str, object]] = [(f"v.{name} = ?", value) for name in _EQUAL if (value := getattr(wanted, name))]
    if wanted.only_refusals:
        found.append(("v.decision = ?", Decision.DENIED))
    if wanted.principal:
        found += zip(("v.principal_kind = ?", "v.principal_id = ?"), wanted.principal, strict=True)
    if wanted.delegation_id:
        found.append(("n.delegation = ?", wanted.delegation_id.encode()))
    if wanted.since is not None:
        found.append(("v.at >= ?", _text(wanted.since)))
    if wanted.until is not None:
        found.append(("v.at < ?", _text(wanted.until)))
    conditions, parameters = [each for each, _ in found], [each for _, each in found]
    if wanted.kinds:
        conditions.append(f"v.kind IN ({', '.join('?' * len(wanted.kinds))})")
        parameters += sorted(wanted.kinds)
    return conditions, parameters


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")
