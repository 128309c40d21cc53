"""The program of a worker: `python -m authsec_server.cli.worker_process NUMBER LISTENER CONTROL` (two descriptors).

`supervisor` starts it. The number is there for `ps`.
"""

from __future__ import annotations

import signal
import socket
import sys

from authsec_server.cli.worker import Worker, read_start


def main() -> None:
    """Serve until the supervisor says otherwise, or has ended."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback while the modules are imported
    listener, control = (socket.socket(fileno=int(each)) for each in sys.argv[2:4])
    try:
        start = read_start(control)
    except (EOFError, OSError):
        return  # the supervisor has ended
    worker = Worker(start, listener, control)
    worker.watch()
    # Not before: the supervisor may end meanwhile.
    from authsec_server.cli.output import say_failed
    from authsec_server.cli.server_process import run
    from authsec_server.failures import Failure
    from authsec_server.settings import load_settings

    try:
        run(load_settings(**start.options), worker)
    except Failure as failure:
        say_failed(failure.message, failure.remedy)
        sys.exit(1)


if __name__ == "__main__":
    main()
