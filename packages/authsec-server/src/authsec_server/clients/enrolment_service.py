"""Make and revoke enrolment codes. Use up a code, and add the machine's key to the client's proofs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from authsec.enrolment_code import CODE_BYTES, POSSESSION_TYPE, hashed, read_code, text_of
from authsec.jose import JoseError, PublicKey, parse_compact

from authsec_server import naming
from authsec_server.accounts.lookup import current_principal
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Named
from authsec_server.clients import service, store
from authsec_server.clients.enrolment import (
    CODE_LIFE,
    DEFAULT_HOURS,
    MAX_OPEN,
    Enrolled,
    Enrolment,
    EnrolmentRefusal,
    EnrolmentRefused,
    NewEnrolment,
    Redemption,
    machine_name,
    parse_hours,
)
from authsec_server.clients.held_proofs import record, refuse_too_many, with_proofs
from authsec_server.clients.model import Client, Proof, ProofKind
from authsec_server.clients.proofs import parse_key
from authsec_server.clients.service import named_client
from authsec_server.db import Tx
from authsec_server.failures import Conflict, Invalid, NotFound
from authsec_server.principal import Act, Principal, Role

MAX_BYTES: Final = 4096
MAX_LIFETIME: Final = 300  # seconds
LEEWAY: Final = 30  # seconds of clock difference either way


def complaint(possession: str, key: PublicKey, *, client_id: str, code_sha256: str, issuer: str, now: datetime) -> str:
    """Return the problem with the machine's proof that it has the private key. Return "" without a problem.

    The signature is checked first: without a valid signature, the text says nothing about the claims.
    """
    try:
        token = parse_compact(possession, max_bytes=MAX_BYTES)
        token.verified_by(key, algorithms=key.algorithms)
    except JoseError:
        return "The possession proof is not signed with the private half of this public key."
    if token.header.get("typ") != POSSESSION_TYPE:
        return f"The header `typ` must be {POSSESSION_TYPE}."
    claims = token.claims
    if (claims.get("iss"), claims.get("aud"), claims.get("code_sha256")) != (client_id, issuer, code_sha256):
        return f"The possession proof names another client, another code, or another authority than {issuer}."
    return _untimely(claims, now.timestamp())


def _untimely(claims: Mapping[str, Any], now: float) -> str:
    issued, expires, begins = claims.get("iat"), claims.get("exp"), claims.get("nbf", 0)
    if not (type(issued) is int and type(expires) is int and type(begins) is int):
        return "`iat` and `exp` are required; `iat`, `exp` and `nbf` must be whole seconds."
    if expires <= now - LEEWAY:
        return "The possession proof has expired. Check the machine's clock."
    if max(issued, begins) > now + LEEWAY or expires > now + MAX_LIFETIME + LEEWAY:
        return (
            f"The possession proof was issued in the future, or is valid longer than {MAX_LIFETIME} seconds. Check "
            "the machine's clock."
        )
    return ""


def make(tx: Tx, act: Act, id_or_slug: str, *, hours: int = DEFAULT_HOURS) -> NewEnrolment:
    """Make a one-time code. With the code, a machine can register a key that is valid for `hours`.

    Call only inside a `change`. Raises `NotFound` or `Invalid`. Raises `Conflict` if the client is disabled, or
    has too many unused codes.
    """
    act.principal.require(Role.OPERATOR)
    client = service.get(tx, act, id_or_slug)
    _refuse_useless(tx, act, client)
    code = text_of(act.token_bytes(CODE_BYTES))
    enrolment = Enrolment(
        id=act.new_id(),
        client_id=client.id,
        hours=parse_hours(hours),
        made_by_kind=act.principal.kind,
        made_by=Named(id=act.principal.id, name=act.principal.name),
        created_at=act.now,
        expires_at=act.now + CODE_LIFE,
    )
    store.add_enrolment(tx.connection, enrolment, hashed(read_code(code) or ""))
    _record(tx, act, EventKind.ENROLMENT_MADE, client, enrolment)
    return NewEnrolment(client=client, enrolment=enrolment, code=code)


def open_of(tx: Tx, act: Act, client_id: str) -> list[Enrolment]:
    """List the client's unused codes that have not expired, oldest first."""
    act.principal.require(Role.VIEWER)
    return store.enrolments_of(tx.connection, client_id, act.now)


def take_back(tx: Tx, act: Act, id_or_slug: str, enrolment_id: str) -> Client:
    """Revoke the code, so that no machine can use it. Raises `NotFound` if the code was used or has expired."""
    act.principal.require(Role.OPERATOR)
    client = service.get(tx, act, id_or_slug)
    found = next(
        (each for each in store.enrolments_of(tx.connection, client.id, act.now) if each.id == enrolment_id), None
    )
    if found is None:
        raise NotFound(
            f"{client.name} has no open code {naming.quoted(enrolment_id)}.",
            "The code was used or cancelled, or has expired. A key that was enrolled with it stays valid until "
            "that proof is removed.",
        )
    store.remove_enrolment(tx.connection, found.id)
    _record(tx, act, EventKind.ENROLMENT_TAKEN_BACK, client, found)
    return client


def forget_all(tx: Tx) -> None:
    """Delete every code after a restore, because a restored database does not show which codes were used."""
    store.remove_all_enrolments(tx.connection)


def forget(tx: Tx, now: datetime) -> None:
    """Delete codes that have expired or are of disabled clients."""
    store.forget_enrolments(tx.connection, now)


def _refuse_useless(tx: Tx, act: Act, client: Client) -> None:
    if not client.enabled:
        raise Conflict(
            f"{client.name} is disabled, and would get no token with a new key either.", "Enable the client first."
        )
    if len(store.enrolments_of(tx.connection, client.id, act.now)) >= MAX_OPEN:
        raise Conflict(
            f"{client.name} has {MAX_OPEN} open codes, which is the limit.",
            "Use a code, cancel one, or wait: each code expires after 15 minutes.",
        )


def _record(tx: Tx, act: Act, kind: EventKind, client: Client, enrolment: Enrolment) -> None:
    audit.record_act(
        tx,
        act,
        kind,
        client=named_client(client),
        subject=Named(id=enrolment.id, name="enrolment code"),
        detail={"hours": enrolment.hours, "code_expires_at": enrolment.expires_at.isoformat()},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollingMachine:
    """The time and the origin (request id and address) of a machine's request."""

    now: datetime
    request_id: str
    address: str
    token_bytes: Callable[[int], bytes]

    def by(self, principal: Principal) -> Act:
        """Return the context of this request (`Act`). Its principal is the principal that made the code."""
        return Act(
            principal=principal,
            now=self.now,
            request_id=self.request_id,
            address=self.address,
            token_bytes=self.token_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Usable:
    """A valid code, its client, and the principal that made the code.

    `maker` has the role that the principal has now.
    """

    enrolment: Enrolment
    client: Client
    maker: Principal


def usable(tx: Tx, now: datetime, asked: Redemption) -> Usable:
    """Check the code. Return the code with its client and its maker. Raises `EnrolmentRefused`."""
    code = read_code(asked.code)
    enrolment = store.enrolment_by_hash(tx.connection, hashed(code)) if code else None
    client = service.load(tx, enrolment.client_id) if enrolment else None
    if enrolment is None or client is None or not client.enabled:
        raise EnrolmentRefused(EnrolmentRefusal.CODE_UNKNOWN)
    if now >= enrolment.expires_at:
        raise EnrolmentRefused(EnrolmentRefusal.CODE_EXPIRED, named_client(client))
    maker = current_principal(tx, enrolment.made_by_kind, enrolment.made_by.id, now)
    if maker is None or maker.role < Role.OPERATOR:
        raise EnrolmentRefused(EnrolmentRefusal.MAKER_GONE, named_client(client))
    if client.id != asked.client_id:
        raise EnrolmentRefused(EnrolmentRefusal.CODE_OF_ANOTHER, named_client(client))
    return Usable(enrolment=enrolment, client=client, maker=maker)


def enrol(tx: Tx, arrival: EnrollingMachine, asked: Redemption, *, issuer: str) -> Enrolled:
    """Use up the code, and add the machine's key to the client's proofs. Call only inside a `change`."""
    found = usable(tx, arrival.now, asked)
    act = arrival.by(found.maker)
    proof = _enrolled_key(act, found, asked, issuer)
    if not store.remove_enrolment(tx.connection, found.enrolment.id):  # only one of several parallel requests gets True
        raise EnrolmentRefused(EnrolmentRefusal.CODE_UNKNOWN)
    service.refuse_taken_key(tx, proof)
    kept = _without_expired(tx, act, found.client)
    refuse_too_many(found.client, (*kept, proof))
    holding = with_proofs(found.client, act, (*kept, proof))
    store.add_proof(tx.connection, proof)
    store.save(tx.connection, holding)
    record(tx, act, EventKind.PROOF_ENROLLED, named_client(holding), proof)
    return Enrolled(client=holding, proof=proof)


def _enrolled_key(act: Act, found: Usable, asked: Redemption, issuer: str) -> Proof:
    """Check that the machine has the private key, and return the new proof. Raises `Invalid`."""
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
        raise Invalid("possession", wrong, f"{wrong} The code is still valid: try again.")
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
    """Remove the client's expired enrolled keys, and return the client's other proofs.

    Expired keys would otherwise count against the limit of proofs.
    """
    for proof in client.proofs:
        if _is_over(proof, act.now):
            store.remove_proof(tx.connection, proof.id)
            record(tx, act, EventKind.PROOF_REMOVED, named_client(client), proof)
    return tuple(proof for proof in client.proofs if not _is_over(proof, act.now))


def _is_over(proof: Proof, now: datetime) -> bool:
    return proof.kind is ProofKind.ENROLLED_KEY and not proof.is_valid(now)
