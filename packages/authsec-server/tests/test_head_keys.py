"""Keys that sign heads are opened under their own name, and are of one kind, like the signing keys of tokens."""

from __future__ import annotations

import secrets
from datetime import timedelta

import pytest
from authsec.jose import PrivateKey
from authsec_server.db import Database
from authsec_server.keys import store
from authsec_server.keys.feed_keys import FeedKeys
from authsec_server.keys.master_key import MasterKey, Purpose
from authsec_server.keys.model import SealedKey
from authsec_server.keys.sealing_keys import SealingKeys
from authsec_server.principal import Act

MASTER_KEY = MasterKey(secrets.token_bytes(32))


@pytest.fixture(scope="module")
def rsa() -> PrivateKey:
    """One key for all tests here: making one takes a while."""
    return PrivateKey.generate_rsa()


def plant(database: Database, act: Act, purpose: Purpose, case: str, rsa: PrivateKey) -> str:
    """Add a key that the right master key has sealed. It is so old that it would sign. Return its thumbprint."""
    private = rsa if case == "of another kind" else PrivateKey.generate_ed25519()
    thumbprint = private.public.thumbprint()
    kid = "b" * 43 if case == "under another name" else thumbprint
    blob = MASTER_KEY.seal(private.to_pem(), kid=kid, nonce=secrets.token_bytes(12), purpose=purpose)
    key = SealedKey(kid=kid, sealed=blob, created_at=act.now - timedelta(days=1))
    table = store.feed_keys if purpose is Purpose.FEED else store.sealing_keys
    database.append(lambda tx: store.add_head_key(tx.connection, table, key))
    return thumbprint


@pytest.mark.parametrize("case", ["under another name", "of another kind"])
def test_a_misplaced_key_neither_signs_the_feed_nor_is_published(
    database: Database, act: Act, rsa: PrivateKey, case: str
) -> None:
    misplaced = plant(database, act, Purpose.FEED, case, rsa)
    keys = FeedKeys(database, MASTER_KEY, max_age=timedelta(days=30), token_bytes=secrets.token_bytes)
    keys.keep(act.now)
    (published,) = keys.published()
    assert published.thumbprint() == keys.signing_key(act.now).public.thumbprint() != misplaced


@pytest.mark.parametrize("case", ["under another name", "of another kind"])
def test_a_misplaced_key_neither_seals_the_audit_log_nor_is_published(
    database: Database, act: Act, rsa: PrivateKey, case: str
) -> None:
    misplaced = plant(database, act, Purpose.AUDIT_LOG, case, rsa)
    keys = SealingKeys(database, MASTER_KEY, token_bytes=secrets.token_bytes)
    keys.keep(act.now)
    (published,) = keys.published()
    assert published["kid"] == keys.signing_key().public.thumbprint() != misplaced
    assert set(keys.by_kid()) == {published["kid"]}
