"""In place of a worker of `authsec serve --workers`: it starts at once, and does what `STUB` says.

It imports nothing of the server, which takes a second. The first argument is its number, the third its socket.
"""

from __future__ import annotations

import os
import socket
import sys
import time

READY, DRAIN = b"R", b"D"


def say(line: str) -> None:
    """Write the line in one call: another worker writes to the same file, and `print` may write the end by itself."""
    os.write(1, f"{line}\n".encode())


def main(number: str, _listener: str, control: str) -> None:
    with socket.socket(fileno=int(control)) as supervisor:
        say(f"started {number}")
        how = os.environ["STUB"]
        if how == "ends" and number == "2":
            sys.exit(4)  # before it has read anything, which the supervisor sees as a reset
        supervisor.recv(65_536)  # number and options
        if how == "cannot start":
            sys.exit(3)
        if how == "ends early":
            return
        supervisor.sendall(READY)
        while said := supervisor.recv(1):
            say(f"told {said.decode()}")
            if how in {"obeys", "silent"} or (how == "drains long" and said != DRAIN):
                return
        time.sleep(60)


if __name__ == "__main__":
    main(*sys.argv[1:])
