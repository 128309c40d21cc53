"""The master key: where it comes from, what it refuses, and what it seals."""

from __future__ import annotations

import base64
import copy
import pickle
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from authsec_server.db import Database, open_database
from authsec_server.failures import StartupRefused
from authsec_server.keys import store
from authsec_server.keys.master_key import MasterKey, NotUnsealed, load_master_key
from authsec_server.keys.model import NewKey
from authsec_server.principal import Act
from authsec_server.settings import Settings
from hypothesis import given
from hypothesis import strategies as st
from long_runs import some_of

NONCE = bytes(range(12))


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Database]:
    """An empty embedded database, for tests of the file alone."""
    opened = open_database(Settings(data=tmp_path).database_url)
    opened.migrate()
    yield opened
    opened.close()


def write(path: Path, content: bytes | None = None, mode: int = 0o600) -> Path:
    path.write_bytes(base64.b64encode(secrets.token_bytes(32)) + b"\n" if content is None else content)
    path.chmod(mode)
    return path


def load(database: Database, path: Path) -> MasterKey:
    return load_master_key(Settings(master_key_file=path), database, secrets.token_bytes)


def store_key(database: Database, act: Act, master_key: MasterKey, kid: str) -> None:
    new = NewKey(kid=kid, public_jwk={}, sealed=master_key.seal(b"private", kid=kid, nonce=secrets.token_bytes(12)))
    database.append(lambda tx: store.add(tx.connection, new.prepared(act.now), new.sealed))


@given(plain=st.binary(max_size=2000), kid=st.text(min_size=1, max_size=43))
def test_what_is_sealed_comes_back(plain: bytes, kid: str) -> None:
    key = MasterKey(secrets.token_bytes(32))
    assert key.unseal(key.seal(plain, kid=kid, nonce=NONCE), kid=kid) == plain


@given(data=st.data())
def test_a_sealed_key_that_was_changed_anywhere_does_not_open(data: st.DataObject) -> None:
    key = MasterKey(bytes(32))
    blob = bytearray(key.seal(b"private part", kid="a", nonce=NONCE))
    blob[data.draw(st.integers(0, len(blob) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(NotUnsealed):
        key.unseal(bytes(blob), kid="a")


@given(data=st.data())
def test_a_sealed_key_that_was_cut_short_does_not_open(data: st.DataObject) -> None:
    key = MasterKey(bytes(32))
    blob = key.seal(b"private part", kid="a", nonce=NONCE)
    with pytest.raises(NotUnsealed):
        key.unseal(blob[: data.draw(st.integers(0, len(blob) - 1))], kid="a")


def test_another_master_key_does_not_open_it() -> None:
    blob = MasterKey(bytes(32)).seal(b"private part", kid="a", nonce=NONCE)
    with pytest.raises(NotUnsealed):
        MasterKey(secrets.token_bytes(32)).unseal(blob, kid="a")


def test_it_shows_nothing_and_is_not_copied_out() -> None:
    octets = secrets.token_bytes(32)
    key = MasterKey(octets)
    assert repr(key) == "MasterKey(…)"
    for take in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            take(key)
    with pytest.raises(ValueError, match="32 bytes"):
        MasterKey(b"short")


def test_the_embedded_database_has_one_made_once(embedded: Database, tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    load_master_key(settings, embedded, secrets.token_bytes)
    path = tmp_path / "master.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = path.read_bytes()
    assert len(base64.b64decode(content)) == 32
    load_master_key(settings, embedded, secrets.token_bytes)
    assert path.read_bytes() == content
    assert [left.name for left in tmp_path.iterdir() if "master" in left.name] == ["master.key"]


def test_postgresql_wants_one_to_be_named(database: Database, tmp_path: Path) -> None:
    if database.dialect == "sqlite":
        load_master_key(Settings(data=tmp_path), database, secrets.token_bytes)
        return
    with pytest.raises(StartupRefused, match="a master key is needed") as refused:
        load_master_key(Settings(data=tmp_path), database, secrets.token_bytes)
    assert "openssl rand -base64 32" in refused.value.remedy
    assert "AUTHSEC_SERVER_MASTER_KEY_FILE=" in refused.value.remedy
    assert not (tmp_path / "master.key").exists()


def test_a_folder_that_cannot_be_written(embedded: Database, tmp_path: Path) -> None:
    with pytest.raises(StartupRefused, match=r"master\.key cannot be created: No such file"):
        load_master_key(Settings(data=tmp_path / "nowhere"), embedded, secrets.token_bytes)


def test_of_several_that_make_it_at_once_one_does(embedded: Database, tmp_path: Path) -> None:
    """The file is made after it was found missing; whoever comes second takes what is there, and leaves nothing."""

    def token_bytes(count: int) -> bytes:
        if not (tmp_path / "master.key").exists():
            write(tmp_path / "master.key", base64.b64encode(bytes(32)))
        return secrets.token_bytes(count)

    key = load_master_key(Settings(data=tmp_path), embedded, token_bytes)
    assert MasterKey(bytes(32)).unseal(key.seal(b"x", kid="a", nonce=NONCE), kid="a") == b"x"
    assert [left.name for left in tmp_path.iterdir() if "master" in left.name] == ["master.key"]


def test_root_may_share_it_with_the_servers_group(embedded: Database, tmp_path: Path) -> None:
    path = write(tmp_path / "mine.key", mode=0o440)
    if path.stat().st_uid == 0:
        load(embedded, path)
    else:
        with pytest.raises(StartupRefused, match="by others"):
            load(embedded, path)


UNUSABLE = {
    "empty": b"",
    "short": base64.b64encode(bytes(31)),
    "long": base64.b64encode(bytes(33)),
    "not base64": b"correct horse battery staple",
    "not text": bytes(range(200, 232)),
    "two lines": base64.b64encode(bytes(16)) + b"\n" + base64.b64encode(bytes(16)),
    "endless": b"A" * 100_000,
}


@pytest.mark.parametrize("content", some_of(UNUSABLE.values()), ids=UNUSABLE)
def test_a_file_that_holds_no_key(embedded: Database, tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path / "mine.key", content)
    with pytest.raises(StartupRefused, match="must contain 32 bytes") as refused:
        load(embedded, path)
    assert f"openssl rand -base64 32 > {path}" in refused.value.remedy
    assert path.read_bytes() == content


def test_the_line_of_the_remedy_makes_a_key(embedded: Database, tmp_path: Path) -> None:
    for text in (base64.b64encode(bytes(32)), base64.b64encode(bytes(32)) + b"\r\n"):
        load(embedded, write(tmp_path / "mine.key", text))


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602, 0o620, 0o660, 0o777])
def test_a_file_that_others_can_read_or_write(embedded: Database, tmp_path: Path, mode: int) -> None:
    path = write(tmp_path / "mine.key", mode=mode)
    with pytest.raises(StartupRefused, match=f"by other users \\(mode {mode:04o}\\)") as refused:
        load(embedded, path)
    assert refused.value.remedy == f"chmod 600 {path}"


def test_a_file_that_is_missing_or_a_folder(embedded: Database, tmp_path: Path) -> None:
    with pytest.raises(StartupRefused, match="is missing") as refused:
        load(embedded, tmp_path / "mine.key")
    assert "openssl rand" in refused.value.remedy
    assert not (tmp_path / "mine.key").exists(), "a file that the settings name is never made"
    with pytest.raises(StartupRefused, match="is not a regular file"):
        load(embedded, tmp_path)


@pytest.fixture
def sealed(database: Database, act: Act, tmp_path: Path) -> tuple[Path, MasterKey]:
    """A database with two sealed keys, and its master key."""
    path = write(tmp_path / "mine.key")
    master_key = load(database, path)
    store_key(database, act, master_key, "a")
    store_key(database, act, master_key, "b")
    return path, master_key


def snapshot(database: Database) -> dict[str, bytes]:
    return database.read(lambda tx: store.all_sealed(tx.connection))


def test_the_right_key_opens(database: Database, sealed: tuple[Path, MasterKey]) -> None:
    load(database, sealed[0])


def test_a_wrong_key_is_refused_and_changes_nothing(
    database: Database, sealed: tuple[Path, MasterKey], tmp_path: Path
) -> None:
    before = snapshot(database)
    with pytest.raises(StartupRefused, match=r"other\.key is not the one that encrypted") as refused:
        load(database, write(tmp_path / "other.key"))
    assert "does not replace them" in refused.value.remedy
    assert snapshot(database) == before


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda blob: blob[:20],
    "emptied": lambda blob: blob[:0],
    "flipped": lambda blob: blob[:-1] + bytes([blob[-1] ^ 1]),
    "of a later version": lambda blob: b"\x02" + blob[1:],
}


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_one_damaged_row_is_named(
    database: Database, sealed: tuple[Path, MasterKey], damage: Callable[[bytes], bytes]
) -> None:
    table = store.signing_keys
    broken = damage(snapshot(database)["b"])
    database.change(
        lambda tx: tx.connection.execute(table.update().where(table.c.kid == "b").values(sealed_private=broken))
    )
    with pytest.raises(StartupRefused, match="signing key b cannot be decrypted, although others can"):
        load(database, sealed[0])


@pytest.mark.sqlite_suffices
def test_a_missing_file_is_not_replaced_where_keys_rest_on_it(
    database: Database, sealed: tuple[Path, MasterKey], tmp_path: Path
) -> None:
    sealed[0].unlink()
    with pytest.raises(StartupRefused, match="is missing") as refused:
        load(database, sealed[0])
    assert refused.value.remedy.startswith("Restore the file")
    if database.dialect == "sqlite":
        with pytest.raises(StartupRefused, match=r"master\.key is missing"):
            load_master_key(Settings(data=tmp_path), database, secrets.token_bytes)
        assert not (tmp_path / "master.key").exists()
