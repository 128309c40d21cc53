"""The audit log rows of an invented company, for benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from random import Random
from typing import Any

from authsec_server.audit.model import Decision, Event, EventKind, Named
from authsec_server.audit.store import row_of
from authsec_server.clients.model import Client
from company import PEOPLE, Company

REFUSED_ALONE = ("action_not_allowed", "invalid_target", "client_disabled", "no_delegation", "delegation_ended")
REFUSED_COUNTED = ("attestation_required", "attestation_invalid", "rate_limited", "client_not_found")
ACTS = (
    EventKind.DELEGATION_CREATED,
    EventKind.CLIENT_DISABLED,
    EventKind.CLIENT_ENABLED,
    EventKind.DELEGATION_DISABLED,
)


@dataclass(frozen=True, kw_only=True)
class Past:
    """The audit log of a company. A few agents are very busy, most are quiet."""

    company: Company

    @property
    def chance(self) -> Random:
        return self.company.chance

    def rows(self, number: int) -> Iterator[dict[str, Any]]:
        """So many rows of the audit log, in the order of their times."""
        chance, kinds, span = self.chance, ("issued", "alone", "counted", "act"), self.company.days * 86_400
        names = {role.id: role.name for role in self.company.roles}
        busy = list(accumulate(1 / rank for rank in range(1, len(self.company.clients) + 1)))
        patterns = {client.id: self._issued(client, names) for client in self.company.clients}
        for offset in sorted(chance.random() * span for _ in range(number)):
            at = self.company.start + timedelta(seconds=offset)
            client = chance.choices(self.company.clients, cum_weights=busy)[0]
            kind = chance.choices(kinds, (90, 5, 4, 1))[0]
            pattern = patterns[client.id]
            if kind == "act":
                yield self._act(client, at)
            elif kind == "issued" and pattern:
                yield self._token(chance.choice(pattern), at)
            else:
                yield self._refusal(client, at, counted=kind == "counted")

    def _issued(self, client: Client, names: dict[str, str]) -> list[tuple[dict[str, Any], int]]:
        """What stays the same in the rows of this client's tokens, by delegation, and how long its tokens live."""
        return [
            (
                row_of(
                    Event(
                        at=self.company.now,
                        kind=EventKind.TOKEN_ISSUED,
                        request_id="",
                        client=Named(id=client.id, name=client.name),
                        delegations=(Named(id=each.id, name=f"{names[each.role_id]} → {client.name}"),),
                        roles=(Named(id=each.role_id, name=names[each.role_id]),),
                        decision=Decision.GRANTED,
                        address=f"10.0.{int(client.id[:2], 16)}.{int(client.id[2:4], 16)}",
                        authority_version=20_000,
                        kid="benchmark",
                        detail={
                            "actions": list(each.actions),
                            "audience": list(each.audiences),
                            "attestation": client.proofs[0].kind,
                            "proof_id": client.proofs[0].id,
                        },
                    )
                )
                | {"occurrences": 1, "count_key": None},
                each.max_duration,
            )
            for each in self.company.delegations[client.id]
        ]

    def _token(self, pattern: tuple[dict[str, Any], int], at: datetime) -> dict[str, Any]:
        row, life = pattern
        jti = f"{self.chance.getrandbits(128):032x}"
        return row | {
            "at": at,
            "request_id": f"req_{jti[:24]}",
            "jti": jti,
            "token_sha256": jti * 2,
            "expires_at": at + timedelta(seconds=life),
        }

    def _refusal(self, client: Client, at: datetime, *, counted: bool) -> dict[str, Any]:
        reason = self.chance.choice(REFUSED_COUNTED if counted else REFUSED_ALONE)
        address = f"192.0.2.{self.chance.randint(1, 254)}"
        known = reason != "client_not_found"
        event = Event(
            at=at.replace(second=0, microsecond=0) if counted else at,
            kind=EventKind.TOKEN_REFUSED,
            request_id=f"req_{self.chance.getrandbits(96):024x}",
            client=Named(id=client.id, name=client.name) if known else None,
            decision=Decision.DENIED,
            reason=reason,
            address=address,
            authority_version=None if counted else 20_000,
            detail={}
            if counted
            else {"actions": ["keys:delete"], "attestation": "key_pair", "details": "Not delegated."},
        )
        key = f"{reason}|{client.id}|{self.chance.getrandbits(64):x}" if counted else None
        return row_of(event) | {"occurrences": self.chance.randint(1, 60) if counted else 1, "count_key": key}

    def _act(self, client: Client, at: datetime) -> dict[str, Any]:
        event = Event(
            at=at,
            kind=self.chance.choice(ACTS),
            request_id=f"req_{self.chance.getrandbits(96):024x}",
            principal=self.chance.choice(PEOPLE),
            client=Named(id=client.id, name=client.name),
            address="198.51.100.7",
            authority_version=20_000,
        )
        return row_of(event) | {"occurrences": 1, "count_key": None}
