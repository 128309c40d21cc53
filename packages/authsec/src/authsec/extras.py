"""The commands that install the optional dependencies of this package, for error messages.

No command installs by name: on the public index, packages with similar names belong to other people. The console of
the authority shows a command with the URLs of its wheels. In a clone, a command names a path.
"""

from __future__ import annotations

from typing import Final

_HOW: Final = (
    "In the install command of your authority's console (Connect), write authsec{extra}. In a clone of AuthSec, run:\n"
    '    pip install "./packages/authsec{extra}"'
)
HOW_TO_INSTALL: Final = _HOW.format(extra="[key,verify]")
HOW_TO_INSTALL_SPIFFE: Final = _HOW.format(extra="[spiffe]")
HOW_TO_INSTALL_VERIFY_SERVER: Final = _HOW.format(extra="[verify-server]")
