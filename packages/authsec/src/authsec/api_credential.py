"""The format of an API credential. An API authenticates with this credential to introspect tokens.

The format is `authsec_api_` and 256 random bits in base64url. Secret scanners find a credential by the
prefix.
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
    """Return the credential in the form that an API sends."""
    return "authsec_api_" + urlsafe_b64encode(secret).rstrip(b"=").decode()


def is_api_credential(text: str) -> bool:
    """Whether `text` has the format of an API credential.

    No admin key, client secret or token has this format.
    """
    return _FORM.fullmatch(text) is not None


def read_credential(given: str | None) -> str | None:
    """Return `given`, or else the API credential in the environment, or None. Raises `ConfigError`."""
    text = (os.environ.get(VARIABLE, "") if given is None else given).strip()
    if not text and given is None:
        return None
    if not is_api_credential(text):  # The error does not quote `text`, because `text` may be another secret.
        raise ConfigError(
            f"credential (or {VARIABLE}) is not an API's credential, which is authsec_api_ and 43 "
            "characters. `authsec apis create-credential API` creates a credential and shows it once",
            reason="credential_invalid",
        )
    return text
