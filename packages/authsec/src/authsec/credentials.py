"""How an agent proves itself: sources of proof, asked in order until one says "mine".

A source answers None for "not mine" (nothing here for this agent), a `Proof`, or raises `ConfigError` for "mine, but
broken", with the way to mend it: what was meant as the agent's proof is never skipped in silence. An agent for which
no source has anything sends none, which only suffices for one that an administrator made *unattested*.
"""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from authsec.errors import ConfigError
from authsec.extras import HOW_TO_INSTALL

if TYPE_CHECKING:
    from authsec.jose import PrivateKey

ASSERTION_LIFE = 60  # seconds; an assertion is used once, at once
_LARGEST_KEY_FILE = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofRequest:
    """What a source is asked for: a proof that its bearer is `client_id`, good at the authority called `issuer()`.

    `issuer` is a function, as learning it costs a request that not every source needs. `now` is Unix time.
    """

    client_id: str
    issuer: Callable[[], str]
    now: int
    token_bytes: Callable[[int], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The value of the Authorization header, and in words where it came from."""

    authorization: str = field(repr=False)
    source: str


class CredentialSource(Protocol):
    """A place where a proof may be found. See the module's docstring for the three answers."""

    def proof(self, request: ProofRequest) -> Proof | None: ...

    def looked_at(self, client_id: str) -> str:
        """Where this source looks, and why there was nothing: for the person whose agent was refused."""
        ...


def find_proof(sources: Sequence[CredentialSource], request: ProofRequest) -> Proof | None:
    """The proof of the first source that has one."""
    for source in sources:
        proof = source.proof(request)
        if proof is not None:
            return proof
    return None


def default_sources() -> tuple[CredentialSource, ...]:
    """Where an agent without an explicit credential looks, in this order."""
    return (KeyFileFromEnvironment(), KeyFileInConfigFolder())


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A private key in a PEM file, which nobody but its owner may read.

    The proof is a `private_key_jwt` assertion (RFC 7523 §3) for the authority's issuer and nobody else (§3, item 3),
    used once. The file is read anew each time, so that a key can be replaced while the agent runs.
    """

    path: str | Path
    found_by: str = "AuthSecClient(credential=…)"

    def proof(self, request: ProofRequest) -> Proof | None:
        key = _private_key(Path(self.path))
        assertion = _private_key_jwt(key, request)
        return Proof(authorization=f"Bearer {assertion}", source=f"key file {self.path} ({self.found_by})")

    def looked_at(self, client_id: str) -> str:  # noqa: ARG002 - the same file for every agent
        return f"the key file {self.path}"


@dataclass(frozen=True, slots=True)
class KeyFileFromEnvironment:
    """The file that `AUTHSEC_AGENT_KEY_FILE` names."""

    def proof(self, request: ProofRequest) -> Proof | None:
        path = os.environ.get("AUTHSEC_AGENT_KEY_FILE", "").strip()
        return KeyFile(path, found_by="AUTHSEC_AGENT_KEY_FILE").proof(request) if path else None

    def looked_at(self, client_id: str) -> str:  # noqa: ARG002 - the same variable for every agent
        return "AUTHSEC_AGENT_KEY_FILE (not set)"


@dataclass(frozen=True, slots=True)
class KeyFileInConfigFolder:
    """`$XDG_CONFIG_HOME/authsec/keys/<client_id>.pem`, by default below `~/.config`."""

    def proof(self, request: ProofRequest) -> Proof | None:
        path = self._path(request.client_id)
        return KeyFile(path, found_by="found by the agent's id").proof(request) if path.exists() else None

    def looked_at(self, client_id: str) -> str:
        return f"{self._path(client_id)} (no such file)"

    def _path(self, client_id: str) -> Path:
        folder = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        return Path(folder, "authsec", "keys", f"{client_id}.pem")


def _private_key(path: Path) -> PrivateKey:
    try:
        from authsec.jose import JoseError, PrivateKey
    except ImportError:
        raise _broken(f"Proving itself with a key needs packages that are not installed. {HOW_TO_INSTALL}") from None
    try:
        return PrivateKey.from_pem(_read_private(path))
    except JoseError as error:
        raise _broken(f"The key file {path} cannot be used: {error}.") from None


def _read_private(path: Path) -> bytes:
    """The file's content, after the opened file itself (not its name, which may be swapped) was looked at."""
    try:
        with path.open("rb") as file:
            status, content = os.fstat(file.fileno()), file.read(_LARGEST_KEY_FILE)
            if _is_public_half(path, content):
                raise _broken(
                    f"{path} is the public half of a key pair, which is for the authority and proves nothing. "
                    "Name the file with the private half."
                )
            if os.name == "posix" and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise _broken(
                    f"The key file {path} may be opened by other users of this machine, so it proves nothing. "
                    f"Add:\n    chmod 600 {path}"
                )
            return content
    except FileNotFoundError:
        raise _broken(
            f"There is no file {path}; is the path right? (A new key would have to be registered first.)"
        ) from None
    except OSError as error:
        raise _broken(f"The key file {path} cannot be read: {error.strerror}.") from None


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


def _broken(message: str) -> ConfigError:
    return ConfigError(message, reason="credential_broken")
