"""Compare PostgreSQL's system catalogs with the catalogs of a fresh server. Every statement depends on them.

The attack: a superuser replaces a built-in function, operator or cast by a change of its catalog row. A query
cannot detect the change reliably, because the query itself uses operators that may be changed. So this module
reads each catalog whole with `COPY`, which has neither plan nor condition. The binary format shows each oid,
not a name that may be false. Python selects, sorts and hashes the rows. `foreign_code` shows that no other
table has the name of a catalog.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib import resources
from struct import unpack_from
from typing import Any, Final

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from authsec_server.db.catalog_copy import copied_rows, replaced_catalogs
from authsec_server.db.catalog_indexes import catalog_index_findings
from authsec_server.db.foreign_code import foreign_code
from authsec_server.db.postgresql_catalog import careful
from authsec_server.db.postgresql_connection import as_raised_by_queries, driver_of
from authsec_server.db.postgresql_queries import FIRST_NORMAL, FIRST_UNPINNED
from authsec_server.db.same_names import same_names
from authsec_server.db.type_functions import replaced_type_functions

MOST_NAMES: Final = 3  # rows that a finding names
_LISTING: Final = "postgresql-{version}-system.json"
_NO_RIGHT: Final = "42501"


@dataclass(frozen=True, slots=True)
class _Catalog:
    """A system catalog to compare.

    `columns` are the columns that define a row, the key first. `name` is an SQL expression that names the row.
    `is_own` says whether a row is PostgreSQL's own.

    Owners, privileges, costs and argument names are left out: they do not affect results, and an administrator
    may change them.
    """

    columns: str
    name: str
    is_own: Callable[[bytes], bool]


def _pinned(row: bytes) -> bool:
    """Whether the key is an oid that belongs to the same object on every server of the version."""
    key: int = unpack_from(">I", row, 6)[0]
    return key < FIRST_UNPINNED


def _of_own_family(row: bytes) -> bool:
    """Whether the row has a built-in oid, or belongs to a built-in operator family and built-in types.

    `ALTER OPERATOR FAMILY` adds rows with any oid, and a superuser gives a row of another family a low oid.
    """
    family, left, right = (unpack_from(">I", row, place)[0] for place in (14, 22, 30))
    return _pinned(row) or bool(family < FIRST_UNPINNED and left < FIRST_NORMAL and right < FIRST_NORMAL)


_CATALOGS: Final = {
    "pg_aggregate": _Catalog(
        "aggfnoid, aggkind, aggnumdirectargs, aggtransfn, aggfinalfn, aggcombinefn, aggserialfn, aggdeserialfn,"
        " aggmtransfn, aggminvtransfn, aggmfinalfn, aggfinalextra, aggmfinalextra, aggfinalmodify, aggmfinalmodify,"
        " aggsortop, aggtranstype, aggmtranstype, agginitval, aggminitval",
        "aggfnoid::oid::regprocedure",
        _pinned,
    ),
    "pg_am": _Catalog("oid, amname, amhandler, amtype", "amname", _pinned),
    "pg_amop": _Catalog(
        "oid, amopfamily, amoplefttype, amoprighttype, amopstrategy, amoppurpose, amopopr, amopmethod, amopsortfamily",
        "amopopr::regoperator",
        _of_own_family,
    ),
    "pg_amproc": _Catalog(
        "oid, amprocfamily, amproclefttype, amprocrighttype, amprocnum, amproc",
        "amproc::oid::regprocedure",
        _of_own_family,
    ),
    "pg_attribute": _Catalog(
        "attrelid, attname, atttypid, attlen, attnum, atttypmod, attnotnull, atthasdef, atthasmissing, attgenerated,"
        " attisdropped, attcollation",
        "attrelid::regclass || '.' || attname",
        _pinned,
    ),
    "pg_cast": _Catalog(
        "oid, castsource, casttarget, castfunc, castcontext, castmethod",
        "castsource::regtype || ' to ' || casttarget::regtype",
        _pinned,
    ),
    # A rule, a child or row security on a catalog hides its rows from every query, but not from COPY.
    "pg_class": _Catalog(
        "oid, relname, relnamespace, relkind, relpersistence, relam, relhasrules, relhastriggers, relhassubclass,"
        " relrowsecurity, relforcerowsecurity, relispartition",
        "oid::regclass",
        _pinned,
    ),
    "pg_collation": _Catalog(
        "oid, collname, collnamespace, collprovider, collisdeterministic, collencoding, collcollate, collctype",
        "collname",
        _pinned,
    ),
    "pg_conversion": _Catalog(
        "oid, conname, connamespace, conforencoding, contoencoding, conproc, condefault", "conname", _pinned
    ),
    "pg_index": _Catalog(
        "indexrelid, indrelid, indnatts, indnkeyatts, indisunique, indkey, indcollation, indclass, indoption, indexprs,"
        " indpred",
        "indexrelid::regclass",
        _pinned,
    ),
    "pg_language": _Catalog("oid, lanname, lanispl, lanplcallfoid, laninline", "lanname", _pinned),
    "pg_opclass": _Catalog(
        "oid, opcmethod, opcname, opcnamespace, opcfamily, opcintype, opcdefault, opckeytype", "opcname", _pinned
    ),
    "pg_operator": _Catalog(
        "oid, oprname, oprnamespace, oprkind, oprcanmerge, oprcanhash, oprleft, oprright, oprresult, oprcom, oprnegate,"
        " oprcode, oprrest, oprjoin",
        "oid::regoperator",
        _pinned,
    ),
    "pg_opfamily": _Catalog("oid, opfmethod, opfname, opfnamespace", "opfname", _pinned),
    "pg_proc": _Catalog(
        "oid, proname, pronamespace, prolang, provariadic, prosupport, prokind, prosecdef, proisstrict, proretset,"
        " provolatile, proparallel, pronargs, pronargdefaults, prorettype, proargtypes, proallargtypes, proargmodes,"
        " proargdefaults, protrftypes, prosrc, probin, prosqlbody, proconfig",
        "oid::regprocedure",
        _pinned,
    ),
    "pg_range": _Catalog(
        "rngtypid, rngsubtype, rngmultitypid, rngcollation, rngsubopc, rngcanonical, rngsubdiff",
        "rngtypid::regtype",
        _pinned,
    ),
    "pg_rewrite": _Catalog("ev_class, rulename, ev_type, ev_enabled, is_instead", "ev_class::regclass", _pinned),
    "pg_type": _Catalog(
        "oid, typname, typnamespace, typlen, typtype, typcategory, typispreferred, typisdefined, typrelid,"
        " typsubscript, typelem, typarray, typinput, typoutput, typreceive, typsend, typmodin, typmodout, typbasetype,"
        " typtypmod, typcollation, typdefaultbin, typdefault",
        "oid::regtype",
        _pinned,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogComparison:
    """The result of the comparison: `findings` has a sentence for each changed catalog.

    `not_compared` has a sentence if the server's version is unknown. Otherwise `not_compared` is empty.
    """

    findings: tuple[str, ...] = ()
    not_compared: str = ""


def compare_system_catalogs(connection: Connection) -> CatalogComparison:
    """Compare the catalogs with the digests in the package for the same PostgreSQL version.

    PostgreSQL only.
    """
    findings = [*foreign_findings(connection), *catalog_index_findings(connection)]
    version = major_version(connection)
    expected = _reference(version)
    if expected is None:
        not_compared = (
            "PostgreSQL's own catalogs were not compared: AuthSec knows the catalogs of version "
            f"{_known_versions()}, not of version {version}."
        )
        return CatalogComparison(findings=tuple(dict.fromkeys(findings)), not_compared=not_compared)
    with careful(connection):
        findings += _differences(connection, expected)
    return CatalogComparison(findings=tuple(dict.fromkeys(findings)))


def foreign_findings(connection: Connection) -> tuple[str, ...]:
    """Return a sentence for each piece of foreign code that PostgreSQL would run in this session. PostgreSQL only."""
    savepoint = connection.begin_nested()
    driver = driver_of(connection)
    found = tuple(dict.fromkeys(each.finding for each in (*replaced_catalogs(driver), *foreign_code(driver))))
    found = found or (*replaced_type_functions(driver), *same_names(driver))
    savepoint.rollback()
    return found


def system_catalogs_text(connection: Connection) -> str:
    """Return the catalog digests as the text of the package's file. Nobody may have changed the server's catalogs."""
    return json.dumps({name: _digest(connection, name) for name in _CATALOGS}, indent=1) + "\n"


def system_catalogs_file(connection: Connection) -> str:
    """Return the name of the file with the digests for this server's version."""
    return _LISTING.format(version=major_version(connection))


def major_version(connection: Connection) -> int:
    """Return the version that the server reports to a new connection: no catalog row can change this version."""
    return driver_of(connection).info.server_version // 10_000


def _known_versions() -> str:
    files = (resources.files("authsec_server") / "db" / "listings").iterdir()
    before, _, after = _LISTING.partition("{version}")
    return ", ".join(sorted(each.name[len(before) : -len(after)] for each in files if each.name.endswith(after)))


@cache
def _reference(version: int) -> Mapping[str, str] | None:
    file = resources.files("authsec_server") / "db" / "listings" / _LISTING.format(version=version)
    if not file.is_file():
        return None
    document: Mapping[str, str] = json.loads(file.read_text("utf-8"))
    return document


def _differences(connection: Connection, expected: Mapping[str, str]) -> Iterator[str]:
    for name in _CATALOGS:
        savepoint = connection.begin_nested()
        try:
            found = _digest(connection, name)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _NO_RIGHT:
                raise
            savepoint.rollback()
            yield f"PostgreSQL's own catalog {name} cannot be read: this role lacks the permission."
            continue
        savepoint.rollback()
        if found != expected[name]:
            yield f"PostgreSQL's own catalog {name} was changed{_newest(connection, name)}."


def _digest(connection: Connection, name: str) -> str:
    """Return the SHA-256 of the hashes of PostgreSQL's own rows. No rows are kept: each may have megabytes."""
    own = filter(_CATALOGS[name].is_own, _rows(connection, name))
    return sha256(b"".join(sorted(sha256(row).digest() for row in own))).hexdigest()


def _rows(connection: Connection, name: str) -> Iterator[bytes]:
    driver = driver_of(connection)
    try:
        yield from copied_rows(driver, name, _CATALOGS[name].columns)
    except psycopg.Error as error:
        raise as_raised_by_queries(driver, name, error) from error


def _newest(connection: Connection, name: str) -> str:
    """Return the names of the rows that the newest transaction wrote; empty if a query cannot name them."""
    key, catalog = _CATALOGS[name].columns.partition(",")[0], _CATALOGS[name]
    savepoint = connection.begin_nested()
    try:
        rows: list[Any] = list(
            connection.execute(
                text(f"SELECT xmin::text, {key}::oid::bigint, ({catalog.name})::text FROM pg_catalog.{name}")  # noqa: S608 - names of ours
            )
        )
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        rows = []
    savepoint.rollback()
    newest = max((int(row[0]) for row in rows), default=0)
    names = sorted({str(row[2]) for row in rows if int(row[0]) == newest})
    more = ", …" if len(names) > MOST_NAMES else ""
    return f"; its newest rows: {', '.join(names[:MOST_NAMES])}{more}" if names else ""
