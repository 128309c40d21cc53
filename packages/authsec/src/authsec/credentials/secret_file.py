"""A client secret in a file: the last resort, for an agent without a platform proof and without a signing key."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from authsec.client_secret import is_client_secret
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

_MOST_BYTES: Final = 1024
_IF_REFUSED: Final = (
    "Check that the file has this agent's secret, and that the secret was not rotated. An operator can create a "
    "new secret: `authsec agents rotate-secret`. An unattested agent needs no secret: unset "
    "AUTHSEC_AGENT_SECRET_FILE."
)


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A file with one line: the client secret, as the authority displayed it once. Only its owner may read the file.

    The SDK sends the secret with the client_id, and only to the authority (RFC 6749 §2.3.1). The file is read
    again for each proof, so a secret can be rotated while the agent runs.
    """

    path: str | Path
    found_by: str = "AuthSecClient(credential=…)"

    def proof(self, request: ProofRequest) -> Proof | None:
        if is_a_secret(self.path):
            raise pasted_secret(self.found_by)
        secret = _read(Path(self.path), self.found_by)
        if isinstance(secret, ConfigError):
            raise secret
        # Form-encoding (RFC 6749 §2.3.1) would not change the id or the secret.
        credential = b64encode(f"{request.client_id}:{secret.value}".encode()).decode("ascii")
        return Proof(
            authorization=f"Basic {credential}",
            source=f"secret file {self.path} ({self.found_by})",
            if_refused=_IF_REFUSED,
        )

    def looked_at(self, request: ProofRequest) -> str:  # noqa: ARG002 - the same file for every agent
        return f"the secret file {self.path}"


@dataclass(frozen=True, slots=True)
class SecretFileFromEnvironment:
    """The secret file that `AUTHSEC_AGENT_SECRET_FILE` names."""

    def proof(self, request: ProofRequest) -> Proof | None:
        path = file_named_by("AUTHSEC_AGENT_SECRET_FILE")
        if isinstance(path, ConfigError):
            raise path
        return SecretFile(path, found_by="AUTHSEC_AGENT_SECRET_FILE").proof(request) if path else None

    def looked_at(self, request: ProofRequest) -> str:  # noqa: ARG002 - the same variable for every agent
        return "AUTHSEC_AGENT_SECRET_FILE (not set)"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Secret:
    value: str = field(repr=False)


def _read(path: Path, found_by: str) -> _Secret | ConfigError:
    """Return the secret in the file, or the error for the caller to raise.

    The caller raises the error, so that no frame of its traceback contains the secret.
    """
    try:
        read = read_regular(path, at_most=_MOST_BYTES)
    except FileNotFoundError:
        return broken_proof(f"{missing_file(path, found_by)}? The secret was shown once, when it was created.")
    except OSError as error:
        return broken_proof(f"The secret file {path} cannot be read: {error.strerror}.")
    if read is None:
        return broken_proof(f"{path} is not a file: name the file with the secret.")
    if read.open_to_others:
        return broken_proof(permission_advice(path, "secret file"))
    value = read.content.decode("ascii", "replace").strip()
    if not is_client_secret(value):
        return broken_proof(
            f"The secret file {path} does not contain a client secret: one line is expected, which begins with "
            "authsec_cs_. Check that the complete secret was copied."
        )
    return _Secret(value=value)
