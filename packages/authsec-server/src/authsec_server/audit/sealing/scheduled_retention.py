"""Scheduled retention of the audit log: export whole months that are older than a setting, then drop them.

An event is dropped only if a file on the disk contains the event as it was sealed. The file is written, synchronised,
read back and compared; then the drop verifies it once more, together with the whole log. If anything fails before the
record of the drop, nothing is dropped, and the file is deleted: a run that fails each time must not fill the disk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from authsec_server.audit.sealing.drop_times import check_time, has_events_to_drop
from authsec_server.audit.sealing.dropped import DropRecord
from authsec_server.audit.sealing.export_file import ExportFile, check_folder, write_export
from authsec_server.audit.sealing.exporting import export
from authsec_server.audit.sealing.lines import NotAnExport
from authsec_server.audit.sealing.retention import Dropper
from authsec_server.audit.sealing.retention_run import RetentionRun, claim_run, end_run
from authsec_server.db import Database
from authsec_server.failures import Failure, OutcomeUnknown
from authsec_server.principal import Act


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledRetention:
    """Keeps the events of the last `days` days, and of the rest of their months. Exports go to `folder`."""

    database: Database
    dropper: Dropper
    folder: Path
    days: int
    now: Callable[[], datetime]

    def claim(self, now: datetime, *, is_forced: bool = False) -> bool:
        """Claim the next run, if one is due or `is_forced`, and no other server is busy with it."""
        return self.database.append(lambda tx: claim_run(tx, now, is_forced=is_forced))

    def run(self, act: Act) -> RetentionRun:
        """Do the run that was claimed, and return what it did.

        Blocks its thread: it reads the whole audit log several times. Raises `Unavailable`.
        """
        try:
            done = self._export_and_drop(act)
        except OutcomeUnknown:
            raise
        except Failure as failure:
            done = RetentionRun(outcome="failed", problem=failure.message)
        except NotAnExport:
            done = RetentionRun(outcome="failed", problem=f"The file in {self.folder} is not an export.")
        except OSError as error:
            told = f"The export cannot be written to {self.folder}: {error.strerror or error}. Nothing was dropped."
            done = RetentionRun(outcome="failed", problem=told)
        self.database.append(lambda tx: end_run(tx, done, self.now()))
        return done

    def _export_and_drop(self, act: Act) -> RetentionRun:
        if begun := self.dropper.finish(act):  # the file of that drop was kept
            return _dropped(begun, "")
        check_folder(self.folder, act.token_bytes)  # an operator hears of a wrong folder long before the first drop
        before = first_month_to_keep(act.now, self.days)
        if not self.database.read(partial(has_events_to_drop, before=before)):
            return RetentionRun(outcome="nothing", month=f"{before:%Y-%m}")
        self.database.read(partial(check_time, before=before, now=act.now))  # before the long work
        name = f"authsec-audit-before-{before:%Y-%m}"
        file = write_export(self.folder, name, export(self.database), act.token_bytes)
        try:
            record = self.dropper.drop(act, before, file, file.sha256, check_export=file.check)
        except (Failure, OSError, NotAnExport) as failure:
            if not isinstance(failure, OutcomeUnknown):
                self._delete_unused(file)
            raise
        return _dropped(record, str(file.path))

    def _delete_unused(self, file: ExportFile) -> None:
        """Delete the file of a drop that failed, unless the drop has begun. Raises `Unavailable` if that is unknown."""
        if not self.dropper.is_begun():
            file.delete()


def first_month_to_keep(now: datetime, days: int) -> datetime:
    """Return the beginning of the month of the day `days` ago. All events before it are older."""
    return (now - timedelta(days=days)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _dropped(record: DropRecord, path: str) -> RetentionRun:
    return RetentionRun(
        outcome="dropped",
        month=record.before,
        events=record.events,
        export=path,
        export_sha256=record.export_sha256,
    )
