"""A command repeats what cannot make a change twice, and nothing else."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest
from authsec_server.cli.remote import Remote
from authsec_server.cli.transport import CallFailed

SOME_KEY = "authsec_" + "A" * 43
UNDONE = {
    "error": "The database is not available.",
    "reason": "unavailable",
    "details": "Retry shortly.",
    "retryable": True,
}
OPEN = UNDONE | {"details": "The change may have been made. Check before you repeat it.", "retryable": False}
FINE = {"items": []}


def breaks(connection: socket.socket, _request: bytes) -> None:
    """Reset the connection under the answer."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Authority:
    """Answers with what it was given, one after the other; the last one again and again."""

    def __init__(self, peer: Callable[..., Any], *answers: Any) -> None:
        self._answers = list(answers)
        self._peer = peer(self._answer)
        self.slept: list[float] = []

    def _answer(self, connection: socket.socket, request: bytes) -> None:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if callable(answer):
            answer(connection, request)
        else:
            connection.sendall(answer)

    @property
    def asked(self) -> int:
        return len(self._peer.requests)

    def send(self, method: str, path: str = "roles") -> int:
        remote = Remote(base_url=self._peer.url, admin_key=SOME_KEY, sleep=self.slept.append, jitter=lambda: 0.5)
        return remote.send(method, path, {}).status_code


@pytest.fixture
def authority(peer: Callable[..., Any], peers: Any) -> Callable[..., Authority]:
    def made(*answers: Any) -> Authority:
        texts = {
            "undone": peers.http(UNDONE, "Retry-After: 1", status="503 Away"),
            "open": peers.http(OPEN, "Retry-After: 1", status="503 Away"),
            "a minute": peers.http(UNDONE, "Retry-After: 60", status="503 Away"),
            "proxy": peers.http(b"<html>", "Retry-After: 1", status="503 Away"),
            "fine": peers.http(FINE),
            "breaks": breaks,
        }
        return Authority(peer, *(texts[each] for each in answers))

    return made


@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH"])
def test_a_call_that_was_not_made_is_repeated(authority: Any, method: str) -> None:
    its = authority("undone", "undone", "fine")
    assert its.send(method) == 200
    assert its.slept == [1.25, 1.25], "as Retry-After says, and a part that differs between those who wait"


def test_a_look_is_repeated_when_the_connection_breaks(authority: Any) -> None:
    its = authority("breaks", "fine")
    assert its.send("GET") == 200
    assert its.slept == [0.625]


@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH"])
def test_a_change_is_not_repeated_when_the_connection_breaks(authority: Any, method: str) -> None:
    its = authority("breaks", "fine")
    with pytest.raises(CallFailed) as raised:
        its.send(method)
    assert "may have been made" in raised.value.remedy
    assert its.asked == 1


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("POST", "undone"),  # a proxy may have sent it twice
        ("DELETE", "open"),
        ("PATCH", "open"),
        ("DELETE", "proxy"),
        ("GET", "a minute"),  # nobody waits for so long at a terminal
    ],
)
def test_what_may_have_been_made_is_not_repeated(authority: Any, method: str, answer: str) -> None:
    its = authority(answer, "fine")
    assert its.send(method) == 503
    assert its.asked == 1


@pytest.mark.parametrize("path", ["roles?dry_run=1", "configuration/compare"])
def test_a_question_by_post_is_repeated(authority: Any, path: str) -> None:
    its = authority("undone", "fine")
    assert its.send("POST", path) == 200


def test_it_gives_up_after_three(authority: Any) -> None:
    its = authority("undone")
    assert its.send("GET") == 503
    assert its.asked == 3
