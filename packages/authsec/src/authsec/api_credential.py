"""The form of an API's credential, by which the authority identifies the API that introspects tokens. Pure.

`authsec_api_` and 256 random bits in base64url: whoever scans repositories and logs finds one by its prefix.
"""

from __future__ import annotations

import os
import re
from base64 import urlsafe_b64encode
from typing import Final

from authsec.errors import ConfigError

CREDENTIAL_BYTES: Final = 32
VARIABLE: Final = "AUTHSEC_API_CREDENTIAL"
_FORM: Final = re.compile(r"authsec_api_[A-Za-z0-9_-]{43}")


def text_of(secret: bytes) -> str:
    """The credential as an API sends it."""
    return "authsec_api_" + urlsafe_b64encode(secret).rstrip(b"=").decode()


def is_api_credential(text: str) -> bool:
    """Whether it has the form. Neither an admin key nor a client secret nor a token has."""
    return _FORM.fullmatch(text) is not None


def read_credential(given: str | None) -> str | None:
    """The credential that was given, or that the environment has; None for none. Raises `ConfigError`."""
    text = (os.environ.get(VARIABLE, "") if given is None else given).strip()
    if not text and given is None:
        return None
    if not is_api_credential(text):  # never quoted: it may be another secret, pasted in the wrong place
        raise ConfigError(
            f"credential (or {VARIABLE}) is not an API's credential: that is authsec_api_ and 43 characters, as "
            "`authsec apis create-credential API` shows it once",
            reason="credential_invalid",
        )
    return text
