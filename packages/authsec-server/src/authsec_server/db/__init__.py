"""The database: engines, transactions, the authority lock and migrations.

The stores of the other packages define the tables of those packages.

| module | owns |
|---|---|
| `database` | `read`, `append`, `record`, `change`, `rehearse`: which lock and snapshot each of them has |
| `batches` | one thread that runs the work of many callers in one `record` transaction |
| `driver` | inserts by the driver, without SQLAlchemy |
| `interference` | refuses writes that triggers, rules or other foreign code could change |
| `engines` | SQLite or PostgreSQL, by the database URL |
| `schema`, `rows` | column types for times and JSON; a dataclass from a row and a row from a dataclass |
| `matching` | search conditions for names and ids; batches for long `IN` lists |
| `migrate`, `migrations/versions/` | when the schema is upgraded; one module for each revision |
| `sqlite` | pragmas, readers, which errors are an outage |
| `sqlite_writer` | the one thread that writes; how many writes share a commit |
| `sqlite_files`, `sqlite_header`, `sqlite_leftovers` | backup; a `-wal` file that is missing or of another database |
| `sqlite_open_files` | which files SQLite really opened |
| `postgresql` | transactions, the authority lock, the pool, which errors are an outage |
| `locks` | the numbers of PostgreSQL's advisory locks |
| `postgresql_connection` | timeouts of every call; detection of a server that does not answer |
| `postgresql_session` | search path and session settings that nobody else can change |
| `postgresql_pooler` | refuses a pooler, such as PgBouncer, that does not keep the state of a session |
| `postgresql_timeline` | whether a standby became the primary that may lack transactions |
| `postgresql_hints` | LISTEN, so that a process learns of changes by other processes |
| `durable_write` | a small write that tests whether a server can record |
| `served` | issuer and checkpoints file of the server that started last, stored for commands |
| `catalog`, `postgresql_catalog`, `postgresql_queries` | compare the schema with the files in `listings/` |
| `postgresql_columns` | the columns of PostgreSQL tables with their defaults |
| `postgresql_errors` | errors of PostgreSQL that a check tells apart |
| `expression_trees` | what the stored expressions of PostgreSQL call |
| `foreign_code`, `namesakes`, `foreign_classes` | foreign code that PostgreSQL would run in a session of AuthSec |
| `catalog_copy`, `table_copy` | how PostgreSQL's catalogs and AuthSec's tables are read without a query |
| `same_names`, `catalog_indexes` | PostgreSQL's catalogs: rows with one name, index entries that lead to another row |
| `type_functions` | functions of built-in types that are not PostgreSQL's own |
| `system_catalogs` | compare PostgreSQL's own catalogs with those of a fresh server |
| `integrity`, `index_walk`, `sqlite_index_check` | damaged pages and indexes; index entries that lead to another row |
| `text_check` | text that no server can read |
| `table_digests` | which tables have a digest, and how it is computed |
| `table_changes` | the rows that a change of authority writes |
| `recent_changes` | the clients that each recent change concerned |
| `versions` | the highest authority version |
"""

from authsec_server.db.database import Database, Tx, raise_version, rehearsing
from authsec_server.db.engines import open_database
from authsec_server.db.recent_changes import AuthorityState, RecentChanges
from authsec_server.db.schema import Instant, metadata
from authsec_server.db.sqlite_files import copy_database

__all__ = [
    "AuthorityState",
    "Database",
    "Instant",
    "RecentChanges",
    "Tx",
    "copy_database",
    "metadata",
    "open_database",
    "raise_version",
    "rehearsing",
]
