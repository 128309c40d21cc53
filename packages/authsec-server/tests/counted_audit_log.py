"""An audit log that is sealed and counted, and what somebody does to the counts by hand; for several test modules."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from authsec_server.audit import partitions, rollup
from authsec_server.audit import service as audit
from authsec_server.audit.model import Decision, Event, EventKind, Named
from authsec_server.audit.sealing.dropped import DropRecord
from authsec_server.audit.sealing.exporting import export
from authsec_server.audit.sealing.log_check import Report
from authsec_server.audit.sealing.retention import Dropper
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.db import Database, Tx
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from authsec_server.principal import LOCAL_OPERATOR, Act
from databases import FilledOnce
from sqlalchemy import text

JUNE = datetime(2026, 6, 10, 12, tzinfo=UTC)
JULY = datetime(2026, 7, 10, 12, tzinfo=UTC)
AUGUST = datetime(2026, 8, 1, tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 25, 12, tzinfo=UTC)


_log: FilledOnce[datetime] = FilledOnce()
AGENT, DELEGATION, ROLE = Named(id="agent", name="Agent"), Named(id="delegation", name="D"), Named(id="role", name="R")


class Counted:
    """An audit log of June, July and November, sealed and counted."""

    def __init__(self, database: Database) -> None:
        self.database = database
        database.append(lambda tx: partitions.prepare_months(tx.connection, JUNE))
        self.sealing_keyring = keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
        self.restart()
        self.now = _log.fill(database, self._fill)
        self.key, self.keys = keys.signing_key(), keys.by_kid()

    def _fill(self) -> datetime:
        self.sealing_keyring.keep(JUNE)
        for at in (JUNE, JULY, NOVEMBER):
            self.now = at
            self.enable(at)
            for number in range(3):
                self.token(at + timedelta(seconds=number))
            self.refusal(at + timedelta(seconds=5))
            self.settle()
        return self.now

    def restart(self) -> None:
        keys = self.sealing_keyring
        self.sealer = Sealer(
            self.database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: self.now
        )
        self.dropper = Dropper(database=self.database, sealer=self.sealer, issuer="https://a", keys=keys.by_kid)

    def enable(self, at: datetime) -> None:
        """Record a change of the delegation. It has no row, so each month needs such an event."""
        self.record(at, EventKind.DELEGATION_ENABLED, client=AGENT, delegations=(DELEGATION,), roles=(ROLE,))

    def token(self, at: datetime, client: str = "agent") -> None:
        self.record(
            at,
            EventKind.TOKEN_ISSUED,
            client=Named(id=client, name="Agent"),
            delegations=(DELEGATION,),
            roles=(ROLE,),
            decision=Decision.GRANTED,
            expires_at=at + timedelta(hours=1),
            detail={"actions": ["customers:read", "customers:delete"], "proof_id": "proof"},
        )

    def refusal(self, at: datetime, client: str = "agent") -> None:
        who = Named(id=client, name="Agent")
        self.record(at, EventKind.TOKEN_REFUSED, client=who, decision=Decision.DENIED, reason="client_disabled")

    def record(self, at: datetime, kind: EventKind, **what: Any) -> None:
        def record(tx: Tx) -> None:
            version = tx.version if kind is EventKind.TOKEN_ISSUED else None
            its = {"request_id": f"req_{secrets.token_hex(12)}", "authority_version": version} | what
            audit.record(tx, Event(at=at, kind=kind, **its))

        self.database.append(record)

    def settle(self) -> None:
        self.now += timedelta(minutes=10)
        while self.sealer.seal():
            pass
        assert rollup.roll_up(self.database, self.now)

    def act(self) -> Act:
        return Act(principal=LOCAL_OPERATOR, now=self.now, request_id="", address="", token_bytes=secrets.token_bytes)

    def drop(self, before: datetime = AUGUST) -> DropRecord:
        lines = list(export(self.database))
        record = self.dropper.drop(self.act(), before, lines, sha256("".join(lines).encode()).hexdigest())
        self.settle()
        return record

    def run(self, *statements: str, **values: Any) -> int:
        """Do it as somebody who writes by hand; how many rows the last statement changed."""

        def work(tx: Tx) -> int:
            return [tx.connection.execute(text(each), values).rowcount for each in statements][-1]

        return self.database.append(work)

    def report(self) -> Report:
        return self.database.read(lambda tx: verify_log(tx, self.keys, now=self.now))

    def findings(self) -> str:
        report = self.report()
        assert report.as_sealed == (not report.findings)
        return "\n".join(report.findings)

    def findings_after(self, *statements: str) -> str:
        """What is found after these; afterwards all is as it was."""
        found: list[str] = []

        def attempt(tx: Tx) -> None:
            for each in statements:
                assert tx.connection.execute(text(each)).rowcount, each
            found.extend(verify_log(tx, self.keys, now=self.now).findings)
            raise Undone

        with pytest.raises(Undone):
            self.database.append(attempt)
        return "\n".join(found)


class Undone(Exception):
    """Rolls a transaction back."""
