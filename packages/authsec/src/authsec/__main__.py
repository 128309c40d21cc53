"""Run the command `authsec` of this interpreter: `python -m authsec`.

The PATH may have another program with the name `authsec`; this form never runs that program.
"""

from __future__ import annotations

from authsec.cli import main

main()
