"""The verb by which a machine is enrolled: the code is used up, and the machine's key is a proof of the client."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from authsec.enrolment_code import hashed, read_code

from authsec_server.accounts.standing import standing
from authsec_server.audit.model import EventKind
from authsec_server.clients import enrolment_codes as codes
from authsec_server.clients import service, store
from authsec_server.clients.enrolment import (
    Enrolled,
    Enrolment,
    EnrolmentRefused,
    Redemption,
    RefusalReason,
    machine_name,
)
from authsec_server.clients.holding import record, refuse_too_many, with_proofs
from authsec_server.clients.model import Client, Proof, ProofKind
from authsec_server.clients.possession import complaint
from authsec_server.clients.proofs import parse_key
from authsec_server.clients.records import named
from authsec_server.db import Tx
from authsec_server.failures import Invalid
from authsec_server.principal import Act, Principal, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """When and from where a machine knocks."""

    now: datetime
    request_id: str
    address: str
    token_bytes: Callable[[int], bytes]

    def by(self, principal: Principal) -> Act:
        """What the machine does, as the act of who made the code: on their word it rests."""
        return Act(
            principal=principal,
            now=self.now,
            request_id=self.request_id,
            address=self.address,
            token_bytes=self.token_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Usable:
    """A code that is good, the client that it is for, and who made it, with the role that they have now."""

    enrolment: Enrolment
    client: Client
    maker: Principal


def usable(tx: Tx, now: datetime, asked: Redemption) -> Usable:
    """What the code is good for. Raises `EnrolmentRefused`."""
    code = read_code(asked.code)
    enrolment = codes.by_hash(tx.connection, hashed(code)) if code else None
    client = service.load(tx, enrolment.client_id) if enrolment else None
    if enrolment is None or client is None or not client.enabled:
        raise EnrolmentRefused(RefusalReason.CODE_UNKNOWN)
    if now >= enrolment.expires_at:
        raise EnrolmentRefused(RefusalReason.CODE_EXPIRED, named(client))
    maker = standing(tx, enrolment.made_by_kind, enrolment.made_by.id, now)
    if maker is None or maker.role < Role.OPERATOR:
        raise EnrolmentRefused(RefusalReason.MAKER_GONE, named(client))
    if client.id != asked.client_id:
        raise EnrolmentRefused(RefusalReason.CODE_OF_ANOTHER, named(client))
    return Usable(enrolment=enrolment, client=client, maker=maker)


def enrol(tx: Tx, arrival: Arrival, asked: Redemption, *, issuer: str) -> Enrolled:
    """Use up the code, and add the machine's key to the client's proofs. Only inside a `change`."""
    found = usable(tx, arrival.now, asked)
    act = arrival.by(found.maker)
    proof = _enrolled_key(act, found, asked, issuer)
    if not codes.remove(tx.connection, found.enrolment.id):  # exactly one of those who come at once takes it
        raise EnrolmentRefused(RefusalReason.CODE_UNKNOWN)
    service.refuse_taken_key(tx, proof)
    kept = _without_expired(tx, act, found.client)
    refuse_too_many(found.client, (*kept, proof))
    holding = with_proofs(found.client, act, (*kept, proof))
    store.add_proof(tx.connection, proof)
    store.save(tx.connection, holding)
    record(tx, act, EventKind.PROOF_ENROLLED, named(holding), proof)
    return Enrolled(client=holding, proof=proof)


def _enrolled_key(act: Act, found: Usable, asked: Redemption, issuer: str) -> Proof:
    """The proof, once the machine is shown to hold its key. Raises `Invalid`."""
    key = parse_key(asked.public_key)
    wrong = complaint(
        asked.possession,
        key,
        client_id=found.client.id,
        code_sha256=hashed(read_code(asked.code) or ""),
        issuer=issuer,
        now=act.now,
    )
    if wrong:
        raise Invalid("possession", wrong, f"{wrong} The code is not used up: try again.")
    return Proof(
        id=act.new_id(),
        client_id=found.client.id,
        kind=ProofKind.ENROLLED_KEY,
        public_key=key.to_jwk(),
        thumbprint=key.thumbprint(),
        enrolled_by=found.enrolment.made_by.name,
        machine=machine_name(asked.machine),
        expires_at=act.now + timedelta(hours=found.enrolment.hours),
        created_at=act.now,
    )


def _without_expired(tx: Tx, act: Act, client: Client) -> tuple[Proof, ...]:
    """The client's proofs but for enrolled keys that have expired: a client may hold so many only."""
    for proof in client.proofs:
        if _is_over(proof, act.now):
            store.remove_proof(tx.connection, proof.id)
            record(tx, act, EventKind.PROOF_REMOVED, named(client), proof)
    return tuple(proof for proof in client.proofs if not _is_over(proof, act.now))


def _is_over(proof: Proof, now: datetime) -> bool:
    return proof.kind is ProofKind.ENROLLED_KEY and not proof.stands(now)
