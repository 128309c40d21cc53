"""The command `authsec enrol`: a key made on this machine becomes an agent's proof of identity for some hours.

A one-time code enrols the key. The private key never leaves the machine. Before the code is used, the command
creates a temporary file for the key. After the authority has accepted the new key, this file replaces the
file of an earlier enrolled key. The earlier key stays registered at the authority until it expires.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import click

from authsec import strict_json
from authsec.authority import Authority
from authsec.clock import Clock
from authsec.config import AuthSecConfig
from authsec.credentials import default_sources
from authsec.credentials.key_file import enrolled_until, path_in_config_folder, with_note
from authsec.enrolment_code import POSSESSION_TYPE, hashed, read_code
from authsec.errors import AuthSecError, ConfigError, EnrolmentRefused, TransportError
from authsec.extras import HOW_TO_INSTALL
from authsec.http_answer import Answer
from authsec.refusals import OfStatus, json_object, not_an_authority, refusal
from authsec.safe_text import plain
from authsec.terminal import Grade, command_line, duration, step

if TYPE_CHECKING:
    from authsec.jose import PrivateKey

_MOST_OF_A_NOTE: Final = 256
_NOTEWORTHY: Final = timedelta(minutes=1)
PATH: Final = "v1/enrolments"
_POSSESSION_LIFE: Final = 120  # seconds
_OF_ENROLMENTS: OfStatus = {
    400: (EnrolmentRefused, "The authority could not use this machine's request."),
    403: (EnrolmentRefused, "The authority did not accept this code."),
    409: (EnrolmentRefused, "The authority could not add this machine's key."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """This machine's enrolment as the agent `name`. The key at `path` is valid until the time `until`.

    `replaced_until` is the expiry of the enrolled key that the new key replaced, or None.
    """

    name: str
    until: datetime
    path: Path
    replaced_until: datetime | None


def main(code: str, *, machine: str, replace: bool) -> None:
    """Enrol this machine as the agent that the environment names, and print the result.

    Raises the errors of `enrol`.
    """
    config, clock = AuthSecConfig.from_env(), Clock()
    enrolled = enrol(config, code, machine=machine, replace=replace, clock=clock)
    until = f"until {enrolled.until:%Y-%m-%d %H:%M} UTC, in {duration(enrolled.until.timestamp() - clock.wall())}"
    click.echo("\n" + step(Grade.AMBER, "enrolled", [f"as {enrolled.name}", until]))
    click.echo(
        step(
            Grade.GOOD,
            "private key",
            [str(enrolled.path), "only you can read the key; the SDK finds it without a setting"],
        )
    )
    if shortened := _shortened(enrolled):
        click.echo(step(Grade.AMBER, "ends earlier", shortened))
    if other := _shown_instead(config, enrolled, clock):
        click.echo(
            step(
                Grade.AMBER,
                "used instead",
                [*other.splitlines(), "Remove this other proof from the agent's machine."],
            )
        )
    click.echo(
        "\n  Until then, anybody who runs programs as you on this machine can act as this agent. Next, once the agent "
        "has a trust delegation:\n"
    )
    click.echo(f"    {command_line('smoke')}\n")


def enrol(config: AuthSecConfig, code: str, *, machine: str, replace: bool, clock: Clock) -> Enrolled:
    """Enrol this machine as the agent of `config`.

    With `replace`, the new key also overwrites a key that a person registered by hand. Raises `ConfigError` for a
    problem on this machine, before the code is used. Raises `EnrolmentRefused` or `TransportError` for a problem
    with the authority.
    """
    its = read_code(code)
    if its is None:
        raise ConfigError(
            "This is not an enrolment code. A code has 32 letters and digits, in groups of four. Copy the code from "
            "the page of the console or the command that created the code.",
            reason="code_malformed",
        )
    path = path_in_config_folder(config.client_id)
    before = _enrolled_before(path, replace)
    key = _new_key()
    with _beside(path) as (new, file):
        name, until = enrol_key(config, its, key, machine, clock)
        with file:
            file.write(with_note(key.to_pem(), until))
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    return Enrolled(name=name, until=until, path=path, replaced_until=before)


def _shortened(enrolled: Enrolled) -> list[str]:
    """Return a warning if the replaced key would have been valid longer than the new key; otherwise an empty list."""
    before = enrolled.replaced_until
    if before is None or before - enrolled.until < _NOTEWORTHY:
        return []
    return [
        f"the replaced key was enrolled until {before:%Y-%m-%d %H:%M} UTC",
        "For a longer time, ask for a code with more hours.",
    ]


def _shown_instead(config: AuthSecConfig, enrolled: Enrolled, clock: Clock) -> str:
    """Describe the proof that the SDK uses instead of the enrolled key; an empty string if it uses the enrolled key.

    For example, a variable in the shell still names the key of another agent. The authority would refuse that
    key.
    """
    try:
        proof = Authority(config, default_sources(), clock=clock).find_proof()
    except AuthSecError as error:
        return str(error)
    found = f"key file {enrolled.path} "
    return "" if proof is None or proof.source.startswith(found) else proof.source


def _enrolled_before(path: Path, replace: bool) -> datetime | None:
    """Return the expiry of the enrolled key at `path`, or None if there is no enrolled key.

    Raises `ConfigError` if the file has a key that a person registered by hand, except with `replace`.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_OF_A_NOTE)
    except FileNotFoundError:  # There is no key yet.
        return None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.", reason="file_not_readable") from None
    until = enrolled_until(content)
    if until is None and not replace:
        raise ConfigError(
            f"{path} has a key that somebody registered by hand for this agent. The key was not overwritten. Use "
            "that key, or move the file away. If the key is no longer needed, enrol with --replace.",
            reason="file_exists",
        )
    return until


def _new_key() -> PrivateKey:
    try:
        from authsec.jose import PrivateKey
    except ImportError:
        raise ConfigError(
            f"Creating a key needs packages that are not installed. {HOW_TO_INSTALL}", reason="extra_missing"
        ) from None
    return PrivateKey.generate_ed25519()


@contextmanager
def _beside(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Create a temporary file in the folder of `path`, readable by its owner only.

    The caller creates the file before it sends the one-time enrolment code. If the folder is not writable, the code
    can then still be used. If the file does not replace the key at `path`, the file is deleted at the end.
    """
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigError(
            f"The key cannot be stored in {path.parent}: {error.strerror}.", reason="file_not_writable"
        ) from None
    file = os.fdopen(descriptor, "wb")
    try:
        yield new, file
    finally:
        file.close()
        with suppress(FileNotFoundError):  # The file has already replaced the key.
            new.unlink()


def enrol_key(config: AuthSecConfig, code: str, key: PrivateKey, machine: str, clock: Clock) -> tuple[str, datetime]:
    """Enrol the key; return the agent's name and the key's expiry. `code` is the result of `read_code`.

    Raises `EnrolmentRefused`, `TransportError` and other `AuthSecError`s.
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
    """Sign a proof of possession of the private key, for this code and this authority only."""
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
    """Add to the error of a lost request that the code may already be used.

    The authority may have received the request, and a code works only once.
    """
    if error.reason not in {"timeout", "connection_lost"}:
        return error
    return TransportError(
        f"{error} The code may already have been used. Try the code once more. If the authority refuses the code, "
        "ask for a new code.",
        reason=error.reason,
        retryable=True,
    )
