"""A TCP proxy before the PostgreSQL of the tests that stops forwarding and keeps every socket open."""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import suppress
from typing import Self

from sqlalchemy import URL, make_url


class SilentProxy:
    """Forwards from loopback to the database of `url`. While it is silent it still accepts connections."""

    def __init__(self, url: str) -> None:
        self._target = make_url(url)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._selector = selectors.DefaultSelector()
        self._peers: dict[socket.socket, socket.socket] = {}
        self._forwards = threading.Event()
        self._forwards.set()
        self._answers = True
        self._over = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        """The URL of the same database by way of this proxy."""
        there = self._target
        here = URL.create(
            there.drivername,
            there.username,
            there.password,
            "127.0.0.1",
            self._listener.getsockname()[1],
            there.database,
            {"sslmode": "disable", "gssencmode": "disable"},
        )
        return here.render_as_string(hide_password=False)

    def __enter__(self) -> Self:
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._forwards.set()
        self._thread.join(10)
        for each in [*self._peers, self._listener]:
            each.close()

    def fall_silent(self) -> None:
        """Forward nothing any more; the kernel goes on acknowledging what is sent."""
        self._forwards.clear()

    def forward(self) -> None:
        """Forward again, first what was sent meanwhile."""
        self._answers = True
        self._forwards.set()

    def keep_answers(self) -> None:
        """Forward what is sent to PostgreSQL, and none of its answers."""
        self._answers = False
        for each in self._peers:
            if each.family == socket.AF_UNIX:
                self._selector.unregister(each)

    def forget_connections(self) -> None:
        """Never forward anything on the connections that there are, and do not close them either."""
        for each in self._peers:
            with suppress(KeyError):
                self._selector.unregister(each)

    def _run(self) -> None:
        while not self._over:
            for key, _ in self._selector.select(0.05):
                self._forwards.wait()
                with suppress(OSError):
                    self._accept() if key.fileobj is self._listener else self._pass_on(key.fileobj)  # type: ignore[arg-type] # a socket
            self._forwards.wait()

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        far = self._connect()
        for one, other in ((near, far), (far, near)):
            self._peers[one] = other
            if one is near or self._answers:
                self._selector.register(one, selectors.EVENT_READ)

    def _connect(self) -> socket.socket:
        host, port = str(self._target.query["host"]), self._target.port or 5432
        far = socket.socket(socket.AF_UNIX)
        far.connect(f"{host}/.s.PGSQL.{port}")
        return far

    def _pass_on(self, one: socket.socket) -> None:
        if one not in self._peers:  # closed a moment ago, with its peer
            return
        other = self._peers[one]
        data = b""
        with suppress(OSError):
            data = one.recv(65_536)
        if data:
            other.sendall(data)
            return
        for each in (one, other):
            with suppress(KeyError):
                self._selector.unregister(each)
            del self._peers[each]
            each.close()
