"""The address of the server that started last, for commands, and where its outside checkpoints are.

The attack: raw SQL writes another address into the database, and a command prints a link to it, or signs a checkpoint
under it. A server writes its address with a MAC by the master key. A MAC has no time, so a former address has one, too.
Therefore the newest checkpoint of the audit log must name the same address.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from sqlalchemy.exc import DatabaseError

from authsec_server.app.runtime import Runtime
from authsec_server.app.services import authority_keys_of
from authsec_server.audit.sealing.checkpoints import Keys
from authsec_server.audit.sealing.log_end import issuer_at_end, number_of_seals
from authsec_server.audit.sealing.service import has_begun
from authsec_server.audit.sealing.table_check import NO_MAC, shown_address
from authsec_server.db import Database, Tx
from authsec_server.db.served import NOT_PROVED, last_checkpoints_file, last_issuer, proves_issuer
from authsec_server.failures import Failure, Fault, StartupRefused, Unavailable
from authsec_server.keys.master_key import find_master_key, master_key_file
from authsec_server.keys.sealing_keys import NO_FILE
from authsec_server.settings import ENV_PREFIX, Settings

_REMEDY: Final = (
    "Start the server, which writes its address and signs a checkpoint within seconds, or set the address: "
    f"{ENV_PREFIX}PUBLIC_URL=https://…"
)


def as_served(settings: Settings, database: Database) -> Settings:
    """Return the settings with the issuer of the last server that started with this data.

    If `public_url` is set, the settings do not change. The host and port of this process are not usable as the
    issuer, because people and agents reach another process.

    Raises `StartupRefused` if nothing proves the issuer.
    """
    if settings.public_url or not database.read(last_issuer):
        return settings
    issuer, problem = _checked_issuer(settings, database)
    if problem:
        raise StartupRefused(problem, _REMEDY)
    return settings.model_copy(update={"public_url": issuer})


def as_served_or_not_proved(settings: Settings, database: Database) -> Settings:
    """Return the result of `as_served`. If nothing proves the issuer, the settings have the issuer `NOT_PROVED`.

    Then a command can read, and can change what needs no address. A link and a signed record need a proved address.
    """
    try:
        return as_served(settings, database)
    except StartupRefused:
        return settings.model_copy(update={"public_url": NOT_PROVED})


def _checked_issuer(settings: Settings, database: Database) -> tuple[str, str]:
    """Return the issuer in the database, and why nothing proves it; an empty text if it is proved."""
    keys = authority_keys_of(settings, database, Runtime())
    known: Keys | None = None  # a command does not need the file of the sealing key
    try:
        known = keys.sealing_keyring.by_kid()
    except Unavailable as failure:
        if failure.fault is not Fault.UNKNOWN:
            raise
        if failure.message != NO_FILE:  # a damaged row must not turn the check of signatures off
            return "", failure.message
    return database.read(lambda tx: (last_issuer(tx), _find_problem(tx, keys.issuer_key, known)))


def _find_problem(tx: Tx, key: bytes, known: Keys | None) -> str:
    """Return why nothing proves the issuer in the database; an empty text if it is proved."""
    issuer = last_issuer(tx)
    if not proves_issuer(tx, key):
        return (
            "The address of the server in the database was not written by a server of this data: authsec audit verify "
            "shows whether somebody changed it."
        )
    if not has_begun(tx) and not number_of_seals(tx.connection):
        return ""  # a first server has started, and seals its first events within a second
    signed = issuer_at_end(tx.connection, known)
    if signed is None:
        return (
            "No valid checkpoint covers all seals of the audit log, so nothing proves the address of the server in the "
            "database. To see the findings: authsec audit verify."
        )
    if signed != issuer:
        return (
            f"The address of the server in the database is {issuer}, but the newest checkpoint of the audit log is "
            f"of {shown_address(signed)}. Either a server with another address has just started or runs beside it, or "
            "somebody changed the address: authsec audit verify."
        )
    return ""


def find_event_key(tx: Tx, settings: Settings, database: Database) -> tuple[bytes | None, str | None]:
    """Return the key of the MACs of events, and why it is missing although a master key is on this machine."""
    path, not_checked = master_key_file(settings, database), "the MACs of the events that wait for their seal"
    try:
        if master_key := find_master_key(tx, settings, database):
            return master_key.event_key(), None
    except StartupRefused as failure:
        return None, f"{failure.message} So {not_checked} were not checked."
    except DatabaseError:
        pass
    if path is None:
        return None, None
    return None, (
        f"The master key in {path} opens no signing key of this database, so {not_checked} were not checked. Either "
        "the file belongs to another database, or somebody changed the signing keys."
    )


def find_mac_problem(tx: Tx, settings: Settings, database: Database) -> str | None:
    """Return why the MAC of the address is not one of this data; None if it is, or without the master key here."""
    with suppress(Failure, DatabaseError):
        master_key = find_master_key(tx, settings, database)
        if master_key is not None and last_issuer(tx) and not proves_issuer(tx, master_key.issuer_key()):
            return NO_MAC
    return None


def checkpoints_as_served(settings: Settings, database: Database) -> str:
    """Return where the outside checkpoints are: the file or address that the settings name.

    If the settings name none, return the checkpoints file of the last server that started with this data.
    """
    return settings.audit_checkpoints or database.read(last_checkpoints_file)
