"""The verbs of enrolment codes, for operators: making one, seeing those that are open, taking one back."""

from __future__ import annotations

from datetime import datetime

from authsec.enrolment_code import CODE_BYTES, hashed, read_code, text_of

from authsec_server import naming
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Named
from authsec_server.clients import enrolment_codes as codes
from authsec_server.clients import service
from authsec_server.clients.enrolment import CODE_LIFE, DEFAULT_HOURS, MAX_OPEN, Enrolment, NewEnrolment, parse_hours
from authsec_server.clients.model import Client
from authsec_server.clients.records import named
from authsec_server.db import Tx
from authsec_server.failures import Conflict, NotFound
from authsec_server.principal import Act, Role


def make(tx: Tx, act: Act, id_or_slug: str, *, hours: int = DEFAULT_HOURS) -> NewEnrolment:
    """A one-time code by which a machine may make itself a key of the client, good for so many hours.

    Only inside a `change`. Raises `NotFound`, `Invalid`, or `Conflict` for a client that is disabled or has enough.
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
    codes.add(tx.connection, enrolment, hashed(read_code(code) or ""))
    _record(tx, act, EventKind.ENROLMENT_MADE, client, enrolment)
    return NewEnrolment(client=client, enrolment=enrolment, code=code)


def open_of(tx: Tx, act: Act, client_id: str) -> list[Enrolment]:
    """The codes of the client that can still be used, the oldest first."""
    act.principal.require(Role.VIEWER)
    return codes.of_client(tx.connection, client_id, act.now)


def take_back(tx: Tx, act: Act, id_or_slug: str, enrolment_id: str) -> Client:
    """Let the code be used no more. Raises `NotFound` where it was used by then, or has expired."""
    act.principal.require(Role.OPERATOR)
    client = service.get(tx, act, id_or_slug)
    found = next((each for each in codes.of_client(tx.connection, client.id, act.now) if each.id == enrolment_id), None)
    if found is None:
        raise NotFound(
            f"{client.name} has no open code {naming.quoted(enrolment_id)}.",
            "It was used or taken back, or has expired. A key that it enrolled stays until that proof is removed.",
        )
    codes.remove(tx.connection, found.id)
    _record(tx, act, EventKind.ENROLMENT_TAKEN_BACK, client, found)
    return client


def forget_all(tx: Tx) -> None:
    """Forget every code: of a restored database nobody knows which were used."""
    codes.remove_all(tx.connection)


def forget(tx: Tx, now: datetime) -> None:
    """Forget codes that have expired."""
    codes.forget(tx.connection, now)


def _refuse_useless(tx: Tx, act: Act, client: Client) -> None:
    if not client.enabled:
        raise Conflict(f"{client.name} is disabled: a key of it would get no token.", "Enable it first.")
    if len(codes.of_client(tx.connection, client.id, act.now)) >= MAX_OPEN:
        raise Conflict(
            f"{client.name} has {MAX_OPEN} open codes, the most that there may be.",
            "Use one, take one back, or wait: each is open for 15 minutes.",
        )


def _record(tx: Tx, act: Act, kind: EventKind, client: Client, enrolment: Enrolment) -> None:
    audit.record_act(
        tx,
        act,
        kind,
        client=named(client),
        subject=Named(id=enrolment.id, name="enrolment code"),
        detail={"hours": enrolment.hours, "code_expires_at": enrolment.expires_at.isoformat()},
    )
