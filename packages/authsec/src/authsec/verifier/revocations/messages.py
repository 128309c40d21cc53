"""The `batch` messages in a stream of server-sent events. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from authsec.verifier.documents import DocumentRefused


class Messages:
    """Cuts a stream of octets into messages, none of which may be longer than `most_bytes`.

    Of HTML §9.2.6 it knows what an authority sends: lines that end in LF or CR LF. Other events, ids and comments are
    passed over.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._rest = b""
        self._event = b""
        self._data: list[bytes] = []
        self._length = 0

    def split(self, piece: bytes) -> Iterator[bytes]:
        """The data of each message that `piece` completes."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            if message := self._line(line.removesuffix(b"\r")):
                yield message
        if self._length + len(self._rest) > self._most:
            raise DocumentRefused(f"a message of the feed is larger than {self._most} bytes")

    def _line(self, line: bytes) -> bytes | None:
        if not line:
            event, data = self._event, b"\n".join(self._data)
            self._event, self._data, self._length = b"", [], 0
            return data if event == b"batch" else None
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"event":
            self._event = value
        elif name == b"data":
            self._data.append(value)
            self._length += len(value)
        return None
