"""The program of a signing process: read signing inputs from a socket, and write the signatures.

The type of the key determines the algorithm: RS256, ES256 (RFC 7518), or EdDSA with Ed25519 (RFC 8037).

    python -m authsec_server.keys.signing_process FD

`signing_processes` starts the program. The program imports no other module of the server. It ends when the server
closes the other end of the socket.

A frame to this program consists of:

- an operation (1 octet) and the number of the request (8 octets);
- the length of the key's name (2 octets) and the length of the content (4 octets);
- the key's name and the content.

An answer consists of the number of the request (8 octets), the length of the signature (2 octets) and the signature.
Without a signature, the length is 0.
"""

from __future__ import annotations

import json
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

HOLD, FORGET, SIGN = b"H", b"F", b"S"
FRAME: Final = struct.Struct("!cQHI")
ANSWER: Final = struct.Struct("!QH")
_AT_ONCE: Final = 2**16  # octets
_TOGETHER: Final = 8  # signatures of one write, which wakes the server up. With single ones, a token costs a tenth more
Sign: TypeAlias = Callable[[bytes], bytes]


def frame(operation: bytes, number: int, kid: bytes, content: bytes) -> bytes:
    """Return a frame for the signing process."""
    return FRAME.pack(operation, number, len(kid), len(content)) + kid + content


def answers_in(buffer: bytearray) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the signature of each complete answer. Remove each answer from the buffer."""
    while len(buffer) >= ANSWER.size:
        number, length = ANSWER.unpack_from(buffer)
        if len(buffer) < ANSWER.size + length:
            return
        yield number, bytes(buffer[ANSWER.size : ANSWER.size + length])
        del buffer[: ANSWER.size + length]


def _frames_in(buffer: bytearray) -> Iterator[tuple[bytes, int, bytes, bytes]]:
    while len(buffer) >= FRAME.size:
        operation, number, named, length = FRAME.unpack_from(buffer)
        end = FRAME.size + named + length
        if len(buffer) < end:
            return
        yield operation, number, bytes(buffer[FRAME.size : FRAME.size + named]), bytes(buffer[FRAME.size + named : end])
        del buffer[:end]


def _signing_with(pem: bytes) -> Sign:
    """Return the function that signs with this key."""
    key = load_pem_private_key(pem, None)
    if isinstance(key, RSAPrivateKey):
        return lambda content: key.sign(content, PKCS1v15(), SHA256())
    if isinstance(key, Ed25519PrivateKey):
        return key.sign
    assert isinstance(key, EllipticCurvePrivateKey)
    return lambda content: _raw(key.sign(content, ECDSA(SHA256())))


def _raw(der: bytes) -> bytes:
    """Convert a signature from DER to r and s with 32 octets each (RFC 7518 section 3.4)."""
    r, s = decode_dss_signature(der)
    return r.to_bytes(32) + s.to_bytes(32)


def _serve(server: socket.socket) -> None:
    held: dict[bytes, Sign] = {}
    buffer = bytearray()
    while octets := server.recv(_AT_ONCE):
        buffer += octets
        unsent = list[bytes]()
        for operation, number, kid, content in _frames_in(buffer):
            if operation == HOLD:
                held[kid] = _signing_with(content)
            elif operation == FORGET:
                held.pop(kid, None)
            else:
                signer = held.get(kid)
                signature = signer(content) if signer else b""
                unsent.append(ANSWER.pack(number, len(signature)) + signature)
            if len(unsent) == _TOGETHER:
                server.sendall(b"".join(unsent))
                unsent.clear()
        if unsent:
            server.sendall(b"".join(unsent))


def main() -> None:
    """Serve until the other end of the socket is closed."""
    for each in (signal.SIGINT, signal.SIGTERM):  # a terminal or a service manager sends them to all processes
        signal.signal(each, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as server:
        try:
            _serve(server)
        except (ConnectionError, BrokenPipeError):
            return  # the server has ended
        except Exception as error:  # noqa: BLE001 - no message: it may contain a part of a key
            where = "".join(traceback.format_tb(error.__traceback__))
            line = {
                "event": "a signing process failed",
                "error": type(error).__name__,
                "where": where,
                "level": "error",
            }
            line["timestamp"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
            sys.stderr.write(json.dumps(line) + "\n")  # one line, as all others of the server's log
            sys.exit(1)


if __name__ == "__main__":
    main()
