"""The commands that install the optional dependencies of this package, for error messages.

Each command installs from a path and never by name: on the public index, packages with similar names belong
to other people.
"""

from __future__ import annotations

from typing import Final

HOW_TO_INSTALL: Final = 'In a clone of AuthSec, run:\n    pip install "./packages/authsec[key,verify]"'
HOW_TO_INSTALL_SPIFFE: Final = 'In a clone of AuthSec, run:\n    pip install "./packages/authsec[spiffe]"'
HOW_TO_INSTALL_VERIFY_SERVER: Final = 'In a clone of AuthSec, run:\n    pip install "./packages/authsec[verify-server]"'
