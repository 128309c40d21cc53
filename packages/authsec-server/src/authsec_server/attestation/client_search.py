"""Find the client of a workload by the workload's token alone, without a `client_id`.

The token is a grant (RFC 7523 section 2.1), or a JWT-SVID as client assertion.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Lock
from typing import Any, Final

from authsec.jose import UnverifiedJws

from authsec_server.attestation.explain.model import visible
from authsec_server.attestation.failure_counts import count_failure, unchecked_counted
from authsec_server.attestation.kinds import SPIFFE_ID
from authsec_server.attestation.matching import match, proofs_of
from authsec_server.attestation.model import Evidence, Proved, RefusalReason, Refused, Unassigned, Verified, invalid
from authsec_server.attestation.service import is_of_its_kind, own_as_grant, parse_token
from authsec_server.attestation.workloads import Workloads
from authsec_server.audit.model import Named
from authsec_server.clients import workload_proofs
from authsec_server.clients.model import Client, Selector, client_id_in
from authsec_server.db import AuthorityState, Database, Tx
from authsec_server.issuers import service as issuers
from authsec_server.issuers.model import TrustedIssuer

MOST_KEPT: Final = 200  # the largest number of cached searches; each has up to 20 clients
MOST_SECONDS: Final = 600.0  # candidates are cached this long, as the facts of a token are
_NAMED: Final = 5  # clients and selectors in a sentence
_Key = tuple[str, frozenset[Selector]]  # trusted issuer, and what the workload's token proves


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSearch:
    """Searches clients by the selectors that a workload's token proves. A call blocks its thread.

    Candidates are cached while no authority changes, for ten minutes at most. Two attacks: a workload that nobody
    registered repeats its request, and each search reads all proofs of the trusted issuer. Raw SQL takes a proof away
    for a moment, and the workload stays unknown. `monotonic` are seconds of the monotonic clock.
    """

    database: Database
    workloads: Workloads
    trust_domain: str
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    _recent: OrderedDict[_Key, tuple[AuthorityState, float, list[Client]]] = field(
        default_factory=OrderedDict, init=False
    )
    _lock: Lock = field(default_factory=Lock, init=False)

    def find(self, evidence: Evidence) -> str | Refused:
        """Return the id of the one client that the workload is.

        Disabled clients do not count if an enabled client matches: a workload may have moved from one to the other.
        This method only searches. The caller must check the evidence for the found client as for any other. Raises
        `Unavailable`.
        """
        token = parse_token(evidence)
        if token is None:
            return invalid("The assertion is not a signed JWT.")
        if refused := own_as_grant(token):
            return refused
        named = _issuers_in(token.claims)
        known = self.database.read(lambda tx: issuers.of_issuers(tx, named))
        trusted = [each for each in known if each.enabled and is_of_its_kind(evidence, each)]
        with unchecked_counted(trusted):
            found = self._client_of(evidence, token, trusted)
        if isinstance(found, Refused):
            count_failure(found, trusted)
        return found

    def _client_of(self, evidence: Evidence, token: UnverifiedJws, trusted: Sequence[TrustedIssuer]) -> str | Refused:
        now = self.now()
        outcome = self.workloads.verify(evidence, token, trusted, now)
        if isinstance(outcome, Refused):
            return _explained(outcome, trusted)
        trusted_issuer, verified = outcome
        found = self._matching(trusted_issuer, verified, now)
        found = [client for client in found if client.enabled] or found[:1]
        return found[0].id if len(found) == 1 else _of_no_one(trusted_issuer, verified, found)

    def _matching(self, trusted_issuer: TrustedIssuer, verified: Verified, now: datetime) -> list[Client]:
        """Return the clients that the workload matches, enabled ones first."""
        candidates = self.database.read(lambda tx: self._candidates(tx, trusted_issuer, verified, now))
        return [
            client
            for client in candidates
            if proofs_of(client, trusted_issuer.id, now)  # a proof may have expired since the candidates were cached
            and isinstance(match(client, trusted_issuer, verified, self.trust_domain, now), Proved)
        ]

    def _candidates(self, tx: Tx, trusted_issuer: TrustedIssuer, verified: Verified, now: datetime) -> Sequence[Client]:
        key, read_at = (trusted_issuer.id, frozenset(verified.selectors)), self.monotonic()
        with self._lock:
            state, kept_since, kept = self._recent.get(key, (None, 0.0, []))
            if state == tx.state and read_at - kept_since < MOST_SECONDS:
                self._recent.move_to_end(key)
                return kept
        own = ""
        for selector in verified.selectors:
            if selector.key == SPIFFE_ID:
                own = client_id_in(selector.value, self.trust_domain)
        candidates = workload_proofs.candidates(tx, trusted_issuer, verified.selectors, own_id=own, now=now)
        with self._lock:
            self._recent[key] = tx.state, read_at, candidates
            if len(self._recent) > MOST_KEPT:
                self._recent.popitem(last=False)
        return candidates


def _issuers_in(claims: Mapping[str, Any]) -> set[str]:
    """Return the issuers that the unverified claims name: the `iss`, and the trust domain of a SPIFFE ID."""
    named, subject = set[str](), claims.get("sub")
    if isinstance(issuer := claims.get("iss"), str):
        named.add(issuer)
    if isinstance(subject, str) and subject.startswith("spiffe://"):
        named.add(subject.removeprefix("spiffe://").partition("/")[0])
    return named


def _explained(refused: Refused, trusted: Sequence[TrustedIssuer]) -> Refused:
    """Return the refusal with the name of the trusted issuer that signed the token, if one did."""
    names = {each.id: each.name for each in trusted}
    id_ = refused.failed.trusted_issuer_id if refused.failed else refused.deleted_in_cluster
    if id_ not in names or id_ is None:
        return refused
    sentence = refused.failed.sentence if refused.failed else refused.details
    return replace(refused, unassigned=Unassigned(trusted_issuer=Named(id=id_, name=names[id_]), sentence=sentence))


def _of_no_one(trusted_issuer: TrustedIssuer, verified: Verified, found: Sequence[Client]) -> Refused:
    clients = tuple(Named(id=client.id, name=client.name) for client in found)
    if clients:
        named = ", ".join(f"`{client.name}` ({client.id})" for client in clients[:_NAMED])
        more = " and others" if len(clients) > _NAMED else ""
        sentence = f"The workload matches several clients: {named}{more}"
    else:
        shown = sorted(verified.selectors, key=lambda each: each.key)
        sentence = "No client has a proof that the workload matches; the token proves " + ", ".join(
            f"{each.key} `{visible(each.value)}`" for each in shown[:_NAMED]
        )
    return Refused(
        reason=RefusalReason.AMBIGUOUS if clients else RefusalReason.MISMATCH,
        details="",
        unassigned=Unassigned(
            trusted_issuer=Named(id=trusted_issuer.id, name=trusted_issuer.name), sentence=sentence, clients=clients
        ),
    )
