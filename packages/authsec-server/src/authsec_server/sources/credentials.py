"""The files with which clusters are asked: in one folder that the operator keeps for them, read anew at each use.

An administrator says which cluster is asked, and so where a file's content is sent. So they can name files of that
folder only, and of those none goes out that does not look like a token: a private key has many lines.
"""

from __future__ import annotations

import re
from pathlib import Path

MAX_BYTES = 16_384
_TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 section 2.1


class CredentialsUnusable(Exception):
    """Why there is nothing to ask with, in a clause for an operator; never what the file holds."""


def read_credentials(folder: Path | None, name: str) -> str:
    """The bearer token (RFC 6750) in that file. Whoever renews it only has to write it: nothing is kept here.

    Links within the folder are followed: Kubernetes mounts every token as one. Raises `CredentialsUnusable`.
    """
    if folder is None:
        raise CredentialsUnusable("AUTHSEC_SERVER_CREDENTIALS_DIR names no folder of credentials")
    if name != Path(name).name or name.startswith("."):  # whatever the database says
        raise CredentialsUnusable("what is registered is no name of a file")
    try:
        if not (folder / name).is_file():
            raise CredentialsUnusable(f"the folder of credentials has no file {name}")
        with (folder / name).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise CredentialsUnusable(f"the file {name} cannot be read: {error.strerror}") from None
    token = data.strip(b" \t\r\n")
    if len(data) > MAX_BYTES or not _TOKEN.fullmatch(token):
        raise CredentialsUnusable(
            f"the file {name} does not hold one token on one line of at most {MAX_BYTES} bytes, and was not sent"
        )
    return token.decode("ascii")
