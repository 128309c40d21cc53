"""Copy a SQLite database while servers use it, and detect a copy without its write-ahead log.

While a server runs, its newest transactions are in the `-wal` file beside the database file. So a server
writes a mark into the database file (`application_id`), and removes the mark when the server ends. A file
with the mark and without a `-wal` file is a plain copy that lacks these transactions. If a server is killed,
the `-wal` file stays.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from authsec_server.db.sqlite_header import SERVED, read_header
from authsec_server.db.sqlite_integrity import quick_check
from authsec_server.db.sqlite_leftovers import refuse_leftovers
from authsec_server.db.sqlite_overwritten import refuse_overwritten
from authsec_server.db.sqlite_reading import limit_cache
from authsec_server.failures import Conflict, Failure, Fault, Invalid, NotFound, StartupRefused, Unavailable
from authsec_server.private_files import synchronise

_CHECK: Final = "Check the database: authsec audit verify."
_PAGES_AT_ONCE: Final = -1  # all pages in one step, so that the copy shows one moment


def lacks_wal(path: Path) -> bool:
    """Whether the file was copied without its `-wal` file while a server ran. Does not open the database."""
    return _mark_of(path) == SERVED and not _wal(path).exists()


def set_mark(connection: sqlite3.Connection) -> None:
    """Write the mark into the database file. Raises `sqlite3.Error`."""
    _write_mark(connection, SERVED)


def remove_mark(path: Path, *, served: bool = False) -> None:
    """Remove the mark if no process has the file open. With `served`, always remove it. Raises `sqlite3.Error`.

    A server that ends passes `served`: it removes the mark even while other programs have the file open. The last
    program to close the file may not know the mark.
    """
    if served or (_mark_of(path) == SERVED and not _wal(path).exists()):
        # Never a new file: somebody may have moved this one away.
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=1.0)) as connection:
            _write_mark(connection, 0)


def copy_database(source: Path, target: Path) -> None:
    """Copy the database at one moment, while servers use it. The copy needs no other file.

    The target is a new file that only its owner can read. The whole copy appears at once or not at all. Raises
    `NotFound` if the target's folder does not exist, `Conflict` if the target exists, and `Invalid` if the target
    cannot be written. Raises `Unavailable` if the copy fails. Raises `StartupRefused` for a `-wal` file of another
    database, and for a file that was overwritten while a server used it.
    """
    refuse_overwritten(source)
    refuse_leftovers(source)
    lacking = lacks_wal(source)
    # After a killed server, this may be the last close of the file.
    copy_open_database(source, target, last=(lambda: None) if lacking else lambda: remove_mark(source))


def copy_open_database(source: Path, target: Path, *, last: Callable[[], None] = lambda: None) -> None:
    """Copy a database that this process has open, as `copy_database` does.

    Only SQLite opens the file: POSIX ends all locks of this process on a file that it closes. `last` runs before the
    copy appears.
    """
    if not target.parent.is_dir():
        raise NotFound(f"There is no folder {target.parent}.", "Create the folder, or name a file in another folder.")
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        if target.exists():
            raise _existing(target)
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            _copy(source, draft)
            last()
            synchronise(draft)
            os.link(draft, target)  # unlike a rename, a link never replaces a file
        finally:
            for each in (draft, Path(f"{draft}-journal"), Path(f"{draft}-wal"), Path(f"{draft}-shm")):
                each.unlink(missing_ok=True)
        synchronise(target.parent)
    except FileExistsError:
        raise _existing(target) from None
    except OSError as error:
        raise _unwritable(target, error) from error
    except sqlite3.Error as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise _full(target) from error
        raise Unavailable(f"The database cannot be copied to {target}: {error}.", _CHECK) from error


def _existing(target: Path) -> Conflict:
    return Conflict(f"{target} already exists and is not overwritten.", "Name a new file.")


def _unwritable(target: Path, error: OSError) -> Failure:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return _full(target)
    # Not `str(error)`, which has the name of the draft.
    return Invalid("file", f"{target} cannot be written: {error.strerror}.", "Name a file that you can write to.")


def _full(target: Path) -> Unavailable:
    return Unavailable(f"{target} cannot be written: the disk is full.", "Name a file on a disk with space.")


def _copy(source: Path, draft: Path) -> None:
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True)) as reading,
        closing(sqlite3.connect(draft)) as writing,
    ):
        limit_cache(reading)
        reading.backup(writing, pages=_PAGES_AT_ONCE)
        writing.execute("PRAGMA journal_mode=DELETE")
        writing.execute("PRAGMA application_id=0")
        if (found := quick_check(writing, 1)[0]) != "ok":
            raise Unavailable(f"The database is damaged: {found}", _CHECK, fault=Fault.DAMAGED)


def _mark_of(path: Path) -> int:
    try:
        header = read_header(path)
    except (OSError, StartupRefused):  # `refuse_leftovers` says so before SQLite opens the file
        return 0
    return header.mark if header.in_wal_mode else 0


def _write_mark(connection: sqlite3.Connection, mark: int) -> None:
    connection.execute(f"PRAGMA application_id={mark}")
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")  # else the mark would be only in the -wal file


def _wal(path: Path) -> Path:
    return Path(f"{path}-wal")
