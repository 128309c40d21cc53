"""`python -m authsec`: the command `authsec` of this interpreter, whatever else has that name on the PATH."""

from __future__ import annotations

from authsec.cli import main

main()
