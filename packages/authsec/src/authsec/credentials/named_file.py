"""The file that a variable or a program names, unless the secret itself stands where the name of its file belongs.

It happens to whoever is in a hurry, and a path is quoted in messages: "There is no file …". So what may be a secret is
never taken for a path.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from authsec.credentials.source import broken
from authsec.errors import ConfigError

# A JWT begins with `{"` in base64url; no file system has a name of more than 255 bytes.
_SECRET: Final = re.compile(r"eyJ[\w-]*\.[\w-]*\.|-----BEGIN|authsec_cs_|[^/\\]{256}|[\r\n]")


def file_named_by(variable: str) -> str | ConfigError:
    """The path in the variable, empty if not set; or what to raise, from a frame that does not hold the secret."""
    named = os.environ.get(variable, "").strip()
    return pasted(variable) if is_a_secret(named) else named


def nothing_there(path: Path, found_by: str) -> str:
    """What is said of a file that is not there, and who names it: the variable may be set far from the program."""
    named = f", which {found_by} names" if found_by.startswith("AUTHSEC_") else ""
    return f"There is no file {path}{named}; is the path right"


def is_a_secret(path: str | Path) -> bool:
    """Whether this may be a token or a key, and is no name of a file in any case."""
    return _SECRET.search(str(path)) is not None


def pasted(found_by: str) -> ConfigError:
    """What to raise where a secret was given as the name of its file."""
    return broken(
        f"{found_by} must name the file that holds the token or key, and seems to hold the secret itself. Write it to "
        "a file that only this user can read, and name that file. Whoever saw it where it stood can use it: replace it."
    )
