"""What a shell starts as `authsec`: hands its arguments, variables and files to the server, and waits for the end.

It imports from the standard library alone, and as little as it can.
"""

import array
import json
import os
import signal
import socket
import sys
import threading

SIGNALS = {signal.SIGINT, signal.SIGTERM}
signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until they can be passed on
address, *command = sys.argv[1:]
connection = socket.socket(socket.AF_UNIX)
connection.connect(address)
request = json.dumps({"command": command, "folder": os.getcwd(), "variables": dict(os.environ)}).encode()
files = array.array("i", [0, 1, 2])
connection.sendmsg([len(request).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
connection.sendall(request)
answers = connection.makefile("rb")
pid = int(answers.readline())


def pass_signals_on() -> None:
    """Wait for signals. A handler would not run while the main thread waits, if its signal came just before."""
    while True:
        os.kill(pid, signal.sigwait(SIGNALS))


threading.Thread(target=pass_signals_on, daemon=True).start()
status = int(answers.readline() or 1)
sys.exit(status if status >= 0 else 128 - status)
