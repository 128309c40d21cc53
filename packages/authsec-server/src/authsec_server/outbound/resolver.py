"""Host names into addresses, within a time limit that the system's resolver does not know."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Thread

from authsec_server.outbound.failure import FailureReason, OutboundFailed
from authsec_server.outbound.target import IPAddress, Target

Resolve = Callable[[str], Sequence[str]]


def system_resolver(host: str) -> list[str]:
    """All addresses that this machine knows for `host`, the preferred one first. Raises `OSError`."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def addresses_of(target: Target, resolve: Resolve, seconds: float) -> list[IPAddress]:
    """The addresses of the target's host, asked for once: who asks twice may be told two things (DNS rebinding)."""
    if target.address is not None:
        return [target.address]
    try:
        found = [ipaddress.ip_address(text) for text in _within(seconds, lambda: resolve(target.host))]
    except TimeoutError:
        raise OutboundFailed(FailureReason.TIMEOUT, f"looking up the host name {target.host} took too long") from None
    except (OSError, UnicodeError):
        found = []
    if not found:
        raise OutboundFailed(FailureReason.UNRESOLVABLE, f"the host name {target.host} is not known here")
    return found


def _within(seconds: float, work: Callable[[], Sequence[str]]) -> Sequence[str]:
    """In a thread that is left to itself when the time is up: a look-up cannot be interrupted."""
    result: Future[Sequence[str]] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except Exception as error:  # noqa: BLE001 - whatever it is, the waiting caller gets it
            result.set_exception(error)

    Thread(target=run, name="authsec-resolver", daemon=True).start()
    return result.result(timeout=seconds)
