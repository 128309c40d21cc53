"""Enrolment: a machine uses a one-time code to register its own key as a proof of one client.

The key is valid for some hours. All functions here are pure.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from authsec_server.audit.model import Named
from authsec_server.clients.model import Client, Proof
from authsec_server.failures import Invalid, NotPermitted
from authsec_server.principal import PrincipalKind

CODE_LIFE = timedelta(minutes=15)
MAX_OPEN = 5  # codes of one client
DEFAULT_HOURS = 8  # a working day
MAX_HOURS = 7 * 24
MAX_MACHINE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """An enrolment code, without its text. A machine can use the code until `expires_at`.

    The machine's key will be valid for `hours`. `made_by` is the principal that made the code. The audit log
    records an enrolment as an act of this principal.
    """

    id: str
    client_id: str
    hours: int
    made_by_kind: PrincipalKind
    made_by: Named
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEnrolment:
    """A new code with its text, which is shown only once."""

    client: Client
    enrolment: Enrolment
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Redemption:
    """A machine's request to enrol, before any check.

    `public_key` is PEM. `possession` is a JWT signed with the private key. `machine` is the name that the
    machine reports.
    """

    client_id: str
    code: str = field(repr=False)
    public_key: str = field(repr=False)  # people send private keys by mistake
    possession: str = field(repr=False)
    machine: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """Result of an enrolment: the client, and the machine's new proof."""

    client: Client
    proof: Proof


class EnrolmentRefusal(StrEnum):
    """Reason for a refused enrolment. The audit log records the reason; the caller gets fewer details."""

    RATE_LIMITED = "rate_limited"
    CODE_UNKNOWN = "code_unknown"  # mistyped, used or revoked; or expired and deleted
    CODE_EXPIRED = "code_expired"
    CODE_OF_ANOTHER = "code_of_another_client"
    MAKER_GONE = "maker_gone"  # the maker of the code is no longer permitted to make codes
    KEY_INVALID = "key_invalid"  # or the machine did not prove that it has the private key
    NOT_ADDED = "not_added"  # a client already has this key, or the client has too many proofs


_NO_SUCH_CODE = (
    "There is no such code.",
    "The code was used or cancelled, has expired, or was mistyped. Ask for a new code. An operator creates the code in "
    "the console, or with `authsec agents enrolment AGENT`. Each code works once, within 15 minutes.",
)
_OF_ANOTHER = (  # only callers with a valid code get this text
    "This code is for another agent.",
    "This machine is set up as another agent. Set AUTHSEC_AGENT_CLIENT_ID to the Client ID that is shown with the "
    "code, then use the code again.",
)


class EnrolmentRefused(NotPermitted):
    """The enrolment code is invalid.

    All invalid codes have the same error text, so that an attacker who guesses codes learns nothing.
    """

    reason = "enrolment_refused"

    def __init__(self, why: EnrolmentRefusal, client: Named | None = None) -> None:
        super().__init__(*(_OF_ANOTHER if why is EnrolmentRefusal.CODE_OF_ANOTHER else _NO_SUCH_CODE))
        self.why = why
        self.client = client  # for the audit log


def parse_hours(hours: int) -> int:
    """Check the number of hours for which the machine's key will be valid. Raises `Invalid`."""
    if not 1 <= hours <= MAX_HOURS:
        raise Invalid(
            "hours", f"{hours} hours are out of range.", f"Give 1 to {MAX_HOURS} hours. {MAX_HOURS} hours are one week."
        )
    return hours


def machine_name(text: str) -> str:
    """Make the name that the machine reports safe to show.

    The result is one short line without invisible characters. The result may be empty.
    """
    seen = "".join(char for char in unicodedata.normalize("NFC", text) if char == " " or _visible(char))
    return seen.strip()[:MAX_MACHINE].strip()


def _visible(char: str) -> bool:
    return unicodedata.category(char)[0] not in "CZ"  # C: control and format characters; Z: separators
