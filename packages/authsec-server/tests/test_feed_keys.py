"""The keys of the revocation feed: several servers agree on the one that signs, and every reader has seen it before."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from authsec.jose import PrivateKey
from authsec_server.audit import service as audit
from authsec_server.audit.model import Event
from authsec_server.db import Database
from authsec_server.failures import NotPermitted, Unavailable
from authsec_server.keys import store
from authsec_server.keys.feed_keys import PUBLISH_AFTER, PUBLISH_AHEAD, FeedKeys
from authsec_server.keys.master_key import MasterKey, Purpose
from authsec_server.keys.model import SealedKey
from authsec_server.principal import LOCAL_OPERATOR, THE_SERVER, Act, Role

MAX_AGE = timedelta(days=30)
SECOND = timedelta(seconds=1)


@pytest.fixture
def master_key() -> MasterKey:
    return MasterKey(secrets.token_bytes(32))


def opened(database: Database, master_key: MasterKey) -> FeedKeys:
    return FeedKeys(database, master_key, max_age=MAX_AGE, token_bytes=secrets.token_bytes)


def signs(keys: FeedKeys, now: datetime) -> str:
    return keys.signing_key(now).public.thumbprint()


def published(keys: FeedKeys) -> list[str]:
    return [key.thumbprint() for key in keys.published()]


def test_a_new_key_signs_once_every_reader_has_seen_it(database: Database, act: Act, master_key: MasterKey) -> None:
    keys, noon = opened(database, master_key), act.now
    with pytest.raises(Unavailable):
        keys.signing_key(noon)
    keys.keep(noon)
    keys.keep(noon + MAX_AGE - SECOND)
    (first,) = published(keys)
    assert signs(keys, noon) == first
    due = noon + MAX_AGE
    keys.keep(due)
    _, second = published(keys)
    assert signs(keys, due + PUBLISH_AHEAD - SECOND) == first
    assert signs(keys, due + PUBLISH_AHEAD) == second
    keys.keep(due + PUBLISH_AHEAD + PUBLISH_AFTER - SECOND)
    assert published(keys) == [first, second]
    keys.keep(due + PUBLISH_AHEAD + PUBLISH_AFTER)
    assert published(keys) == [second]
    assert signs(keys, due) == second


@pytest.mark.sqlite_suffices
def test_the_audit_log_knows_of_each(database: Database, act: Act, master_key: MasterKey) -> None:
    one, other = opened(database, master_key), opened(database, master_key)
    one.keep(act.now)
    (first,) = published(one)
    act = replace(act, now=act.now + PUBLISH_AFTER)
    with pytest.raises(NotPermitted):
        database.change(lambda tx: one.rotate(tx, replace(act, principal=replace(LOCAL_OPERATOR, role=Role.OPERATOR))))
    ready = database.change(lambda tx: one.rotate(tx, act))
    assert ready == act.now + PUBLISH_AHEAD
    for keys in (one, other):
        keys.keep(act.now)
        assert signs(keys, ready - SECOND) == first
        assert signs(keys, ready) != first
    for keys in (one, other):  # both would let go of it
        keys.keep(ready + PUBLISH_AFTER)
    events = audit_log(database)
    second = events[1].kid
    assert published(one) == published(other) == [second]
    assert [(each.kind, each.kid, each.principal) for each in events] == [
        ("feed_key.created", first, THE_SERVER),
        ("feed_key.created", second, LOCAL_OPERATOR),
        ("feed_key.gone", first, THE_SERVER),
    ]


def audit_log(database: Database) -> list[Event]:
    """Oldest first."""
    return [each.event for each in database.read(lambda tx: audit.page(tx, LOCAL_OPERATOR).items)][::-1]


def test_servers_that_start_together_come_to_agree(database: Database, act: Act, master_key: MasterKey) -> None:
    one, other = opened(database, master_key), opened(database, master_key)
    one.keep(act.now)
    other._make(act.now)  # as if it had looked before the first had made its own
    for keys in (one, other):
        keys.keep(act.now)
    assert signs(one, act.now) == signs(other, act.now)
    assert signs(one, act.now + PUBLISH_AHEAD) == signs(other, act.now + PUBLISH_AHEAD)
    assert len(published(one)) == 2


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("sealed", ["by nobody", "with another master key", "as a signing key", "under another name"])
def test_a_planted_key_neither_signs_nor_is_published(
    database: Database, act: Act, master_key: MasterKey, sealed: str
) -> None:
    keys = opened(database, master_key)
    keys.keep(act.now)
    genuine = published(keys)
    intruder = PrivateKey.generate_ed25519()
    kid, how = intruder.public.thumbprint(), dict[str, Any](nonce=bytes(12), purpose=Purpose.FEED)
    blob = {
        "by nobody": intruder.to_pem(),
        "with another master key": MasterKey(bytes(32)).seal(intruder.to_pem(), kid=kid, **how),
        "as a signing key": master_key.seal(intruder.to_pem(), kid=kid, nonce=bytes(12)),
        "under another name": master_key.seal(intruder.to_pem(), kid="another", **how),
    }[sealed]
    planted = SealedKey(kid=kid, sealed=blob, created_at=act.now - MAX_AGE / 2)
    database.append(lambda tx: store.add_head_key(tx.connection, store.feed_keys, planted))
    keys.keep(act.now + SECOND)
    assert published(keys) == genuine == [signs(keys, act.now + SECOND)]
