"""The server as a FastCGI authorizer, for Apache (mod_authnz_fcgi).

The module implements the part of FastCGI 1.0 (§3, §6.3) that an authorizer needs: one request per connection,
without a body. The request arrives as CGI variables. Apache's configuration sets one of these variables to
the required actions. The answer is sent as CGI headers.
"""

from __future__ import annotations

import asyncio
import json
import logging
import struct
from collections.abc import Iterator, Mapping
from enum import IntEnum
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from authsec.gate import Response
from authsec.verifier import VerifiedToken
from authsec.verify_server.decision import REFUSAL, Gates, Misconfigured, path_of
from authsec.verify_server.identity_headers import identity_headers

if TYPE_CHECKING:
    from authsec.verifier import DpopRequest

_log = logging.getLogger("authsec.verify_server")

VARIABLE: Final = "AUTHSEC_VERIFY"
"""The variable with the required actions. No request header can set it: header variables begin with HTTP_."""

_HEADER: Final = struct.Struct("!BBHHBx")  # version, type, request id, content length, padding length
_AUTHORIZER: Final = 2
_UNKNOWN_ROLE: Final = 3
_MOST_BYTES: Final = 256 * 1024  # bytes of all variables
_SECONDS: Final = 30.0  # seconds for one complete request
_MOST_BYTES_OF_ANSWER: Final = 8_000  # bytes; Apache accepts 8,192, for one header or for a whole refusal
_PLAIN: Final = [("content-type", "application/json"), ("cache-control", "no-store")]
_MOST_OF_ONE_THING: Final = 1_000  # bytes of each part of a shortened refusal
_LEFT_OUT: Final = "This part is too long for Apache; see the reason."


class _Record(IntEnum):
    BEGIN = 1
    END = 3
    PARAMS = 4
    STDOUT = 6


class BadRecord(Exception):
    """The record is not part of a valid request to an authorizer."""


class FastCgi:
    """A FastCGI server. Pass `serve` to `asyncio.start_server`."""

    def __init__(self, gates: Gates) -> None:
        self._gates = gates

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the one request of a connection."""
        try:
            async with asyncio.timeout(_SECONDS):
                await self._answer(reader, writer)
        except (BadRecord, OSError, EOFError, TimeoutError) as error:  # Apache then answers 500
            _log.warning("a FastCGI request was aborted: %s", error or type(error).__name__)
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kind, request, content = await _read(reader)
        if kind != _Record.BEGIN or len(content) != 8:
            raise BadRecord("it does not begin like a request")
        if int.from_bytes(content[:2]) != _AUTHORIZER:
            writer.write(_record(_Record.END, request, bytes([0, 0, 0, 0, _UNKNOWN_ROLE, 0, 0, 0])))
            raise BadRecord("it is for another role than authorizer")
        variables = dict(_pairs(await _parameters(reader, request)))
        answer = _cgi(await self._decide(variables), self._gates)
        # One piece, because Apache reads a refusal's body only together with the headers.
        records = [_record(_Record.STDOUT, request, part) for part in _parts(answer)]
        writer.write(b"".join([*records, _record(_Record.STDOUT, request), _record(_Record.END, request, bytes(8))]))
        await writer.drain()

    async def _decide(self, variables: dict[str, str]) -> VerifiedToken | Response:
        if VARIABLE not in variables:
            missing = Misconfigured(f"Apache did not send {VARIABLE}, which names the required actions")
            return self._gates.misconfigured(missing, variables.get("REQUEST_URI", ""))
        # The web server has joined several headers with commas (RFC 3875 §4.1.18).
        authorizations = [variables["HTTP_AUTHORIZATION"]] if "HTTP_AUTHORIZATION" in variables else []
        target = variables.get("REQUEST_URI", "")
        return await self._gates.decide(variables[VARIABLE], authorizations, partial(_described, variables), target)


def _described(variables: Mapping[str, str], _: str | None) -> DpopRequest:
    """Return the caller's request from the variables of CGI (RFC 3875 §4.1). Raises `Misconfigured`.

    No header of the caller can set them: the variables of headers begin with HTTP_.
    """
    from authsec.verifier.key_binding import DpopRequest  # only servers with --dpop-origin wait for the import

    if "REQUEST_METHOD" not in variables or "REQUEST_URI" not in variables:
        raise Misconfigured("for a token by the scheme DPoP, Apache must send REQUEST_METHOD and REQUEST_URI")
    proofs = [variables["HTTP_DPOP"]] if "HTTP_DPOP" in variables else []
    return DpopRequest(method=variables["REQUEST_METHOD"], path=path_of(variables["REQUEST_URI"]), proofs=proofs)


async def _read(reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
    version, kind, request, length, padding = _HEADER.unpack(await reader.readexactly(_HEADER.size))
    if version != 1:
        raise BadRecord("it is not FastCGI 1")
    content = await reader.readexactly(length)
    await reader.readexactly(padding)
    return kind, request, content


async def _parameters(reader: asyncio.StreamReader, request: int) -> bytes:
    """Read the stream of variables. An empty record ends the stream. Raises `BadRecord`."""
    found = bytearray()
    while True:
        kind, of, content = await _read(reader)
        if kind != _Record.PARAMS or of != request:
            raise BadRecord("its variables are interrupted by another record")
        if not content:
            return bytes(found)
        found += content
        if len(found) > _MOST_BYTES:
            raise BadRecord(f"it has more than {_MOST_BYTES} bytes of variables")


def _pairs(stream: bytes) -> Iterator[tuple[str, str]]:
    """Yield the names and values of the variables. Raises `BadRecord`.

    In the stream, the lengths of a name and its value come before both texts.
    """
    at = 0
    while at < len(stream):
        name, at = _length(stream, at)
        value, at = _length(stream, at)
        if at + name + value > len(stream):
            raise BadRecord("its variables are incomplete")
        yield stream[at : at + name].decode("latin-1"), stream[at + name : at + name + value].decode("latin-1")
        at += name + value


def _length(stream: bytes, at: int) -> tuple[int, int]:
    """Read a length at the offset `at`. Return the length and the next offset. Raises `BadRecord`.

    The length has one byte, or four bytes if the first bit is set.
    """
    size = 4 if at < len(stream) and stream[at] & 0x80 else 1
    if at + size > len(stream):
        raise BadRecord("its variables are incomplete")
    return int.from_bytes(stream[at : at + size]) & 0x7FFF_FFFF, at + size


def _cgi(decided: VerifiedToken | Response, gates: Gates) -> bytes:
    """Format the answer as CGI.

    Apache turns headers that start with `Variable-` into variables. Apache sends the headers of a refusal to the
    caller.
    """
    if isinstance(decided, Response):
        refused = _refusal(decided)
        return refused if len(refused) <= _MOST_BYTES_OF_ANSWER else _refusal(_shortened(decided))
    lines = [(f"Variable-{name.upper().replace('-', '_')}", value) for name, value in identity_headers(decided)]
    if max(len(value) for _, value in lines) > _MOST_BYTES_OF_ANSWER:
        # Apache would cut the header, perhaps in the middle of an action.
        mistake = Misconfigured("a token has too many actions or delegations for a header of Apache")
        return _cgi(gates.misconfigured(mistake), gates)
    return _lines(200, lines)


def _refusal(answer: Response) -> bytes:
    headers = [(name, value) for name, value in answer.headers if name != REFUSAL]  # Apache reads the body
    return _lines(answer.status, [*headers, *_PLAIN]) + answer.content


def _shortened(answer: Response) -> Response:
    """Return the refusal without its long parts, such as the list of all granted actions."""
    told = {name: answer.body[name] for name in ("error", "reason", "details", "retryable")}
    body = {name: value if len(json.dumps(value)) <= _MOST_OF_ONE_THING else _LEFT_OUT for name, value in told.items()}
    headers = tuple((name, value) for name, value in answer.headers if len(value) <= _MOST_OF_ONE_THING)
    return Response(status=answer.status, headers=headers, body=body)


def _lines(status: int, headers: list[tuple[str, str]]) -> bytes:
    lines = [f"Status: {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _parts(content: bytes) -> Iterator[bytes]:
    for at in range(0, len(content), 0xFFF8):
        yield content[at : at + 0xFFF8]


def _record(kind: int, request: int, content: bytes = b"") -> bytes:
    return _HEADER.pack(1, kind, request, len(content), 0) + content
