"""Endpoint where machines enrol. Anybody may call the endpoint.

The order is: rate limit, checks, enrolment, audit log, answer.

A request that fails its checks does not use up the code. So a machine with a wrong clock needs no new code.
A caller without the code cannot use it up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Named, Refusal, Tally
from authsec_server.clients.enrolment import Enrolled, EnrolmentRefusal, EnrolmentRefused, Redemption
from authsec_server.clients.enrolment_service import EnrollingMachine, enrol, usable
from authsec_server.clients.records import named
from authsec_server.db import Database
from authsec_server.failures import Conflict, Invalid
from authsec_server.web.request_context import limit_key
from authsec_server.web.throttle import Throttle

FAILURES_A_MINUTE = 20  # from one network


class Enrolling:
    """Enrols machines. `redeem` blocks its thread, and records in the audit log before it returns."""

    def __init__(
        self,
        database: Database,
        *,
        issuer: str,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        token_bytes: Callable[[int], bytes],
    ) -> None:
        self._database = database
        self._issuer = issuer
        self._now = now
        self._token_bytes = token_bytes
        self._failures = Throttle(FAILURES_A_MINUTE, "Too many enrolments have failed.", monotonic=monotonic)

    def redeem(self, asked: Redemption, *, request_id: str, address: str) -> Enrolled:
        """Enrol the machine. Raises `EnrolmentRefused`, `Invalid`, `Conflict`, `TooOften` or `Unavailable`.

        Each attempt counts against the rate limit before the checks. So a thousand parallel attempts cannot pass
        the limit as if they were one. A successful attempt does not count.
        """
        arrival = EnrollingMachine(
            now=self._now(), request_id=request_id, address=address, token_bytes=self._token_bytes
        )
        network = limit_key(address)
        self._failures.charge(network, count_refusal=lambda: self._count(arrival, EnrolmentRefusal.RATE_LIMITED, None))
        client: Named | None = None
        try:
            # Looked up before the lock is taken, which agents need as well: no stranger shall have it.
            client = named(self._database.read(lambda tx: usable(tx, arrival.now, asked)).client)
            enrolled = self._database.change(
                lambda tx: enrol(tx, replace(arrival, now=self._now()), asked, issuer=self._issuer)
            )
        except (EnrolmentRefused, Invalid, Conflict) as failure:
            named_by = failure.client if isinstance(failure, EnrolmentRefused) else None
            self._count(arrival, _why(failure), client or named_by)
            raise
        self._failures.refund(network)
        return enrolled

    def _count(self, arrival: EnrollingMachine, why: EnrolmentRefusal, client: Named | None) -> None:
        refusal = Refusal(
            kind=EventKind.ENROLMENT_REFUSED, address=limit_key(arrival.address), client=client, reason=why
        )
        tallies = {refusal: Tally(count=1, request_id=arrival.request_id)}
        self._database.append(lambda tx: audit.count_refusals(tx, tallies, arrival.now))


def _why(failure: EnrolmentRefused | Invalid | Conflict) -> EnrolmentRefusal:
    if isinstance(failure, EnrolmentRefused):
        return failure.why
    return EnrolmentRefusal.KEY_INVALID if isinstance(failure, Invalid) else EnrolmentRefusal.NOT_ADDED
