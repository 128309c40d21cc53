"""The feed as it is read: pages in JSON, each with a signed head.

Whoever stands between the authority and an API can neither change an entry nor leave one out: the head covers them all.
Nor can it keep back what is new: a head is as old as its `iat`, and readers want a fresh one every few seconds.
And a head says by its digest which entry the page follows: numbers are given twice where a database is restored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from authsec import strict_json
from authsec.jose import PrivateKey, PublicKey, sign_compact

from authsec_server.db import Database
from authsec_server.failures import Unavailable
from authsec_server.revocations import service
from authsec_server.revocations.model import Page, Revocation
from authsec_server.revocations.snapshots import Snapshots, Written
from authsec_server.web.instants import rfc3339

TYPE = "authsec-revocations+jwt"
KEYS_MAX_AGE = timedelta(seconds=240)  # how long a reader may keep the feed's key set without asking again


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A page as it goes out; `text` is its JSON, written once for all who get it."""

    through: int
    last: int
    snapshot: bool
    text: str = field(repr=False)

    @property
    def complete(self) -> bool:
        """Whether nothing follows it yet."""
        return self.through == self.last


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """The feed of one authority. `signing_key` is the key that signs heads at a moment; it raises `Unavailable`.

    `withheld` says why the feed is not given out: a database that is older than it was lacks revocations.
    """

    database: Database
    issuer: str
    signing_key: Callable[[datetime], PrivateKey]
    now: Callable[[], datetime]
    withheld: Callable[[], str | None] = lambda: None
    snapshots: Snapshots = field(default_factory=lambda: Snapshots(_write), repr=False)

    def last(self) -> int:
        """The number of the newest entry. Blocks its thread; raises `Unavailable`."""
        self._refuse_if_withheld()
        return self.database.read(service.last)

    def document(self, since: int, limit: int) -> Document:
        """What comes after `since`, with its head. Blocks its thread; raises `Unavailable`."""
        self._refuse_if_withheld()
        now = self.now()  # before the look at the database: a head must not promise more than was seen
        page = self.database.read(lambda tx: service.page(tx, since, limit, self.snapshots.entries))
        entries = self.snapshots.written(page.entries)
        head = self._head(page, entries.sha256, self.signing_key(now), now)
        around = strict_json.dumps({"issuer": self.issuer, **_numbers(page), "head": head}).decode()
        text = f'{{"entries":{entries.text},{around.removeprefix("{")}'
        return Document(through=page.through, last=page.last, snapshot=page.snapshot, text=text)

    def _refuse_if_withheld(self) -> None:
        if why := self.withheld():
            raise Unavailable("The database is older than it was: it lacks revocations.", why)

    def _head(self, page: Page, entries_sha256: str, key: PrivateKey, now: datetime) -> str:
        claims = {
            "iss": self.issuer,
            "iat": int(now.timestamp()),
            **_numbers(page),
            "entries_sha256": entries_sha256,
            "follows": _digest(as_json(page.follows)) if page.follows else "",
        }
        return sign_compact({"typ": TYPE, "kid": key.public.thumbprint()}, claims, key)


def as_json(entry: Revocation) -> dict[str, Any]:
    """The entry as everybody may read it."""
    return {
        "sequence": entry.sequence,
        "kind": entry.subject_kind.value,
        "subject": entry.published_subject,
        "version": entry.version,
        "at": rfc3339(entry.at),
    }


def as_jwk(key: PublicKey) -> dict[str, str]:
    """A key that signs heads as it is published (RFC 7517, RFC 8037). It is none of the keys that sign tokens."""
    return {"kid": key.thumbprint(), "use": "sig", "alg": "EdDSA", **key.to_jwk()}


def _write(entries: Sequence[Revocation]) -> Written:
    octets = strict_json.dumps([as_json(each) for each in entries])
    return Written(text=octets.decode(), sha256=sha256(octets).hexdigest())


def _digest(published: object) -> str:
    return sha256(strict_json.dumps(published)).hexdigest()


def _numbers(page: Page) -> dict[str, Any]:
    return {"since": page.since, "through": page.through, "last": page.last, "snapshot": page.snapshot}
