"""One follower per process and authority, which all verifiers of this authority share."""

from __future__ import annotations

import os
import random
import ssl
from collections.abc import Callable
from typing import Final
from weakref import WeakValueDictionary

from authsec.clock import Clock
from authsec.verifier.documents import Documents, published_address
from authsec.verifier.published_keys import PublishedKeys
from authsec.verifier.revocations.authority_source import AuthoritySource, Stream
from authsec.verifier.revocations.batch import MOST_BYTES
from authsec.verifier.revocations.follower import Follower
from authsec.verifier.revocations.leases import Leases
from authsec.verifier.revocations.shared_file import SharedFile
from authsec.verifier.revocations.state import Feed
from authsec.verifier.revocations.workers import SharedFileSource

_Key = tuple[str, str | None, Clock, SharedFile | None]

# The module `random` may be seeded by the program. This generator does not affect that sequence.
_RANDOM: Final = random.SystemRandom()
_followers: Final[WeakValueDictionary[_Key, Follower]] = WeakValueDictionary()


def shared_follower(
    issuer: str,
    *,
    ca_file: str | None,
    trust: ssl.SSLContext | None,
    clock: Clock,
    file: SharedFile | None = None,
    jitter: Callable[[], float] = _RANDOM.random,
) -> Follower:
    """Return this process's follower for this authority. The follower sends no request before its first use.

    With a `file`, the followers of all processes on a host share one connection to the authority.
    """
    key = (issuer, ca_file, clock, file)
    follower = _followers.get(key)
    return _followers.setdefault(key, _follower(issuer, trust, clock, file, jitter)) if follower is None else follower


def _follower(
    issuer: str, trust: ssl.SSLContext | None, clock: Clock, file: SharedFile | None, jitter: Callable[[], float]
) -> Follower:
    documents = Documents(clock=clock, trust=trust)
    keys = PublishedKeys(
        issuer, documents.fetch, clock=clock, fresh_for=300.0, keep_for=86_400.0, unknown_key_pause=60.0,
        named="authsec_revocations_keys_uri", without="no revocation can be verified",
    )  # fmt: skip
    leases = Leases()
    authority = AuthoritySource(
        address=lambda: published_address(issuer, "authsec_revocations_uri", documents.fetch),
        page=Documents(clock=clock, trust=trust, most_bytes=MOST_BYTES).get,
        stream=lambda: Stream(clock=clock, trust=trust),
        headers=leases.headers,
        clock=clock,
    )
    source = authority if file is None else SharedFileSource(file, authority, clock=clock, jitter=jitter)
    return Follower(Feed(issuer, keys, clock), source, leases, clock=clock, jitter=jitter)


def _forked() -> None:
    for follower in list(_followers.values()):
        follower.forked()


if hasattr(os, "register_at_fork"):  # Windows has no fork.
    os.register_at_fork(after_in_child=_forked)
