"""A private key in a file. An environment variable names the file, or the file's name is the agent's id."""

from __future__ import annotations

import base64
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from authsec.credentials.files import (
    file_named_by,
    is_a_secret,
    missing_file,
    pasted_secret,
    permission_advice,
    read_regular,
)
from authsec.credentials.source import Proof, ProofRequest, broken_proof
from authsec.errors import ConfigError
from authsec.extras import HOW_TO_INSTALL

if TYPE_CHECKING:
    from authsec.jose import PrivateKey

ASSERTION_LIFE = 60  # seconds: an assertion is sent once, immediately
_LARGEST_KEY_FILE = 64 * 1024
_IF_REFUSED = (
    "Check that the file has the key of this agent, not of another agent. If the agent is unattested, it needs "
    "no key. In that case, unset AUTHSEC_AGENT_KEY_FILE or remove the key file."
)

_NOTE = re.compile(rb"Enrolled until (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) ")


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A private key in a PEM file that only its owner may read.

    The proof is a `private_key_jwt` assertion (RFC 7523 §3), used only once. The assertion's only audience is the
    authority's issuer (§3, item 3). The file is read again for each proof, so a key can be replaced while the
    agent runs.
    """

    path: str | Path
    found_by: str = "AuthSecClient(credential=…)"

    def proof(self, request: ProofRequest) -> Proof | None:
        if is_a_secret(self.path):
            raise pasted_secret(self.found_by)
        found = _found(Path(self.path), self.found_by)
        if isinstance(found, ConfigError):
            raise found
        assertion, until = _private_key_jwt(found.key, request), found.until
        return Proof(
            authorization=f"Bearer {assertion}",
            source=f"key file {self.path} ({self.found_by})",
            if_refused=_IF_REFUSED if until is None else if_enrolled_refused(until, request.now),
            until=None if until is None else until.timestamp(),
            is_key_pair=True,
        )

    def looked_at(self, request: ProofRequest) -> str:  # noqa: ARG002 - the same file for every agent
        return f"the key file {self.path}"


@dataclass(frozen=True, slots=True)
class KeyFileFromEnvironment:
    """The key file that `AUTHSEC_AGENT_KEY_FILE` names."""

    def proof(self, request: ProofRequest) -> Proof | None:
        path = file_named_by("AUTHSEC_AGENT_KEY_FILE")
        if isinstance(path, ConfigError):
            raise path
        return KeyFile(path, found_by="AUTHSEC_AGENT_KEY_FILE").proof(request) if path else None

    def looked_at(self, request: ProofRequest) -> str:  # noqa: ARG002 - the same variable for every agent
        return "AUTHSEC_AGENT_KEY_FILE (not set)"


@dataclass(frozen=True, slots=True)
class KeyFileInConfigFolder:
    """The key file `$XDG_CONFIG_HOME/authsec/keys/<client_id>.pem`, by default below `~/.config`."""

    def proof(self, request: ProofRequest) -> Proof | None:
        path = path_in_config_folder(request.client_id)
        return None if _nothing_at(path) else KeyFile(path, found_by="found by the client_id").proof(request)

    def looked_at(self, request: ProofRequest) -> str:
        path = path_in_config_folder(request.client_id)
        return f"{path} ({_nothing_at(path)})"


def path_in_config_folder(client_id: str) -> Path:
    """Return the path of this agent's key in the config folder, where `authsec enrol` saves the key."""
    folder = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(folder, "authsec", "keys", f"{client_id}.pem")


def _nothing_at(path: Path) -> str:
    """Return why this user cannot see a file at `path`, or an empty string if the file is visible.

    In a container, HOME often belongs to another user.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return "no such file"
    except OSError as error:
        return f"cannot be checked: {error.strerror}"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A private key from a file. `until` is the end of the key's enrolment; None if the key was not enrolled."""

    key: PrivateKey
    until: datetime | None


def _found(path: Path, found_by: str) -> _Found | ConfigError:
    """Return the key in the file, or the error for the caller to raise.

    The caller raises the error, so that no frame of its traceback contains the key.
    """
    content = _content(path, found_by)
    if isinstance(content, ConfigError):
        return content
    try:
        from authsec.jose import JoseError, PrivateKey
    except ImportError:
        return broken_proof(f"Authentication with a key needs packages that are not installed. {HOW_TO_INSTALL}")
    try:
        return _Found(key=PrivateKey.from_pem(content), until=enrolled_until(content))
    except JoseError as error:
        return broken_proof(
            f"The key file {path} cannot be used: {error}. The file must contain a private key in PEM without a "
            "password, as `authsec keygen` writes it."
        )


def _content(path: Path, found_by: str) -> bytes | ConfigError:
    try:
        read = read_regular(path, at_most=_LARGEST_KEY_FILE)
    except FileNotFoundError:
        return broken_proof(f"{missing_file(path, found_by)}? (A new key must be registered first.)")
    except OSError as error:
        return broken_proof(f"The key file {path} cannot be read: {error.strerror}.")
    if read is None:
        return broken_proof(f"{path} is not a file: name the file with the private key.")
    if _is_public_half(path, read.content):
        return broken_proof(
            f"{path} has the public key, which is for the authority. Give the path of the file with the private key."
        )
    return broken_proof(permission_advice(path, "key file")) if read.open_to_others else read.content


def _is_public_half(path: Path, content: bytes) -> bool:
    return b"BEGIN PUBLIC KEY" in content or (path.suffix == ".pub" and b"PRIVATE KEY" not in content)


def _private_key_jwt(key: PrivateKey, request: ProofRequest) -> str:
    from authsec.jose import sign_compact

    claims = {
        "iss": request.client_id,
        "sub": request.client_id,
        "aud": request.issuer(),
        "jti": base64.urlsafe_b64encode(request.token_bytes(16)).rstrip(b"=").decode("ascii"),
        "iat": request.now,
        "exp": request.now + ASSERTION_LIFE,
    }
    return sign_compact({"typ": "client-authentication+jwt", "kid": key.public.thumbprint()}, claims, key)


def with_note(pem: bytes, until: datetime) -> bytes:
    """Return the content of an enrolled key's file: a line with the time when the enrolment ends, then the PEM."""
    return f"Enrolled until {until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ} by `authsec enrol`.\n".encode() + pem


def enrolled_until(content: bytes) -> datetime | None:
    """Return the end of the enrolment of the key in the file; None if the key was not enrolled."""
    note = _NOTE.match(content)
    try:
        return datetime.fromisoformat(note[1].decode()) if note else None
    except ValueError:
        return None  # a person has edited the line


def if_enrolled_refused(until: datetime, now: int) -> str:
    """Return the remedy for an enrolled key that the authority refuses."""
    over = until.timestamp() <= now
    what = f"This machine was enrolled until {until:%Y-%m-%d %H:%M} UTC.{' This time has passed.' if over else ''}"
    taken = "" if over else " An administrator may have removed the key."
    return f"{what}{taken} To enrol again, create a new code on the agent's Connect tab, then run `authsec enrol`."
