"""The address on which the server listens: a host and port, or a Unix socket."""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, Self

from authsec.config import is_loopback
from authsec.errors import ConfigError

_ADDRESS: Final = re.compile(r"(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>\d{1,5})")
_UNIX: Final = "unix:"
_BACKLOG: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenAddress:
    """A `host` and `port`, or the `path` of a Unix socket. For a Unix socket, `host` is empty."""

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def read(cls, text: str, *, beyond_loopback: bool) -> Self:
        """Parse `127.0.0.1:8094`, `[::1]:8094` or `unix:/run/authsec.sock`. Raises `ConfigError`.

        With port 0, the system chooses a free port. A host that other machines can reach needs `beyond_loopback`.
        """
        if text.startswith(_UNIX):
            path = text.removeprefix(_UNIX)
            if not hasattr(socket, "AF_UNIX"):
                raise _invalid("This machine has no Unix sockets: write 127.0.0.1:8094.")
            if not os.path.isabs(path):
                raise _invalid(f"{text!r} has no file name: write a Unix socket as unix:/run/authsec.sock.")
            return cls(path=path)
        found = _ADDRESS.fullmatch(text)
        if found is None or int(found["port"]) > 65_535:
            raise _invalid(
                f"{text!r} is not a valid address: write 127.0.0.1:8094, [::1]:8094 or unix:/run/authsec.sock."
            )
        host = found["host"].strip("[]")
        if not beyond_loopback and not is_loopback(host):
            raise ConfigError(
                f"{host} can be reached from other machines, and proxies would send tokens there unencrypted. "
                "Listen on 127.0.0.1 or on a Unix socket. If you control the network to the proxy (for example "
                "between containers), add:\n    --beyond-loopback",
                reason="listen_beyond_loopback",
            )
        return cls(host=host, port=int(found["port"]))

    @classmethod
    def read_port(cls, text: str, *, beyond_loopback: bool) -> Self:
        """Parse a host and port, and refuse a Unix socket. Raises `ConfigError`.

        Apache cannot call a FastCGI authorizer over a Unix socket.
        """
        if text.startswith(_UNIX):
            raise _invalid("Apache needs a port: write 127.0.0.1:8095.")
        return cls.read(text, beyond_loopback=beyond_loopback)

    @contextmanager
    def listening(self) -> Iterator[socket.socket]:
        """Listen until the `with` block ends, then remove the file of a Unix socket.

        Raises `ConfigError` if the server cannot listen on the address.
        """
        try:
            listener = self._open()
        except OSError as error:
            raise ConfigError(
                f"Cannot listen on {self}: {os.strerror(error.errno or 0)}. Stop the program that uses it, or "
                "choose another address.",
                reason="listen_failed",
            ) from None
        with listener:
            try:
                yield listener
            finally:
                if self.path:
                    with suppress(FileNotFoundError):  # Another program has deleted the file.
                        os.unlink(self.path)

    def _open(self) -> socket.socket:
        if not self.path:
            family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
            return socket.create_server((self.host, self.port), family=family, backlog=_BACKLOG)
        _remove_left_over(self.path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(self.path)
            # The proxy runs as another user. The folder's permissions decide who can connect.
            os.chmod(self.path, 0o666)  # noqa: S103 - a loopback port also admits every user of this machine
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
        return listener

    def __str__(self) -> str:
        if self.path:
            return f"{_UNIX}{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address_of(listener: socket.socket) -> ListenAddress:
    """Return the address on which the socket listens, with the actual port if port 0 was set."""
    name = listener.getsockname()
    return ListenAddress(path=name) if isinstance(name, str) else ListenAddress(host=name[0], port=name[1])


def _remove_left_over(path: str) -> None:
    """Remove the Unix socket that a killed server left behind.

    A socket in use remains, and so does any other kind of file.
    """
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
    except FileNotFoundError:
        return  # There is no old socket.
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)


def _invalid(message: str) -> ConfigError:
    return ConfigError(message, reason="listen_invalid")
