"""Real keys: made, sealed, opened, signed with; by several servers of one database, and through crashes."""

from __future__ import annotations

import base64
import secrets
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import processes
import pytest
from authsec.jose import PrivateKey, PublicKey
from authsec_server.apis import service as apis
from authsec_server.db import Database
from authsec_server.db.database import Access, T, Work
from authsec_server.db.table_changes import TableChanges
from authsec_server.failures import Conflict, Unavailable
from authsec_server.keys import service, store
from authsec_server.keys.key_ring import SigningKeyRing
from authsec_server.keys.master_key import KeyUnusable, MasterKey, load_master_key
from authsec_server.keys.model import Algorithm, KeyState, NewKey, SigningKey
from authsec_server.keys.signer import Signer
from authsec_server.principal import Act
from authsec_server.settings import Settings
from sqlalchemy import Connection

MASTER_KEY = MasterKey(bytes(32))
STARTER = Path(__file__).with_name("key_starter.py")

RS256 = Algorithm.RS256


class Watched(Database):
    """Another database, with its reads counted."""

    def __init__(self, database: Database) -> None:
        self.dialect = database.dialect
        self.database = database
        self.reads = 0

    def _run(self, access: Access, work: Work[T]) -> T:
        self.reads += access is Access.READ
        return self.database._run(access, work)

    def _refuse_interference(self, connection: Connection, changes: TableChanges) -> None:
        self.database._refuse_interference(connection, changes)

    def migrate(self) -> None:
        self.database.migrate()

    def revision(self) -> str | None:
        return self.database.revision()

    def close(self) -> None:
        self.database.close()


@pytest.fixture(scope="module")
def rsa() -> PrivateKey:
    """One key for all tests here that need any: making one takes a while."""
    return PrivateKey.generate_rsa()


def rotated(keeper: SigningKeyRing, act: Act, *, force: bool) -> SigningKey:
    fresh = keeper.fresh(Algorithm.RS256, 1)
    return keeper.database.change(lambda tx: keeper.rotate(tx, act, fresh, force=force))


def key_ring(database: Database, master_key: MasterKey = MASTER_KEY) -> SigningKeyRing:
    return SigningKeyRing(
        database=database,
        signer=Signer(database, master_key),
        master_key=master_key,
        settings=Settings(),
        token_bytes=secrets.token_bytes,
        wanted=apis.signing_algorithms,
    )


def store_key(database: Database, act: Act, key: PrivateKey, *, kid: str = "", sealed: bytes | None = None) -> str:
    kid = kid or key.public.thumbprint()
    blob = MASTER_KEY.seal(key.to_pem(), kid=kid, nonce=secrets.token_bytes(12)) if sealed is None else sealed
    new = NewKey(kid=kid, public_jwk=key.public.to_jwk(), sealed=blob)
    database.append(lambda tx: store.add(tx.connection, new.prepared(act.now), new.sealed))
    return kid


def states(database: Database) -> list[KeyState]:
    return sorted(key.state for key in database.read(lambda tx: store.in_states(tx.connection, tuple(KeyState))))


def at(act: Act, now: datetime) -> Act:
    return replace(act, now=now)


def test_a_month_of_keys(database: Database, act: Act) -> None:
    keeper = key_ring(database)
    keeper.keep(act)
    first = database.record(service.active_kids)[Algorithm.RS256]
    signature = keeper.signer.sign(first, RS256, b"signing input")

    with pytest.raises(Conflict):
        rotated(keeper, act, force=False)
    second = rotated(keeper, at(act, act.now + timedelta(minutes=5)), force=False).kid
    assert {key.thumbprint() for key in keeper.verification_keys()} >= {first, second}

    old = next(key for key in keeper.verification_keys() if key.thumbprint() == first)
    old.verify(b"signing input", signature, "RS256")
    version = database.read(lambda tx: tx.version)
    keeper.keep(at(act, act.now + timedelta(minutes=6)))
    assert database.read(lambda tx: tx.version) == version, "nothing was due, and nothing was changed"

    keeper.keep(at(act, act.now + timedelta(days=31)))
    assert database.record(service.active_kids)[Algorithm.RS256] not in {first, second}
    assert states(database) == [KeyState.ACTIVE, KeyState.GONE, KeyState.PREPARED, KeyState.RETIRED]
    assert first not in {key.thumbprint() for key in keeper.verification_keys()}
    with pytest.raises(KeyUnusable, match="no longer exists"):
        keeper.signer.sign(first, RS256, b"signing input")


def test_every_key_is_of_its_own_kind_and_sealed(database: Database, act: Act) -> None:
    keeper = key_ring(database)
    keeper.keep(act)
    for key in database.read(service.published):
        public = PublicKey.from_jwk(key.public_jwk)
        assert (public.kind, public.thumbprint(), sorted(key.public_jwk)) == ("RSA", key.kid, ["e", "kty", "n"])
        sealed = database.read(lambda tx, kid=key.kid: store.sealed(tx.connection, kid))
        assert sealed is not None
        assert b"PRIVATE KEY" not in sealed


def test_a_key_that_another_server_made_is_opened_when_it_is_needed(database: Database, act: Act) -> None:
    one, other = key_ring(database), key_ring(database)
    one.keep(act)
    other.keep(act)
    kid = rotated(one, at(act, act.now + timedelta(minutes=5)), force=False).kid
    signature = other.signer.sign(kid, RS256, b"signing input")
    one.signer.open(kid).public.verify(b"signing input", signature, "RS256")


def test_a_key_is_opened_once_however_many_sign(database: Database, act: Act, rsa: PrivateKey) -> None:
    kid = store_key(database, act, rsa)
    watched = Watched(database)
    signer = Signer(watched, MASTER_KEY)
    ready = threading.Barrier(8)

    def sign(number: int) -> bytes:
        ready.wait(5)
        return signer.sign(kid, RS256, b"%d" % number)

    with ThreadPoolExecutor(8) as pool:
        signatures = list(pool.map(sign, range(8)))
    for number, signature in enumerate(signatures):
        rsa.public.verify(b"%d" % number, signature, "RS256")
    assert watched.reads == 1
    signer.hold_only(set())
    signer.sign(kid, RS256, b"again")
    assert watched.reads == 2


def test_a_revoked_key_is_in_no_memory_for_long(database: Database, act: Act) -> None:
    told, another = key_ring(database), key_ring(database)
    told.keep(act)
    another.keep(act)
    kid = database.record(service.active_kids)[Algorithm.RS256]
    fresh = told.fresh(Algorithm.RS256, 2)
    database.change(lambda tx: told.revoke(tx, act, kid, fresh))
    told.drop_unpublished()
    assert another.signer.open(kid), "until its minute comes round"
    another.keep(act)
    for each in (told, another):
        assert kid not in {key.thumbprint() for key in each.verification_keys()}
        with pytest.raises(KeyUnusable):
            each.signer.open(kid)


def test_a_key_sealed_under_another_name_does_not_sign(database: Database, act: Act, rsa: PrivateKey) -> None:
    kid = store_key(database, act, rsa, kid="b" * 43)
    with pytest.raises(KeyUnusable, match="contains a key with another kid"):
        Signer(database, MASTER_KEY).sign(kid, RS256, b"signing input")


def test_a_key_of_another_kind_does_not_sign(database: Database, act: Act) -> None:
    kid = store_key(database, act, PrivateKey.generate_ec("P-384"))
    with pytest.raises(KeyUnusable, match="contains a key with another kid"):
        Signer(database, MASTER_KEY).sign(kid, Algorithm.ES256, b"signing input")


@pytest.mark.parametrize("algorithm", [each for each in Algorithm if each is not Algorithm.EDDSA])
def test_a_key_signs_for_no_other_algorithm(database: Database, act: Act, algorithm: Algorithm) -> None:
    """Whatever the row says: raw SQL can change the algorithm that a row shows, and not the private part."""
    kid = store_key(database, act, PrivateKey.generate_ed25519())
    signer = Signer(database, MASTER_KEY)
    assert signer.sign(kid, Algorithm.EDDSA, b"signing input")
    with pytest.raises(KeyUnusable, match=f"is not for {algorithm}"):
        signer.sign(kid, algorithm, b"signing input")
    assert not signer.has_opened(kid, algorithm)


def test_what_is_sealed_and_no_key_does_not_sign(database: Database, act: Act, rsa: PrivateKey) -> None:
    kid = rsa.public.thumbprint()
    store_key(database, act, rsa, sealed=MASTER_KEY.seal(b"no PEM", kid=kid, nonce=secrets.token_bytes(12)))
    with pytest.raises(KeyUnusable, match="damaged or changed"):
        Signer(database, MASTER_KEY).sign(kid, RS256, b"signing input")


def test_a_database_that_is_away_hides_no_key(database: Database, act: Act, rsa: PrivateKey) -> None:
    """To leave a key out of the published set for a moment is to have its tokens refused for minutes."""
    store_key(database, act, rsa)

    class Away(Watched):
        def _run(self, access: Access, work: Work[T]) -> T:
            if self.reads:
                raise Unavailable("The database is not available.")
            return super()._run(access, work)

    with pytest.raises(Unavailable, match="not available"):
        key_ring(Away(database)).verification_keys()


def test_who_may_not_rotate_costs_nothing(house: Any) -> None:
    body = {"name": "operator", "role": "operator", "expires_in": None}
    key = house(local_operator=True).door().post("/authsec/api/v1/admin-keys", json=body).json()["key"]
    door = house().door(Authorization=f"Bearer {key}")

    def make(_bits: int) -> PrivateKey:
        raise AssertionError("a key was made")

    with pytest.MonkeyPatch.context() as patched:  # undone here, before `ready_rsa_keys` undoes its own
        patched.setattr(PrivateKey, "generate_rsa", make)
        for path, body in (("rotate", {"force": True}), (f"{'a' * 43}/revoke", {})):
            answer = door.post(f"/authsec/api/v1/keys/{path}", json=body)
            assert (answer.status_code, answer.json()["reason"]) == (403, "not_permitted")


def master_key_file(database: Database, data: Path) -> str:
    """PostgreSQL wants one named; the embedded database has one made, by whoever starts first."""
    if database.dialect == "sqlite":
        return ""
    path = data / "mine.key"
    path.write_bytes(base64.b64encode(bytes(32)))
    path.chmod(0o600)
    return str(path)


def start(how: str, count: int, database_url: str, data: Path, master: str) -> list[int]:
    program = [str(STARTER), how, database_url, str(data), master]
    return [ended.returncode for ended in processes.run_at_once([program] * count, data)]


@pytest.mark.soak
@pytest.mark.postgresql_suffices
def test_servers_that_start_at_once_agree_on_their_keys(
    database: Database, database_url: str, tmp_path: Path, act: Act
) -> None:
    master = master_key_file(database, tmp_path)
    assert start("keep", 4, database_url, tmp_path, master) == [0, 0, 0, 0]
    assert states(database) == [KeyState.ACTIVE, KeyState.PREPARED]
    settings = Settings(data=tmp_path, master_key_file=Path(master) if master else None)
    master_key = load_master_key(settings, database, secrets.token_bytes)
    assert len(key_ring(database, master_key).verification_keys()) == 2


@pytest.mark.sqlite_suffices
def test_a_crash_before_the_commit_leaves_no_key(
    database: Database, database_url: str, tmp_path: Path, act: Act
) -> None:
    master = master_key_file(database, tmp_path)
    assert start("die", 1, database_url, tmp_path, master) == [-signal.SIGKILL]
    assert states(database) == []
    assert start("keep", 1, database_url, tmp_path, master) == [0]
    assert states(database) == [KeyState.ACTIVE, KeyState.PREPARED]
