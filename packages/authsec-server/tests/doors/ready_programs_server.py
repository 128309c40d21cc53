"""What `ready_programs` forks: a server that forks a program for each client, and is itself what it forks from.

A child returns from `program_of_a_client` and runs the program; the server and its witnesses never return.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

# What takes long to import, and which program needs it: the server imports it before the first run of that program.
NEEDS: Final = {
    "autogen_conversation.py": ("autogen", "openai", "requests", "authsec_autogen"),
    "demo": ("autogen", "openai", "authsec_autogen", "authsec_demo.cli"),
    "uvicorn": ("uvicorn.main", "fastapi", "authsec.fastapi"),
}


def program_of_a_client(address: str) -> dict[str, Any]:
    """Serve for ever; in a child, the request of its client, whose files are this process's 0, 1 and 2."""
    os.setsid()  # so that whoever ends the server ends all programs
    listening = socket.socket(socket.AF_UNIX)
    beside = f"{address}.new"
    listening.bind(beside)
    listening.listen(64)
    Path(beside).rename(address)  # whoever sees the address can connect
    while True:
        connection, _ = listening.accept()
        _forget_the_ended()
        length, files, *_ = socket.recv_fds(connection, 4, 3)
        request: dict[str, Any] = json.loads(_read(connection, int.from_bytes(length, "big")))
        for word in request["command"][:2]:
            for module in NEEDS.get(Path(word).name, ()):
                importlib.import_module(module)
        if os.fork() == 0:
            listening.close()
            if (pid := os.fork()) == 0:
                connection.close()
                _take(files)
                return request
            _witness(connection, files, pid)
        connection.close()
        for each in files:
            os.close(each)


def _forget_the_ended() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _read(connection: socket.socket, length: int) -> bytes:
    read = b""
    while len(read) < length:
        read += connection.recv(length - len(read))
    return read


def _take(files: list[int]) -> None:
    for number, each in enumerate(files):
        os.dup2(each, number)
        os.close(each)
    # As an interpreter opens them; those of the server are of its log file.
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - likewise
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115 - likewise


def _witness(connection: socket.socket, files: list[int], pid: int) -> None:
    """Tell the client its program, and how it ended."""
    for each in files:  # else whoever reads from the program would wait for this process
        os.close(each)
    for number in range(3):
        os.close(number)
    connection.sendall(f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def run(request: dict[str, Any], programs: Path) -> None:
    """Be the program."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["variables"])
    os.chdir(request["folder"])
    tempfile.tempdir = None  # found anew, with these variables
    name, *words = request["command"]
    if name != "python":
        sys.argv = [str(programs / name), *words]
        runpy.run_path(sys.argv[0], run_name="__main__")
    elif words[0] in {"-", "-c"}:
        code = sys.stdin.read() if words[0] == "-" else words.pop(1)
        sys.argv = words
        exec(code, {"__name__": "__main__"})  # noqa: S102 - the commands of our own pages
    else:
        sys.argv = words
        sys.path.insert(0, str(Path(words[0]).resolve().parent))
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    run(program_of_a_client(sys.argv[1]), Path(sys.argv[2]))
