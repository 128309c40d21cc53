"""Making an agent's key pair, as two files."""

from __future__ import annotations

import os
from pathlib import Path

from authsec.errors import ConfigError
from authsec.extras import HOW_TO_INSTALL


def write_key_pair(path: Path, kind: str) -> Path:
    """Write a new private key of `kind` (`ed25519` or `rsa`) to `path`, for its owner only, and its public half beside.

    Returns the path of the public half. Raises `ConfigError` if either file is there already or cannot be written.
    """
    try:
        from authsec.jose import PrivateKey
    except ImportError:
        raise ConfigError(
            f"Making a key needs packages that are not installed. {HOW_TO_INSTALL}", reason="extra_missing"
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
    """O_EXCL: never over a key that is in use, nor through a link that somebody laid there."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except FileExistsError:
        raise ConfigError(
            f"{path} exists already, and a key that is in use is not overwritten. Give another name.",
            reason="file_exists",
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}. Name a file in a folder that is there and yours to write in.",
            reason="file_not_writable",
        ) from None
