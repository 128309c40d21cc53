"""Run the command `authsec` of this Python interpreter: `python -m authsec`.

Another program named `authsec` may come first on the PATH. This form never runs that program.
"""

from __future__ import annotations

from authsec.cli import main

main()
