"""The second factor: a time-based one-time password (TOTP, RFC 6238), and recovery codes for a lost phone. No I/O.

Authenticator apps take SHA-1, six digits and steps of 30 seconds. Some apps ignore other values.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

import pyotp

SECRET_BYTES: Final = 20  # RFC 4226 section 4, R6: recommended
TOLERANCE: Final = 1  # steps before and after the present one: the clock of a phone differs (RFC 6238 section 5.2)
RECOVERY_CODES: Final = 8
RECOVERY_BYTES: Final = 10  # 80 bits: nobody guesses them, and a plain hash is enough
MAX_WRONG: Final = 10  # wrong codes of one account in `WRONG_WITHIN`, at all servers together
WRONG_WITHIN: Final = timedelta(hours=1)
STEP_LIFE: Final = timedelta(minutes=5)  # between the password and the code
SETUP_LIFE: Final = timedelta(minutes=10)  # between the QR code and the first code
_CODE: Final = re.compile(r"[0-9]{6}")
_RECOVERY_CODE: Final = re.compile(r"[A-Z2-7]{16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondFactor:
    """The second factor of an administrator. `sealed` is the encrypted secret, and empty if raw SQL removed it.

    `recovery_codes` are the hashes of the unused codes. `step` is the time step of the last accepted code.
    """

    administrator_id: str
    id: str
    since: datetime
    sealed: bytes = field(repr=False)
    recovery_codes: tuple[str, ...] = field(repr=False)
    step: int | None = None

    @property
    def sealed_name(self) -> str:
        """Return the name that the encrypted secret is bound to: a secret of another account does not fit."""
        return f"{self.administrator_id} {self.id}"


def secret_text(octets: bytes) -> str:
    """Encode the secret for an authenticator app, in base32 (RFC 4648 section 6)."""
    return base64.b32encode(octets).decode()


def app_address(secret: str, *, account: str, issuer: str) -> str:
    """Return the `otpauth://` address that an authenticator app reads from the QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=issuer)


def read_code(typed: str) -> str:
    """Return the six digits that a person typed; empty if the text is no code. Apps show a space in the middle."""
    digits = "".join(typed.split())
    return digits if _CODE.fullmatch(digits) else ""


def matching_step(secret: str, code: str, now: datetime) -> int | None:
    """Return the time step of the code; None if the code is wrong. Codes are compared in constant time."""
    try:
        return pyotp.TOTP(secret).verify_and_get_timecode(code, for_time=now, valid_window=TOLERANCE)
    except pyotp.OTPVerificationError:
        return None


def recovery_code_of(octets: bytes) -> str:
    """Return a recovery code from 10 random bytes, in four groups: `ABCD-EFGH-IJKL-MNOP`."""
    text = base64.b32encode(octets).decode()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def read_recovery_code(typed: str) -> str:
    """Return the recovery code that a person typed, in its normal form; empty if the text is no recovery code."""
    text = "".join(typed.split()).replace("-", "").upper()
    return text if _RECOVERY_CODE.fullmatch(text) else ""


def hashed_recovery_code(factor_id: str, code: str) -> str:
    """Return the hash that is stored for this code of this factor."""
    return sha256(f"{factor_id} {read_recovery_code(code)}".encode()).hexdigest()
