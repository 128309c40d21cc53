"""Record that the database was restored from a backup, so that the authority may issue tokens again.

The database lacks everything that happened after the backup: revocations, authority versions and signing
keys. Therefore the record raises the authority version far above every earlier version. The record also
revokes every key that may have signed, and begins a new epoch of the revocation feed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from authsec.jose import PrivateKey

from authsec_server.accounts import links, sessions
from authsec_server.app.runtime import Runtime
from authsec_server.app.served_address import as_served, checkpoints_as_served
from authsec_server.app.services import AuthorityKeys, authority_keys_of
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing import service as sealing
from authsec_server.audit.sealing import store as sealing_store
from authsec_server.audit.sealing.checkpoints import Checkpoint, Keys
from authsec_server.audit.sealing.outside import (
    COPIED,
    OutsideCheckpoints,
    find_problem,
    has_checkpoints,
    newest_size,
    outside_checkpoints,
    unverified,
)
from authsec_server.audit.sealing.restore_loss import Loss, find_loss
from authsec_server.audit.sealing.restores import Restore, restores_in, sign_restore
from authsec_server.clients import enrolment_service
from authsec_server.clients import service as clients
from authsec_server.db import Database, Tx, open_database, raise_version
from authsec_server.delegations.dry_run_impact import ImpactProvider
from authsec_server.delegations.model import Terms
from authsec_server.failures import Conflict
from authsec_server.keys import service as keys
from authsec_server.keys.key_ring import FreshKeys
from authsec_server.keys.model import Algorithm
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind
from authsec_server.settings import Settings
from authsec_server.web.dry_run import Foreseen
from authsec_server.web.instants import rfc3339

VERSIONS: int = 1_000_000
"""A restore raises the version by this number above all known versions. No authority makes so many changes between a
backup and the loss of its database."""
BECAUSE = "the database was restored from a backup"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """The result of a recorded restore.

    `revoked` are the revoked signing keys that are in the backup. `revoked_unknown` are the revoked signing
    keys that the backup lacks.
    """

    version_before: int
    authority_version: int
    revoked: Sequence[str]
    revoked_unknown: Sequence[str]
    disabled: Sequence[str]
    lost: Loss


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreEvidence:
    """The database compared with its outside checkpoints, before a restore is recorded.

    The last checkpoint in the database covers `sealed` events and was signed at `signed_at`.
    `newest` is the newest outside checkpoint that no recorded restore declares lost.
    `problem` is a sentence about why the database is not as new as the outside checkpoints; None if it is.
    """

    sealed: int
    signed_at: datetime | None
    authority_version: int
    newest: Checkpoint | None
    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    """A restored database. Its schema is migrated, and nothing else has been written to it yet.

    `others` are the issuers of other authorities, which the outside checkpoints of this restore may name.
    """

    database: Database
    authority_keys: AuthorityKeys
    settings: Settings
    runtime: Runtime
    others: Collection[str] = ()

    def checkpoints_file(self) -> Path | None:
        """Return the file to which the server of this data appends checkpoints; None if it is unknown or missing."""
        where = checkpoints_as_served(self.settings, self.database)
        return Path(where) if where and "://" not in where and Path(where).exists() else None

    def lost(self, lines: Sequence[str]) -> Loss:
        """Return what outside checkpoints show about the time between the backup and the loss.

        `lines` are the lines of files with outside checkpoints.
        """
        return find_loss(lines, self.authority_keys.sealing_keyring.by_kid(), self.others)

    def evidence(self, lines: Sequence[str]) -> RestoreEvidence:
        """Compare the database with the newest of its outside checkpoints.

        `lines` are the lines of files with outside checkpoints.
        """
        known = self.authority_keys.sealing_keyring.by_kid()

        def load(tx: Tx) -> RestoreEvidence:
            restores = restores_in(tx.connection, known)
            lost = self.lost(_since(lines, restores[-1], known) if restores else lines)
            outside = OutsideCheckpoints(
                checkpoints=[lost.newest] if lost.newest else [], unknown=sorted(lost.unknown_keys)
            )
            problem = find_problem(tx, outside, known) or (COPIED if self.database.lacks_wal else None)
            return RestoreEvidence(
                sealed=newest_size(tx),
                signed_at=sealing_store.newest_at(tx.connection),
                authority_version=tx.version,
                newest=lost.newest,
                problem=problem,
            )

        return self.database.read(load)

    def last_restore(self, lines: Sequence[str]) -> tuple[Restore | None, bool]:
        """Return the last recorded restore, and whether the database is as new as every later outside checkpoint.

        `lines` are the lines of files with outside checkpoints. The second value is false if one of these
        checkpoints is newer than the database. If none of them was signed after the record, the authority version
        decides. The second value is then true only if the version has not changed since the record.
        """
        known = self.authority_keys.sealing_keyring.by_kid()
        found = self.database.read(lambda tx: restores_in(tx.connection, known))
        if not found:
            return None, False
        last = found[-1]
        outside = outside_checkpoints(_since(lines, last, known), known, None, self.others)

        def is_up_to_date(tx: Tx) -> bool:
            if self.database.lacks_wal or find_problem(tx, outside, known):
                return False
            return tx.version == last.authority_version or has_checkpoints(tx, outside, known)

        return last, self.database.read(is_up_to_date)

    def rehearse(
        self, lost: Loss, *, also: Collection[str] = (), disable: Sequence[str] = ()
    ) -> tuple[Restored, Foreseen]:
        """Return the result and the impact that `record` would have. Changes nothing.

        Raises the same exceptions as `record`.
        """
        act, ring = self._act(), self.authority_keys.key_ring
        fresh = ring.fresh(Algorithm.RS256, 2)
        impact = ImpactProvider(
            terms=Terms(
                max_token_lifetime=self.settings.max_token_lifetime, default_audience=self.settings.default_audience
            )
        )

        def work(tx: Tx) -> tuple[Restored, Foreseen]:
            audit.prepare_months(tx, act.now)
            tx, restored = _restore(tx, act, lost, fresh, ring.wanted(tx), also, disable)
            return restored, impact.foreseen(tx, act)

        return self.database.rehearse(work)

    def record(self, lost: Loss, *, also: Collection[str] = (), disable: Sequence[str] = ()) -> Restored:
        """Record the restore in one transaction. Also revoke the keys `also` and disable the agents `disable`.

        Raises `Unavailable`, `NotFound` for an unknown agent, or `Conflict`.
        """
        act = self._act()
        self.database.append(lambda tx: audit.prepare_months(tx, act.now))
        self.authority_keys.sealing_keyring.keep(act.now)
        known = self.authority_keys.sealing_keyring.by_kid()
        sealing_key = self.authority_keys.sealing_keyring.signing_key(
            self.database.read(lambda tx: sealing.sealing_kid(tx, known))
        )
        ring = self.authority_keys.key_ring
        fresh = ring.fresh(Algorithm.RS256, 2)

        def work(tx: Tx) -> Restored:
            tx, restored = _restore(tx, act, lost, fresh, ring.wanted(tx), also, disable)
            self._record(tx, act, restored, sealing_key)
            return restored

        restored = self.database.change(work)
        self.database.lacks_wal = False  # the missing transactions are now accepted as lost
        return restored

    def _act(self) -> Act:
        return Act(
            principal=LOCAL_OPERATOR,
            now=self.runtime.now(),
            request_id="",
            address="",
            token_bytes=self.runtime.token_bytes,
        )

    def _record(self, tx: Tx, act: Act, restored: Restored, key: PrivateKey) -> None:
        newest = restored.lost.newest
        ended = revocations.of_this_change(tx)
        restore = Restore(
            at=act.now,
            authority_version=restored.authority_version,
            size=sealing.sealed(tx),
            checkpoints_until=max(act.now, restored.lost.until or act.now),
            unknown_keys=tuple(sorted(restored.lost.unknown_keys)),
            revoked_keys=tuple(restored.revoked_unknown),
            disabled_clients=tuple(each.subject_id for each in ended if each.subject_kind is SubjectKind.CLIENT),
            version_before=restored.version_before,
        )
        detail = {
            "version_before": restored.version_before,
            "revoked_keys": [*restored.revoked, *restored.revoked_unknown],
            "newest_checkpoint": newest.signed if newest else None,
            "newest_checkpoint_at": rfc3339(newest.at) if newest else None,
            "record": sign_restore(restore, issuer=self.settings.issuer, key=key),
        }
        audit.record_act(tx, act, EventKind.AUTHORITY_RESTORED, detail=detail)


def _restore(
    tx: Tx,
    act: Act,
    lost: Loss,
    fresh: FreshKeys,
    wanted: Collection[Algorithm],
    also: Collection[str],
    disable: Sequence[str],
) -> tuple[Tx, Restored]:
    """Revoke keys, and end sessions, links and enrolments. Raise the authority version first.

    Return a transaction with the new authority version, and the result.
    """
    if not keys.every(tx, act):  # a schema without any key, so no backup
        raise _nothing_restored()
    before = tx.version - 1  # the transaction of a change has already added one
    highest = max(tx.version, audit.highest_version(tx), revocations.highest_version(tx), lost.authority_version)
    tx = raise_version(tx, highest + VERSIONS)
    suspects = {*also, *lost.signing_keys}
    revoked, unknown = keys.revoke_all(tx, act, fresh, wanted=wanted, also=suspects, because=BECAUSE)
    sessions.end_all_sessions(tx, act.now)
    links.void_all(tx, act.now)
    enrolment_service.forget_all(tx)
    named = dict.fromkeys(clients.get(tx, act, each).id for each in disable)  # a second event would look like a copy
    disabled = [clients.disable(tx, act, each).slug for each in named]
    revocations.begin_epoch(tx, tx.version)  # last: the entries of the revocations above must get new numbers, too
    return tx, Restored(
        version_before=before,
        authority_version=tx.version,
        revoked=revoked,
        revoked_unknown=unknown,
        disabled=disabled,
        lost=lost,
    )


def _since(lines: Sequence[str], last: Restore, known: Keys) -> list[str]:
    """Return the lines with checkpoints that are newer than the restore record or have an unknown signing key.

    This filter reads claims without verifying them. It saves time: the verification of all checkpoints of some
    days takes a minute.
    """
    until = last.checkpoints_until.timestamp()

    def may_count(line: str) -> bool:
        kid, claims = unverified(line.strip())
        at = claims.get("iat")
        return kid not in known or not isinstance(at, int) or at > until

    return [line for line in lines if may_count(line)]


def _nothing_restored() -> Conflict:
    return Conflict(
        "The database is empty: no backup was restored into it. Nothing was recorded.",
        "Check --data or --database. Restore the backup before this command: docs/backup.md.",
    )


@contextmanager
def open_restoration(
    settings: Settings, runtime: Runtime | None = None, *, others: Collection[str] = ()
) -> Iterator[Restoration]:
    """Open the database, and write nothing yet.

    Raises `StartupRefused`. Raises `Conflict` for an empty database. An empty database stays unchanged, so that
    the operator can still load a dump into it.
    """
    database = open_database(settings.database_url)
    try:
        if database.is_empty():
            raise _nothing_restored()
        database.prepare(serves=False)
        settings = as_served(settings, database)
        runtime = runtime or Runtime()
        authority_keys = authority_keys_of(settings, database, runtime)
        yield Restoration(
            database=database, authority_keys=authority_keys, settings=settings, runtime=runtime, others=others
        )
    finally:
        database.close()
