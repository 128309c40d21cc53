"""State of one sign-in at the provider. It binds the authorization response to the browser that began the sign-in.

The state is only in an HttpOnly cookie of that browser. A user gains nothing by reading the cookie, and no
other browser has the cookie. This stops login cross-site request forgery, and codes that come from another
browser.
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
    """The state of one sign-in, with three random values of 256 bits each.

    `state` binds the authorization response to this browser. `nonce` binds the ID token to this transaction.
    `verifier` binds the code to this transaction (PKCE). `begun` is in seconds since the epoch.
    """

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    next: str
    begun: int

    @classmethod
    def begin(cls, next_path: str, now: datetime, token_bytes: Callable[[int], bytes]) -> Self:
        """Create a transaction with new random values."""
        return cls(
            state=_base64url(token_bytes(32)),
            nonce=_base64url(token_bytes(32)),
            verifier=_base64url(token_bytes(32)),
            next=local_path(next_path),
            begun=int(now.timestamp()),
        )

    @classmethod
    def read(cls, cookie: str) -> Self | None:
        """Read the transaction from a cookie value. Return None for a value that `cookie()` cannot have made."""
        if len(cookie) > _COOKIE_BYTES:
            return None
        try:
            values = strict_json.loads(base64.urlsafe_b64decode(cookie.encode() + b"=="))
        except (strict_json.StrictJsonError, binascii.Error, UnicodeEncodeError):
            return None  # the browser changed the cookie, so sign-in cannot continue
        match values:
            case [str(state), str(nonce), str(verifier), str(next_path), int(begun)] if begun >= 0 and all(
                map(_RANDOM.fullmatch, (state, nonce, verifier))
            ):
                return cls(state=state, nonce=nonce, verifier=verifier, next=local_path(next_path), begun=begun)
        return None

    def cookie(self) -> str:
        """Return the cookie value that `read` accepts."""
        return _base64url(strict_json.dumps([self.state, self.nonce, self.verifier, self.next, self.begun]))

    @property
    def challenge(self) -> str:
        """Return the code challenge for the verifier (RFC 7636 section 4.2, S256)."""
        return _base64url(sha256(self.verifier.encode()).digest())

    def is_valid(self, now: datetime) -> bool:
        """Return whether the transaction began within the last ten minutes.

        The start may also be up to a minute in the future. Another server of this authority may have begun the
        transaction, and the clocks of two servers may differ.
        """
        return -CLOCKS_DIFFER <= int(now.timestamp()) - self.begun <= TRANSACTION_SECONDS

    def is_answered_by(self, state: str) -> bool:
        """Return whether an authorization response with this `state` belongs to the transaction."""
        return compare_digest(state.encode(), self.state.encode())


class SpentStates:
    """The used transactions of this process, stored until they expire. Each transaction can be used only once.

    Two other protections exist: the provider accepts a code once, and the page that finishes a sign-in deletes
    the cookie. This class also stops an attacker who reads both the code and the cookie from a history or a
    log. It covers one process only.
    """

    def __init__(self, *, most: int = 10_000) -> None:
        self._spent: OrderedDict[str, datetime] = OrderedDict()
        self._most = most
        self._lock = threading.Lock()

    def spend(self, transaction: Transaction, now: datetime) -> bool:
        """Mark the transaction as used. Return False if it was used before."""
        with self._lock:
            while self._spent and (len(self._spent) >= self._most or next(iter(self._spent.values())) < now):
                self._spent.popitem(last=False)
            if transaction.state in self._spent:
                return False
            self._spent[transaction.state] = now + timedelta(seconds=TRANSACTION_SECONDS)
            return True


def local_path(path: str) -> str:
    r"""Return `path` if it is a path on this server, else the console's first page.

    This stops an open redirect. Browsers read `//evil.example`, `/\evil.example` and `/<tab>/evil.example` as
    other hosts.
    """
    plain = path.isascii() and path.isprintable() and "\\" not in path and len(path) <= LONGEST_NEXT
    return path if plain and path.startswith("/") and not path.startswith("//") else HOME


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
