"""The optional dependencies of this package, for messages about one that is missing.

The line is a path, never a name: the public index has packages of other people under names like ours.
"""

from __future__ import annotations

from typing import Final

HOW_TO_INSTALL: Final = 'In a clone of AuthSec, run:\n    pip install "./packages/authsec[key,verify]"'
HOW_TO_INSTALL_SPIFFE: Final = 'In a clone of AuthSec, run:\n    pip install "./packages/authsec[spiffe]"'
HOW_TO_INSTALL_VERIFY_SERVER: Final = 'In a clone of AuthSec, run:\n    pip install "./packages/authsec[verify-server]"'
