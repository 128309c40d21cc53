"""The program of one run of the scheduled retention. The server that claimed the run starts it.

The settings come over the standard input: the environment and the arguments of a process can be read by others.
"""

from __future__ import annotations

import signal
import sys

from authsec_server.app.lifecycle import open_authority
from authsec_server.app.retention_task import retention_of
from authsec_server.app.runtime import Runtime
from authsec_server.failures import Failure
from authsec_server.principal import THE_SERVER, Act
from authsec_server.settings import Settings


def main(text: str) -> int:
    """Do the run with these settings (JSON). Return the exit status: 0 if what it did is saved in the database."""
    settings, around = Settings.model_validate_json(text), Runtime()
    try:
        with open_authority(settings, local_operator=True, pages=False) as authority:
            retention = retention_of(settings, authority.database, authority.dropper, around.now)
            if retention is None or authority.comparison.problem:
                return 1
            act = Act(principal=THE_SERVER, now=around.now(), request_id="", address="", token_bytes=around.token_bytes)
            retention.run(act)
    except Failure as failure:
        sys.stderr.write(f"{failure.message}\n")
        return 1
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all processes; the server ends this one
    sys.exit(main(sys.stdin.read()))
