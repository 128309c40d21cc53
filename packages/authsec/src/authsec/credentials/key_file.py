"""A private key in a file: named by the environment, or found by the agent's id."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from authsec.credentials.enrolled import enrolled_until, if_enrolled_refused
from authsec.credentials.named_file import file_named_by, is_a_secret, pasted
from authsec.credentials.reading import close_it, open_to_others
from authsec.credentials.source import Proof, ProofRequest, broken
from authsec.errors import ConfigError
from authsec.extras import HOW_TO_INSTALL

if TYPE_CHECKING:
    from authsec.jose import PrivateKey

ASSERTION_LIFE = 60  # seconds; an assertion is used once, at once
_LARGEST_KEY_FILE = 64 * 1024
_IF_REFUSED = (
    "Is it the key of this agent, and not of another? If this agent is an unattested one, it needs none: unset "
    "AUTHSEC_AGENT_KEY_FILE or take the key file away."
)


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A private key in a PEM file, which nobody but its owner may read.

    The proof is a `private_key_jwt` assertion (RFC 7523 §3) for the authority's issuer and nobody else (§3, item 3),
    used once. The file is read anew each time, so that a key can be replaced while the agent runs.
    """

    path: str | Path
    found_by: str = "AuthSecClient(credential=…)"

    def proof(self, request: ProofRequest) -> Proof | None:
        if is_a_secret(self.path):
            raise pasted(self.found_by)
        content = _read_private(Path(self.path))
        key = _private_key(Path(self.path), content)
        assertion = _private_key_jwt(key, request)
        until = enrolled_until(content)
        return Proof(
            authorization=f"Bearer {assertion}",
            source=f"key file {self.path} ({self.found_by})",
            if_refused=_IF_REFUSED if until is None else if_enrolled_refused(until, request.now),
            until=None if until is None else until.timestamp(),
        )

    def looked_at(self, request: ProofRequest) -> str:  # noqa: ARG002 - the same file for every agent
        return f"the key file {self.path}"


@dataclass(frozen=True, slots=True)
class KeyFileFromEnvironment:
    """The file that `AUTHSEC_AGENT_KEY_FILE` names."""

    def proof(self, request: ProofRequest) -> Proof | None:
        path = file_named_by("AUTHSEC_AGENT_KEY_FILE")
        if isinstance(path, ConfigError):
            raise path
        return KeyFile(path, found_by="AUTHSEC_AGENT_KEY_FILE").proof(request) if path else None

    def looked_at(self, request: ProofRequest) -> str:  # noqa: ARG002 - the same variable for every agent
        return "AUTHSEC_AGENT_KEY_FILE (not set)"


@dataclass(frozen=True, slots=True)
class KeyFileInConfigFolder:
    """`$XDG_CONFIG_HOME/authsec/keys/<client_id>.pem`, by default below `~/.config`."""

    def proof(self, request: ProofRequest) -> Proof | None:
        path = path_in_config_folder(request.client_id)
        return None if _nothing_at(path) else KeyFile(path, found_by="found by the agent's id").proof(request)

    def looked_at(self, request: ProofRequest) -> str:
        path = path_in_config_folder(request.client_id)
        return f"{path} ({_nothing_at(path)})"


def path_in_config_folder(client_id: str) -> Path:
    """Where the key of that agent is looked for, and where `authsec enrol` puts it."""
    folder = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(folder, "authsec", "keys", f"{client_id}.pem")


def _nothing_at(path: Path) -> str:
    """Why there is nothing for this user, empty if there is: in a container HOME is often another user's."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return "no such file"
    except OSError as error:
        return f"cannot be looked at: {error.strerror}"
    return ""


def _private_key(path: Path, content: bytes) -> PrivateKey:
    try:
        from authsec.jose import JoseError, PrivateKey
    except ImportError:
        raise broken(f"Proving itself with a key needs packages that are not installed. {HOW_TO_INSTALL}") from None
    try:
        return PrivateKey.from_pem(content)
    except JoseError as error:
        raise broken(
            f"The key file {path} cannot be used: {error}. It must hold a private key in PEM without a password, as "
            "`authsec keygen` writes it."
        ) from None


def _read_private(path: Path) -> bytes:
    """The file's content, after the opened file itself (not its name, which may be swapped) was looked at."""
    try:
        with path.open("rb") as file:
            status, content = os.fstat(file.fileno()), file.read(_LARGEST_KEY_FILE)
            if _is_public_half(path, content):
                raise broken(
                    f"{path} is the public half of a key pair, which is for the authority and proves nothing. "
                    "Name the file with the private half."
                )
            if open_to_others(status):
                raise broken(close_it(path, "key file"))
            return content
    except FileNotFoundError:
        raise broken(
            f"There is no file {path}; is the path right? (A new key would have to be registered first.)"
        ) from None
    except OSError as error:
        raise broken(f"The key file {path} cannot be read: {error.strerror}.") from None


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
