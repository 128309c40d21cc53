"""Write an agent's key pair to two files."""

from __future__ import annotations

import os
from pathlib import Path

from authsec.errors import ConfigError
from authsec.extras import HOW_TO_INSTALL


def write_key_pair(path: Path, kind: str) -> Path:
    """Write a new private key of `kind` (`ed25519` or `rsa`) to `path`, and its public key next to it.

    Only the owner may read the private key. Returns the path of the public key. Raises `ConfigError` if one of
    the files exists or cannot be written.
    """
    try:
        from authsec.jose import PrivateKey
    except ImportError:
        raise ConfigError(
            f"Creating a key needs packages that are not installed. {HOW_TO_INSTALL}", reason="extra_missing"
        ) from None
    public_path = path.with_name(f"{path.name}.pub")
    key = PrivateKey.generate_rsa() if kind == "rsa" else PrivateKey.generate_ed25519()
    _write_new(public_path, key.public.to_pem(), mode=0o644)
    try:
        _write_new(path, key.to_pem(), mode=0o600)
    except ConfigError:
        public_path.unlink()
        raise
    return public_path


def _write_new(path: Path, content: bytes, *, mode: int) -> None:
    """Write a new file. Refuse to overwrite a file that exists.

    The flag O_EXCL protects a key that is in use. With this flag, the call also does not follow a link that an
    attacker placed at the path.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except FileExistsError:
        raise ConfigError(
            f"{path} already exists, and keys are not overwritten. Choose another name.",
            reason="file_exists",
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}. Name a file in an existing folder that you can write to.",
            reason="file_not_writable",
        ) from None
