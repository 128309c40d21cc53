"""How to install the optional dependencies of this package, for error messages.

Each line installs from a path, never by name: on the public index, other people own packages with similar
names.
"""

from __future__ import annotations

from typing import Final

HOW_TO_INSTALL: Final = 'In a clone of AuthSec, run:\n    pip install "./packages/authsec[key,verify]"'
HOW_TO_INSTALL_SPIFFE: Final = 'In a clone of AuthSec, run:\n    pip install "./packages/authsec[spiffe]"'
HOW_TO_INSTALL_VERIFY_SERVER: Final = 'In a clone of AuthSec, run:\n    pip install "./packages/authsec[verify-server]"'
