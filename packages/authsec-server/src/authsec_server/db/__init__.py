"""The database: engines, units of work, the authority lock, migrations. Tables belong to the rooms' stores."""

from authsec_server.db.database import Database, Tx, rehearsing
from authsec_server.db.engines import open_database
from authsec_server.db.schema import Instant, metadata

__all__ = ["Database", "Instant", "Tx", "metadata", "open_database", "rehearsing"]
