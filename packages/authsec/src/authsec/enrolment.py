"""Asking the authority to enrol a key that was made here: a one-time code, and that the private half is here.

The private half itself never leaves the machine.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from authsec import strict_json
from authsec.authority import Authority
from authsec.clock import Clock
from authsec.config import AuthSecConfig
from authsec.enrolment_code import POSSESSION_TYPE, hashed
from authsec.errors import AuthSecError, EnrolmentRefused, TransportError
from authsec.exchange import Answer
from authsec.refusals import OfStatus, json_object, not_an_authority, refusal
from authsec.wording import plain

if TYPE_CHECKING:
    from authsec.jose import PrivateKey

PATH: Final = "v1/enrolments"
_POSSESSION_LIFE: Final = 120  # seconds
_OF_ENROLMENTS: OfStatus = {
    400: (EnrolmentRefused, "The authority could not use what this machine sent."),
    403: (EnrolmentRefused, "The authority did not accept this code."),
    409: (EnrolmentRefused, "The authority could not add this machine's key."),
}


def enrol_key(config: AuthSecConfig, code: str, key: PrivateKey, machine: str, clock: Clock) -> tuple[str, datetime]:
    """The agent's name, and until when the key is good. `code` is as `read_code` gives it.

    Raises `EnrolmentRefused`, `TransportError` and their like.
    """
    authority = Authority(config, (), clock=clock)
    sent = {
        "client_id": config.client_id,
        "code": code,
        "public_key": key.public.to_pem().decode("ascii"),
        "possession": _possession(config, code, key, authority.issuer(), int(clock.wall())),
        "machine": machine,
    }
    try:
        answer = authority.transport.post(
            PATH, json=strict_json.dumps(sent), deadline=clock.monotonic() + config.timeout
        )
    except TransportError as error:
        raise _perhaps_used(error) from None
    if answer.status != 201:
        raise refusal(answer, datetime.fromtimestamp(clock.wall(), UTC), _OF_ENROLMENTS)
    return _read(answer, config, key)


def _possession(config: AuthSecConfig, code: str, key: PrivateKey, issuer: str, now: int) -> str:
    """That the private half is here: over this code, for this authority, and for nothing else."""
    from authsec.jose import sign_compact

    claims = {
        "iss": config.client_id,
        "aud": issuer,
        "iat": now,
        "exp": now + _POSSESSION_LIFE,
        "code_sha256": hashed(code),
    }
    return sign_compact({"typ": POSSESSION_TYPE}, claims, key)


def _read(answer: Answer, config: AuthSecConfig, key: PrivateKey) -> tuple[str, datetime]:
    body = json_object(answer)
    name, expires_at = body.get("name"), body.get("expires_at")
    ours = (body.get("client_id"), body.get("thumbprint")) == (config.client_id, key.public.thumbprint())
    if not ours or not isinstance(name, str) or not isinstance(expires_at, str):
        raise not_an_authority(answer)
    try:
        return plain(name, 120), datetime.fromisoformat(expires_at).astimezone(UTC)
    except (ValueError, OverflowError):
        raise not_an_authority(answer) from None


def _perhaps_used(error: TransportError) -> AuthSecError:
    """A request that was lost on its way may have arrived, and a code is good once."""
    if error.reason not in {"timeout", "connection_lost"}:
        return error
    return TransportError(
        f"{error} Whether the code was used up by this is not known: try it once more, and if it is refused, ask for "
        "a new one.",
        reason=error.reason,
        retryable=True,
    )
