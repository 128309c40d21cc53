"""Somebody writes octets that are no UTF-8 as the version of the schema: `verify` ends with an error of the driver.

The findings are lost: here, an event that was deleted. A server that runs does not read the version again.
"""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from audit_answers import fill
from authsec_server.cli import register
from authsec_server.db import Database
from click.testing import CliRunner


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_version_that_is_no_text_is_a_finding(database: Database, database_url: str, tmp_path: Path) -> None:
    log = fill(database)
    for statement in (
        "UPDATE alembic_version SET version_num = CAST(x'EDA080' AS TEXT)",
        "DELETE FROM events WHERE id = 4",
    ):
        database.append(lambda tx, statement=statement: tx.connection.exec_driver_sql(statement) and None)
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": [key.to_jwk() for key in log.keys.values()]}))
    group = click.Group()
    register(group)
    result = CliRunner().invoke(group, ["audit", "verify", "--key", str(keys), "--database", database_url])
    assert result.exit_code == 3, result.output
    assert "Event 4 was dropped" in result.output
