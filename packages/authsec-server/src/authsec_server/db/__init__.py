"""The database: engines, transactions, the authority lock and migrations.

The stores of the other packages define the tables of those packages.
"""

from authsec_server.db.database import Database, Tx, raise_version, rehearsing
from authsec_server.db.engines import open_database
from authsec_server.db.schema import Instant, metadata
from authsec_server.db.sqlite_files import copy_database

__all__ = ["Database", "Instant", "Tx", "copy_database", "metadata", "open_database", "raise_version", "rehearsing"]
