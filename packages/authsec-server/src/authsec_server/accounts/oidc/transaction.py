"""One sign-in on its way: what this browser must bring back so that an answer counts as the answer to its question.

It is kept in an HttpOnly cookie of that browser and nowhere else. Reading it would let the browser's own user do what
they can do anyway; nobody else's browser has it (login cross-site request forgery, codes of another's browser).
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import compare_digest
from typing import Self

from authsec import strict_json

TRANSACTION_SECONDS = 600
CLOCKS_DIFFER = 60  # seconds
HOME = "/console"
LONGEST_NEXT = 1000
_COOKIE_BYTES = 3000
_RANDOM = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """`state` binds the answer to this browser, `nonce` the ID token to this transaction, `verifier` the code (PKCE).

    Each is 256 random bits. `begun` is in seconds since the epoch.
    """

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    next: str
    begun: int

    @classmethod
    def begin(cls, next_path: str, now: datetime, token_bytes: Callable[[int], bytes]) -> Self:
        """A new one."""
        return cls(
            state=_base64url(token_bytes(32)),
            nonce=_base64url(token_bytes(32)),
            verifier=_base64url(token_bytes(32)),
            next=local_path(next_path),
            begun=int(now.timestamp()),
        )

    @classmethod
    def read(cls, cookie: str) -> Self | None:
        """The transaction in a cookie; None for anything that `cookie()` did not make."""
        if len(cookie) > _COOKIE_BYTES:
            return None
        try:
            values = strict_json.loads(base64.urlsafe_b64decode(cookie.encode() + b"=="))
        except (strict_json.StrictJsonError, binascii.Error, UnicodeEncodeError):
            return None  # the browser's own doing, and nothing that sign-in would go on with
        match values:
            case [str(state), str(nonce), str(verifier), str(next_path), int(begun)] if begun >= 0 and all(
                map(_RANDOM.fullmatch, (state, nonce, verifier))
            ):
                return cls(state=state, nonce=nonce, verifier=verifier, next=local_path(next_path), begun=begun)
        return None

    def cookie(self) -> str:
        """The value of the cookie."""
        return _base64url(strict_json.dumps([self.state, self.nonce, self.verifier, self.next, self.begun]))

    @property
    def challenge(self) -> str:
        """What the provider is told of the verifier (RFC 7636 section 4.2, S256)."""
        return _base64url(sha256(self.verifier.encode()).digest())

    def stands(self, now: datetime) -> bool:
        """Whether it was begun within the last ten minutes; another server of ours may have begun it, by its clock."""
        return -CLOCKS_DIFFER <= int(now.timestamp()) - self.begun <= TRANSACTION_SECONDS

    def is_answered_by(self, state: str) -> bool:
        """Whether an answer with this `state` is the answer to it."""
        return compare_digest(state.encode(), self.state.encode())


class SpentStates:
    """Which transactions this process has seen the end of, for as long as they could be shown again.

    A code is good once, at the provider, and the page that finishes a sign-in deletes the cookie. This is the third
    lock, for a history or a log that both can be read from; it knows of one process only.
    """

    def __init__(self, *, most: int = 10_000) -> None:
        self._spent: OrderedDict[str, datetime] = OrderedDict()
        self._most = most
        self._lock = threading.Lock()

    def spend(self, transaction: Transaction, now: datetime) -> bool:
        """Use the transaction up; False if it has been."""
        with self._lock:
            while self._spent and (len(self._spent) >= self._most or next(iter(self._spent.values())) < now):
                self._spent.popitem(last=False)
            if transaction.state in self._spent:
                return False
            self._spent[transaction.state] = now + timedelta(seconds=TRANSACTION_SECONDS)
            return True


def local_path(path: str) -> str:
    """`path`, if it is one of this server, else the console's first page.

    Browsers read `//evil.example`, `/\\evil.example` and `/<tab>/evil.example` as other hosts (open redirect).
    """
    plain = path.isascii() and path.isprintable() and "\\" not in path and len(path) <= LONGEST_NEXT
    return path if plain and path.startswith("/") and not path.startswith("//") else HOME


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
