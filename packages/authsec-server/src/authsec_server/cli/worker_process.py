"""The program of a worker: `python -m authsec_server.cli.worker_process NUMBER LISTENER CONTROL [METRICS]`.

The module `supervisor` starts this program. LISTENER and CONTROL are file descriptors. METRICS is the descriptor of the
memory in which the worker counts. Without METRICS, nobody reads its counts.
"""

from __future__ import annotations

import signal
import socket
import sys

from authsec_server.cli.worker import Worker, read_start
from authsec_server.metrics.catalogue import PROCESS
from authsec_server.metrics.memory import SharedMemory


def main() -> None:
    """Serve until the supervisor sends an end message or exits."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback while the modules are imported
    listener, control = (socket.socket(fileno=int(each)) for each in sys.argv[2:4])
    for descriptor in sys.argv[4:]:
        # At once: until then, the supervisor reads the values of the last worker with this number.
        PROCESS.attach(SharedMemory(int(descriptor)).process(int(sys.argv[1])))
    try:
        start = read_start(control)
    except (EOFError, OSError):
        return  # the supervisor has ended
    worker = Worker(start, listener, control)
    worker.watch()
    # Import after `watch`, because the imports take time and the supervisor may end meanwhile.
    from authsec_server.cli.logs import say_refused
    from authsec_server.cli.server_process import run
    from authsec_server.failures import Failure
    from authsec_server.settings import load_settings

    log_format = ""
    try:
        settings = load_settings(**start.options)
        log_format = settings.log_format
        run(settings, worker)
    except Failure as failure:
        say_refused(log_format, failure)
        sys.exit(1)


if __name__ == "__main__":
    main()
