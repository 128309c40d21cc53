"""The bootstrap key: automation administers from the first start, by the file that the settings name."""

from __future__ import annotations

import base64
import random
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from anyio.from_thread import BlockingPortal
from authsec_server.accounts import admin_keys
from authsec_server.accounts.admin_keys import bootstrap_key
from authsec_server.accounts.model.admin_keys import looks_random, new_admin_key
from authsec_server.app import Authority, open_authority
from authsec_server.cli import register
from authsec_server.cli.greeting import greet
from authsec_server.db import Database, open_database
from authsec_server.failures import StartupRefused
from authsec_server.principal import THE_SERVER, Act
from authsec_server.settings import Settings, load_settings
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

pytestmark = pytest.mark.sqlite_suffices

Clock = Any
GOOD = new_admin_key(random.Random(7).randbytes)  # noqa: S311 - the same in each run, and nobody's


def private(path: Path, content: bytes | str, mode: int = 0o600) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


@dataclass
class Deployment:
    """A database of each kind, and what starts servers on it."""

    folder: Path
    database_url: str
    clock: Clock
    portal: BlockingPortal

    @contextmanager
    def started(self, key: str = GOOD, *, local_operator: bool = False, **settings: Any) -> Iterator[Authority]:
        master_key = self.folder / "master.key"
        if not master_key.exists():
            private(master_key, base64.b64encode(bytes(32)))
        named = {"bootstrap_key_file": private(self.folder / "bootstrap.key", key + "\n")} if key else {}
        its = load_settings(
            data=self.folder, database=self.database_url, master_key_file=master_key, **(named | settings)
        )
        with open_authority(its, local_operator=local_operator, runtime=self.clock.around()) as opened:
            yield opened

    def door(self, authority: Authority, key: str = GOOD) -> TestClient:
        client = TestClient(authority.app, base_url="http://127.0.0.1:7468", headers={"Authorization": f"Bearer {key}"})
        client.portal = self.portal
        return client


@pytest.fixture
def deployment(tmp_path: Path, database_url: str, clock: Clock, portal: BlockingPortal) -> Deployment:
    """One that nobody has been in yet, once per kind of database."""
    return Deployment(tmp_path, database_url, clock, portal)


def test_it_administers_from_the_first_start_for_a_day(deployment: Deployment) -> None:
    with deployment.started() as authority:
        door = deployment.door(authority)
        assert door.post("/authsec/api/v1/roles", json={"name": "Support", "actions": ["a:b"]}).status_code == 201
        (key,) = door.get("/authsec/api/v1/admin-keys").json()["items"]
        assert (key["name"], key["role"], key["state"]) == ("bootstrap", "admin", "expires_soon")
        assert (key["created_at"], key["expires_at"]) == ("2026-11-25T12:00:00Z", "2026-11-26T12:00:00Z")
        found = door.get("/authsec/api/v1/events", params={"kind": "admin_key.created"}).json()["items"]
        (event,) = found
        assert event["principal"]["name"] == "authsec server"
        assert (event["subject"]["name"], event["detail"]) == (
            "bootstrap",
            {"role": "admin", "from": "bootstrap key file"},
        )
        assert GOOD not in str(found)
        deployment.clock.at += timedelta(days=1)
        assert door.get("/authsec/api/v1/roles").status_code == 401


def test_starting_again_changes_nothing(deployment: Deployment) -> None:
    with deployment.started() as authority:
        first, version = authority.bootstrap, authority.database.read(lambda tx: tx.version)
    deployment.clock.at += timedelta(hours=5)
    with deployment.started() as authority:
        assert authority.bootstrap == first, "neither another key nor a longer life"
        assert authority.database.read(lambda tx: tx.version) == version, "and no token was judged anew for it"


def test_the_first_screen_says_what_the_key_is_good_for(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is easily forgotten in its file."""
    deployment.clock.at = datetime.now(UTC)  # the screen goes by the machine's clock
    until = deployment.clock.at + timedelta(days=1)
    with deployment.started() as authority:
        greet(Settings(), authority)
        good = f"bootstrap the admin key bootstrap (admin) is valid until {until:%Y-%m-%d %H:%M}"
        assert good in capsys.readouterr().err
        deployment.door(authority).post("/authsec/api/v1/admin-keys/bootstrap/revoke")
    with deployment.started() as authority:
        greet(Settings(), authority)
        said = capsys.readouterr().err
        assert "the admin key bootstrap was revoked: AUTHSEC_SERVER_BOOTSTRAP_KEY_FILE can be removed" in said
    other = new_admin_key(secrets.token_bytes)
    deployment.clock.at -= timedelta(days=2)
    with deployment.started(other) as authority:
        greet(Settings(), authority)
        assert "the admin key bootstrap-2 has expired:" in capsys.readouterr().err


def test_another_key_in_the_file_is_another_key(deployment: Deployment) -> None:
    """Who replaces the file has replaced the key; the one before stands until it ends, and both have names."""
    other = new_admin_key(secrets.token_bytes)
    with deployment.started():
        pass
    with deployment.started(other, bootstrap_key_lifetime=3600) as authority:
        items = deployment.door(authority, other).get("/authsec/api/v1/admin-keys").json()["items"]
        assert [(key["name"], key["expires_at"][11:16]) for key in items] == [
            ("bootstrap", "12:00"),
            ("bootstrap-2", "13:00"),
        ]


def test_commands_on_the_data_make_no_key_known(deployment: Deployment) -> None:
    with deployment.started(local_operator=True) as authority:
        assert authority.bootstrap is None
        assert deployment.door(authority).get("/authsec/api/v1/admin-keys").json()["items"] == []


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_of_servers_that_start_at_once_one_records_it(deployment: Deployment, database: Database) -> None:
    settings = Settings(bootstrap_key_file=private(deployment.folder / "key", GOOD))
    act = Act(principal=THE_SERVER, now=deployment.clock.at, request_id="", address="", token_bytes=secrets.token_bytes)
    barrier, known = threading.Barrier(4), []

    def start() -> None:
        barrier.wait(10)
        known.append(bootstrap_key(settings, database, act))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(known) == 4
    assert len({key.id for key in known if key}) == 1


@pytest.fixture
def embedded(tmp_path: Path, migrated_file: Path) -> Iterator[Database]:
    """A database that what is refused must not reach."""
    opened = open_database(f"sqlite:///{shutil.copy(migrated_file, tmp_path)}")
    yield opened
    opened.close()


UNUSABLE: list[tuple[bytes, int, str]] = [
    (GOOD.encode(), 0o644, "can be read or written by other users (mode 0644)"),
    (GOOD.encode(), 0o620, "can be read or written by other users (mode 0620)"),
    (b"", 0o600, "must contain one admin key"),
    (b'"' + GOOD.encode() + b'"', 0o600, "must contain one admin key"),
    (GOOD.encode()[:-1], 0o600, "must contain one admin key"),
    (b"AUTHSEC_ADMIN_KEY=" + GOOD.encode(), 0o600, "must contain one admin key"),
    (GOOD.encode() + b"\n" + GOOD.encode(), 0o600, "must contain one admin key"),
    (GOOD.encode("utf-16"), 0o600, "must contain one admin key"),
    (b"\xff" + GOOD.encode(), 0o600, "must contain one admin key"),
    (b"hunter2", 0o600, "must contain one admin key"),
    (b"authsec_" + b"A" * 43, 0o600, "is not random"),
    (b"authsec_" + b"changeme-" * 4 + b"changem", 0o600, "is not random"),
    (b"authsec_abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", 0o600, "is not random"),
    (b"authsec_" + b"0123456789abcdef" * 2 + b"0123456789a", 0o600, "is not random"),
]


@pytest.mark.parametrize(("content", "mode", "said"), UNUSABLE)
def test_what_is_refused_at_the_start(
    tmp_path: Path, embedded: Database, act: Act, content: bytes, mode: int, said: str
) -> None:
    """With what would help, and with nothing of what stands in the file."""
    file = private(tmp_path / "bootstrap.key", content, mode)
    refused = refusal(embedded, act, file)
    assert said in refused.message
    assert refused.remedy
    told = refused.message + refused.remedy
    assert all(part not in told for part in (GOOD[8:], GOOD[:30], "hunter2", "AAAA", "changeme", "0123"))
    assert embedded.read(lambda tx: admin_keys.find(tx, GOOD)) is None


def test_a_file_that_is_missing(tmp_path: Path, embedded: Database, act: Act) -> None:
    refused = refusal(embedded, act, tmp_path / "none")
    assert refused.message == f"The bootstrap key file {tmp_path / 'none'} is missing."
    assert f"authsec admin bootstrap-key --to-file {tmp_path / 'none'}" in refused.remedy
    assert "is not a regular file" in refusal(embedded, act, tmp_path).message


def refusal(database: Database, act: Act, file: Path) -> StartupRefused:
    with pytest.raises(StartupRefused) as refused:
        bootstrap_key(Settings(bootstrap_key_file=file), database, act)
    return refused.value


@given(st.integers(0, 2**64))
def test_no_key_that_was_made_at_random_is_taken_for_a_typed_one(seed: int) -> None:
    made_of_any = random.Random(seed)  # noqa: S311 - so that a failure can be had again
    assert looks_random(new_admin_key(made_of_any.randbytes))
    alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"  # Helm's randAlphaNum
    assert looks_random("authsec_" + "".join(made_of_any.choices(alphanumeric, k=43)))


@pytest.fixture
def authsec() -> Callable[..., Any]:
    """The command, where there is no data and no server."""
    group = click.Group()
    register(group)
    return lambda *arguments: CliRunner().invoke(group, ["admin", "bootstrap-key", *arguments])


def test_the_command_makes_what_the_server_takes(
    deployment: Deployment, authsec: Callable[..., Any], tmp_path: Path
) -> None:
    """Into a file that nobody else may read; what is printed is the key alone, or nothing of it."""
    printed = authsec()
    assert printed.stdout.startswith("authsec_")
    assert printed.stderr == ""
    file = tmp_path / "made.key"
    made = authsec("--to-file", str(file))
    assert (made.exit_code, made.stdout) == (0, "")
    assert f"AUTHSEC_SERVER_BOOTSTRAP_KEY_FILE={file}" in made.stderr
    assert file.read_text().strip() not in made.stderr
    assert file.read_text() != printed.stdout
    with deployment.started("", bootstrap_key_file=file) as authority:
        assert authority.bootstrap is not None
        key = file.read_text().strip()
        assert deployment.door(authority, key).get("/authsec/api/v1/roles").status_code == 200
    again = authsec("--to-file", str(file))
    assert (again.exit_code, "is not overwritten" in again.stderr) == (1, True)
    assert file.read_text().strip() == key
