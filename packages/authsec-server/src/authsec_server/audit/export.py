"""Export of the audit log as JSON or CSV: one event on each line, oldest first.

The export reads in many short transactions, so that a slow reader blocks nothing in the database.
The export leaves out events that were recorded after it began.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from authsec_server.audit import pages
from authsec_server.audit.filters import EVERYTHING, AuditLogPage, EventFilter
from authsec_server.audit.model import Recorded
from authsec_server.audit.views import as_json
from authsec_server.db import Database, Tx
from authsec_server.principal import Principal, Role

BATCH = 1000
# The beginning of a formula at the beginning of a cell. Some spreadsheets begin a cell at a semicolon inside quotes.
_FORMULA = re.compile(r"(^|[,;|\t\r\n\"])(\s*)([=+\-@\uff1d\uff0b\uff0d\uff20])")


def json_lines(database: Database, principal: Principal, wanted: EventFilter = EVERYTHING) -> Iterator[str]:
    """Export every matching event as a line of JSON, in the form of the admin API. The iterator blocks its thread."""
    principal.require(Role.VIEWER)
    return as_json_lines(map(as_json, _all(database, wanted)))


def csv_lines(database: Database, principal: Principal, wanted: EventFilter = EVERYTHING) -> Iterator[str]:
    """Export every matching event as a line of CSV, after a header line (RFC 4180). The iterator blocks its thread.

    Several ids or names in one cell are separated by line breaks.
    A text that a spreadsheet might run as a formula gets an apostrophe in front.
    `json_lines` adds no apostrophe.
    """
    principal.require(Role.VIEWER)
    return as_csv_lines(map(as_json, _all(database, wanted)))


def as_json_lines(shown: Iterable[Mapping[str, object]]) -> Iterator[str]:
    """Format events of the admin API as JSON Lines."""
    return (json.dumps(each, ensure_ascii=False) + "\n" for each in shown)


def as_csv_lines(shown: Iterable[Mapping[str, object]]) -> Iterator[str]:
    """Format events of the admin API as CSV."""
    yield _line(_HEADS)
    for each in shown:
        yield _line([_harmless(cell) for cell in _cells(dict(each))])


def _all(database: Database, wanted: EventFilter) -> Iterator[Recorded]:
    top = database.read(lambda tx: pages.highest(tx.connection))
    after: int | None = 0
    while after is not None and after < top:
        found = database.read(partial(_batch, wanted=wanted, after=after))
        yield from (each for each in found.items if each.id <= top)
        after = found.next


def _batch(tx: Tx, wanted: EventFilter, after: int) -> AuditLogPage:
    return pages.following(tx.connection, wanted, after=after, limit=BATCH)


_HEADS = (
    *("id", "at", "kind", "count", "counted", "request_id"),
    *("principal_kind", "principal_id", "principal_name", "principal_role", "client_id", "client_name"),
    *("delegation_ids", "delegation_names", "role_ids", "role_names", "subject_id", "subject_name"),
    *("decision", "reason", "address", "authority_version", "jti", "kid", "token_sha256", "expires_at", "detail"),
    *("tables", "place", "leaf", "as_sealed"),
)


def _cells(shown: Mapping[str, Any]) -> Iterator[str]:
    """Return the event's values in the order of the header."""
    flat = {**shown} | {"detail": json.dumps(shown["detail"], ensure_ascii=False), "tables": "\n".join(shown["tables"])}
    for one in ("principal", "client", "subject"):
        flat |= {f"{one}_{part}": value for part, value in (shown[one] or {}).items()}
    for many, one in (("delegations", "delegation"), ("roles", "role")):
        flat |= {f"{one}_{part}s": "\n".join(each[part] for each in shown[many]) for part in ("id", "name")}
    for head in _HEADS:
        value = flat.get(head)
        yield "" if value is None else value if isinstance(value, str) else json.dumps(value)


def _harmless(cell: str) -> str:
    """Put an apostrophe before each formula in the cell, so that every spreadsheet treats the formula as text.

    The attack: a name is a formula, which runs on the machine of a person who opens the file.
    """
    return _FORMULA.sub(r"\1\2'\3", cell)


def _line(cells: Iterator[str] | tuple[str, ...] | list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, quoting=csv.QUOTE_ALL).writerow(cells)
    return line.getvalue()
