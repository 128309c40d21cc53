"""The database: engines, units of work, the authority lock, migrations. Tables belong to the rooms' stores."""

from authsec_server.db.database import Database, Tx, raise_version, rehearsing
from authsec_server.db.engines import open_database
from authsec_server.db.schema import Instant, metadata
from authsec_server.db.sqlite_files import copy_database

__all__ = ["Database", "Instant", "Tx", "copy_database", "metadata", "open_database", "raise_version", "rehearsing"]
