"""A server whose database is older than its outside checkpoints issues nothing and changes nothing, and says so."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from authsec_server.app import older_database, open_authority
from authsec_server.audit import service as audit
from authsec_server.audit.model import Event, EventKind
from authsec_server.audit.sealing import sealer
from authsec_server.cli import register
from authsec_server.db import open_database
from authsec_server.db.served import remember_checkpoints_file
from authsec_server.failures import Unavailable
from authsec_server.settings import Settings, load_settings
from click.testing import CliRunner, Result
from long_runs import some_rows_of
from serving import serving
from starlette.testclient import TestClient
from structlog.testing import capture_logs

API = "/authsec/api/v1"
NEWEST = "SELECT signed FROM checkpoints ORDER BY size DESC LIMIT 1"
TOKENS = "/authsec/uflow/sdk/delegation-token?client_id=3f6c0000-0000-4000-8000-000000000000"


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def text_of(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def sealed(client: TestClient) -> set[int]:
    return {each["id"] for each in client.get(f"{API}/events/sealed?limit=200").json()["items"]}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for seconds here."""
    monkeypatch.setattr(older_database, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(older_database, "LOOK_AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(sealer, "SECONDS", 0.05)


@pytest.fixture
def settings(tmp_path: Path, begun_today: Path, quick: None) -> Settings:
    """Of an authority whose database was put back to when it had one role less; its checkpoints are kept outside."""
    shutil.copytree(begun_today, tmp_path, dirs_exist_ok=True)
    its = load_settings(data=tmp_path, audit_checkpoints=str(tmp_path / "checkpoints"))
    with served(its) as client:
        wait_until(lambda: client.get(f"{API}/events/checkpoint").status_code == 200)
    shutil.copy(its.database_file, tmp_path / "backup")
    with served(its) as client:
        assert client.post(f"{API}/roles", json={"name": "Support", "actions": ["a:b"]}).status_code == 201
        wait_until(
            lambda: client.get(f"{API}/events/checkpoint").json()["checkpoint"] in text_of(tmp_path / "checkpoints")
        )
        newest = client.get(f"{API}/events").json()["items"][0]
        wait_until(lambda: newest["id"] in sealed(client))
        wait_until(
            lambda: client.get(f"{API}/events/checkpoint").json()["checkpoint"] in text_of(tmp_path / "checkpoints")
        )
    shutil.copy(tmp_path / "backup", its.database_file)
    return its


def cli(*arguments: str, **environment: str) -> Result:
    """`authsec`, wherever these variables say."""
    group = click.Group()
    register(group)
    return CliRunner().invoke(group, arguments, env=environment)


class served:  # noqa: N801 - it is used as a function
    """A client to a running server, as the local operator."""

    def __init__(self, settings: Settings) -> None:
        self._opened = open_authority(settings, local_operator=True)

    def __enter__(self) -> TestClient:
        self.authority = self._opened.__enter__()
        self._client = TestClient(self.authority.app, base_url="http://127.0.0.1", follow_redirects=False)
        return self._client.__enter__()

    def __exit__(self, *error: object) -> None:
        self._client.__exit__(None, None, None)
        self._opened.__exit__(None, None, None)


def test_nothing_is_issued_nothing_is_changed_and_the_feed_is_kept_back(settings: Settings) -> None:
    before = settings.database_file.read_bytes()
    with served(settings) as client:
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "database_older")
        assert "older than a checkpoint that it signed at" in ready.json()["problem"]
        assert client.get("/healthz").status_code == 200
        for method, path in (
            ("GET", TOKENS),
            ("GET", "/authsec/v1/revocations?since=0"),
            ("GET", "/.well-known/jwks.json"),
            ("GET", "/authsec/.well-known/jwks.json"),
            ("POST", f"{API}/roles"),
            ("POST", f"{API}/roles?dry_run=1"),
            ("PATCH", f"{API}/roles/support"),
            ("DELETE", f"{API}/roles/support"),
            ("POST", f"{API}/keys/rotate"),
            ("POST", "/authsec/v1/revoke"),
            ("POST", "/authsec/v1/introspect"),
            ("POST", "/oauth/token"),
            ("GET", "/oauth/authorize"),
        ):
            answer = client.request(method, path)
            assert answer.status_code == 503, path
            assert "authsec admin restored" in answer.json()["details"]
            assert answer.headers["retry-after"] == "5"
            if path == "/oauth/token":  # a stock client reads the code
                assert answer.json()["error"] == "temporarily_unavailable"
        # Without it a client may send its secret to the API that it wants to call.
        assert client.get("/.well-known/oauth-authorization-server").json()["token_endpoint"]
        assert client.get("/authsec/.well-known/openid-configuration").status_code == 200
        assert client.get(f"{API}/roles").json()["items"] == []
        assert "older than a checkpoint" in client.get(f"{API}/events/checkpoint").json()["older"]
        page = client.get("/console")
        assert "AuthSec issues no tokens and makes no changes" in page.text
        for path in ("/console/sign-in", "/console/set-up?code=unknown"):
            entrance = client.get(path)
            assert "AuthSec issues no tokens and makes no changes" in entrance.text, path
            assert "older than a checkpoint that it signed at" in entrance.text, path
        form = client.post("/console/roles/create", headers={"Origin": "http://127.0.0.1"}, data={"name": "Other"})
        assert form.status_code == 503
        assert "authsec admin restored" in form.text
        time.sleep(0.3)  # neither the sealing nor the maintenance writes anything
        assert settings.database_file.read_bytes() == before
        assert not Path(f"{settings.database_file}-wal").stat().st_size
    assert settings.database_file.read_bytes()[100:] == before[100:]


def test_nothing_is_sealed_over_an_older_database(settings: Settings) -> None:
    """Its checkpoints would stand in the file as if they were of the history that was lost."""
    its = served(settings)
    with its as client:
        sent, size = text_of(Path(settings.audit_checkpoints)), len(sealed(client))
        event = Event(at=datetime.now(UTC), kind=EventKind.ROLE_CREATED, request_id="req_00000000000000000000test")
        its.authority.database.append(lambda tx: audit.record(tx, event))
        time.sleep(0.5)
        assert len(sealed(client)) == size
        assert text_of(Path(settings.audit_checkpoints)) == sent


def test_a_running_server_goes_on_once_the_restore_is_recorded(
    settings: Settings, authsec: Callable[..., Result], tmp_path: Path
) -> None:
    shutil.copy(tmp_path / "backup", settings.database_file)  # `authsec` has put another one there
    lines = (tmp_path / "checkpoints").read_text()
    with served(settings) as client:
        assert client.get("/readyz").status_code == 503
        told = authsec("admin", "restored", "--checkpoint", str(tmp_path / "checkpoints"), "--yes")
        assert told.exit_code == 0, told.output
        assert "2 signing keys are revoked" in told.stdout
        wait_until(lambda: client.get("/readyz").status_code == 200)
        assert client.post(f"{API}/roles", json={"name": "Other", "actions": ["a:b"]}).status_code == 201
        assert client.get("/authsec/v1/revocations?since=0").json()["last"] > 1_000_000
        wait_until(lambda: (tmp_path / "checkpoints").read_text() != lines)
        assert client.get(f"{API}/events/checkpoint").json()["older"] is None
    with served(settings) as client:
        wait_until(lambda: client.get("/readyz").json() == {"status": "ready"})


@pytest.mark.opens_anew
def test_a_command_on_this_machine_changes_nothing_either(
    settings: Settings, authsec: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copy(tmp_path / "backup", settings.database_file)
    monkeypatch.setenv("AUTHSEC_SERVER_AUDIT_CHECKPOINTS", settings.audit_checkpoints)
    refused = authsec("roles", "create", "Other", "--action", "a:b")
    assert refused.exit_code != 0
    assert "authsec admin restored" in refused.stderr
    assert "older than a checkpoint that it signed" in authsec("audit", "checkpoint").stderr
    rebuilt = authsec("audit", "rebuild-counts", "--yes")
    assert (rebuilt.exit_code, "An older database accepts no changes" in rebuilt.stderr) == (1, True)
    declined = authsec("admin", "restored")
    assert "What stops: nothing" in declined.stderr
    assert "nobody could answer the question" in declined.stderr
    done = authsec("admin", "restored", "--yes", "--json")
    assert done.exit_code == 0, done.output
    assert authsec("roles", "create", "Other", "--action", "a:b").exit_code == 0


def test_a_running_server_notices_that_its_database_has_gone_back(settings: Settings, tmp_path: Path) -> None:
    """PostgreSQL is restored under servers that run on; here rows are taken away."""
    settings = load_settings(data=tmp_path)  # without a file: by what the process itself has seen
    its = served(settings)
    with its as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        client.post(f"{API}/roles", json={"name": "Other", "actions": ["a:b"]})
        newest = client.get(f"{API}/events").json()["items"][0]
        wait_until(lambda: newest["id"] in sealed(client))
        time.sleep(0.2)
        with closing(sqlite3.connect(settings.database_file)) as connection:
            connection.execute("DELETE FROM checkpoints WHERE size = (SELECT max(size) FROM checkpoints)")
            connection.execute("UPDATE authority SET version = version - 1")
            connection.commit()
        wait_until(lambda: client.get("/readyz").status_code == 503)
        assert client.get(TOKENS).status_code == 503
        with pytest.raises(Unavailable):  # streams that are open end as well
            its.authority.feed.document(0, 10)
        with pytest.raises(Unavailable):
            its.authority.feed.last()


def test_a_server_that_is_started_without_its_checkpoints_file_says_so(settings: Settings, tmp_path: Path) -> None:
    """An operator may leave the option out after a restore, and commands go on to find the older database."""
    file, without = Path(settings.audit_checkpoints), load_settings(data=tmp_path)
    leave_word(settings.database_url, file)
    for _ in range(2):
        with open_authority(without) as authority:
            assert f"the last server kept its checkpoints in {file}" in authority.comparison.not_compared
    with served(without) as client:
        assert client.get("/readyz").json()["status"] == "database_older"
    file.rename(tmp_path / "away")
    with open_authority(without) as authority:
        assert authority.comparison.not_compared == ""


def test_checkpoints_that_go_to_an_address_are_not_compared(settings: Settings, tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path, audit_checkpoints="https://checkpoints.example.com/authsec")
    with served(settings) as client:
        assert "not read" in client.get("/readyz").json()["audit_checkpoints_not_compared"]


@pytest.fixture
def older(settings: Settings, authsec: Callable[..., Result], tmp_path: Path) -> Callable[..., Result]:
    """`authsec` on the older database, whose last server has left the name of its checkpoints file."""
    shutil.copy(tmp_path / "backup", settings.database_file)  # `authsec` has put another one there
    leave_word(settings.database_url, Path(settings.audit_checkpoints))
    return authsec


def leave_word(url: str, checkpoints: Path | None) -> None:
    with closing(open_database(url)) as database:
        database.append(lambda tx: remember_checkpoints_file(tx, checkpoints))


@pytest.mark.opens_anew
def test_commands_compare_with_the_checkpoints_of_the_server_without_a_setting(
    older: Callable[..., Result], settings: Settings, tmp_path: Path
) -> None:
    told = older("audit", "checkpoint", "--json")
    assert "older than a checkpoint that it signed" in json.loads(told.stdout)["older"]
    assert json.loads(told.stdout)["not_compared"] is None
    refused = older("roles", "create", "Other", "--action", "a:b")
    assert (refused.exit_code, "authsec admin restored" in refused.stderr) == (5, True), refused.output
    done = older("admin", "restored", "--yes")
    assert "The newest outside checkpoint was signed at 20" in done.stdout, done.output
    assert older("roles", "create", "Other", "--action", "a:b").exit_code == 0
    assert json.loads(older("audit", "checkpoint", "--json").stdout)["older"] is None


@pytest.mark.opens_anew
def test_a_database_that_was_not_compared_is_not_said_to_be_up_to_date(
    older: Callable[..., Result], settings: Settings, tmp_path: Path
) -> None:
    gone = tmp_path / "checkpoints"
    gone.unlink()
    for checkpoints, why in ((gone, f"{gone} is new or empty"), (None, "no file with outside checkpoints")):
        leave_word(settings.database_url, checkpoints)
        told = older("audit", "checkpoint", "--json")
        assert why in json.loads(told.stdout)["not_compared"]
        assert "was not compared with outside checkpoints" in told.stderr
        assert "AUTHSEC_SERVER_AUDIT_CHECKPOINTS=FILE" in told.stderr


def test_a_file_without_a_checkpoint_is_refused_before_anything_is_done(
    older: Callable[..., Result], settings: Settings, tmp_path: Path
) -> None:
    before, file = settings.database_file.read_bytes(), tmp_path / "wrong"
    for content, what in (
        ("", "it is empty"),
        ("{}\n", "its only line is not a checkpoint"),
        ("a.b\nc\n", "none of its 2 lines"),
    ):
        file.write_text(content)
        refused = older("admin", "restored", "--checkpoint", str(file), "--yes")
        assert (refused.exit_code, refused.stdout) == (1, ""), refused.output
        assert f"{file} has no checkpoint: {what}" in refused.stderr
        assert "authsec audit checkpoint > FILE" in refused.stderr
    assert settings.database_file.read_bytes() == before


def test_a_dry_run_says_what_a_restore_would_do_and_leaves_nothing(
    older: Callable[..., Result], settings: Settings
) -> None:
    def version() -> int:
        with closing(sqlite3.connect(settings.database_file)) as connection:
            return int(connection.execute("SELECT version FROM authority").fetchone()[0])

    before = version()
    told = older("admin", "restored", "--dry-run")
    assert told.exit_code == 0, told.output
    first, raised, *rest = told.stdout.splitlines()
    assert first == "Nothing was changed. This would happen:"
    assert raised == f"  authority version raised: {before:,} → {1_000_001 + before:,}"
    assert sum(line.startswith("  signing key revoked: ") for line in rest) == 2
    assert "  revocation feed: a new epoch, each follower gets a complete snapshot" in rest
    assert "What stops: nothing" in told.stderr
    program = json.loads(older("admin", "restored", "--dry-run", "--json").stdout)
    assert (program["dry_run"], len(program["revoked_keys"])) == (True, 2)
    assert version() == before


def test_what_is_newer_is_said_before_a_restore_is_recorded(
    older: Callable[..., Result], settings: Settings, tmp_path: Path
) -> None:
    sealed = json.loads(older("admin", "restored", "--dry-run", "--json").stdout)
    assert "older than a checkpoint that it signed" in sealed["older"]
    told = older("admin", "restored", "--dry-run").stderr.splitlines()
    assert told[0].startswith(f"Last checkpoint in the database: {sealed['sealed']} events, signed at 20")
    assert told[1].startswith(f"Newest outside checkpoint: {sealed['sealed'] + 1} events, signed at 20")
    assert told[2] == sealed["older"]
    (tmp_path / "checkpoints").unlink()
    assert "No outside checkpoint was read, so nothing shows" in older("admin", "restored", "--dry-run").stderr


def test_of_a_current_database_it_is_said_that_nothing_is_newer(
    authsec: Callable[..., Result], settings: Settings, tmp_path: Path
) -> None:
    shutil.copy(tmp_path / "backup", settings.database_file)
    file = tmp_path / "current"
    file.write_text(f"{json.loads(authsec('audit', 'checkpoint', '--json').stdout)['checkpoint']}\n")
    leave_word(settings.database_url, file)
    declined = authsec("admin", "restored")
    assert declined.exit_code == 1
    assert "No outside checkpoint is newer than the database" in declined.stderr
    assert "If no backup was restored, record nothing" in declined.stderr
    assert json.loads(authsec("admin", "restored", "--dry-run", "--json").stdout)["older"] is None


@pytest.mark.soak
def test_a_second_record_of_the_same_restore_is_made_only_where_it_is_asked_for(
    older: Callable[..., Result], settings: Settings, tmp_path: Path
) -> None:
    first = json.loads(older("admin", "restored", "--yes", "--json").stdout)
    told = older("admin", "restored", "--yes")
    assert told.exit_code == 0, told.output
    assert "A restore of this database was already recorded at 20" in told.stdout
    assert f"UTC, at version {first['authority_version']:,}." in told.stdout
    assert "Nothing was changed." in told.stdout
    second = json.loads(older("admin", "restored", "--yes", "--json").stdout)
    assert (second["already_restored"], second["authority_version"]) == (True, first["authority_version"])
    more = older("admin", "restored", "--yes", "--disable", "helper")
    assert (more.exit_code, "--again" in more.stderr) == (4, True), more.output
    again = json.loads(older("admin", "restored", "--yes", "--again", "--json").stdout)
    assert again["version_before"] == first["authority_version"]


@pytest.mark.soak
def test_a_restore_is_recorded_again_where_checkpoints_are_newer_than_the_last_record(
    older: Callable[..., Result], settings: Settings, tmp_path: Path
) -> None:
    assert older("admin", "restored", "--yes").exit_code == 0
    shutil.copy(settings.database_file, tmp_path / "backup")
    time.sleep(1.1)  # checkpoints have whole seconds: one of the same second may be from before the record
    with served(settings) as client:
        client.post(f"{API}/roles", json={"name": "Other", "actions": ["a:b"]})
        wait_until(
            lambda: client.get(f"{API}/events/checkpoint").json()["checkpoint"] in text_of(tmp_path / "checkpoints")
        )
        newest = client.get(f"{API}/events").json()["items"][0]
        wait_until(lambda: newest["id"] in sealed(client))
        wait_until(
            lambda: client.get(f"{API}/events/checkpoint").json()["checkpoint"] in text_of(tmp_path / "checkpoints")
        )
    unchanged = json.loads(older("admin", "restored", "--yes", "--json").stdout)
    assert unchanged["already_restored"], "the checkpoints are those of this database"
    shutil.copy(tmp_path / "backup", settings.database_file)
    done = json.loads(older("admin", "restored", "--yes", "--json").stdout)
    assert (done["already_restored"], done["version_before"]) == (False, unchanged["authority_version"])


def test_nothing_is_recorded_in_an_empty_database(authsec: Callable[..., Result], tmp_path: Path) -> None:
    """A dump can still be loaded into it."""
    file = tmp_path / "authsec.sqlite3"
    file.write_bytes(b"")
    (tmp_path / "master.key").unlink()
    for options in (("--yes",), ("--dry-run",), ()):
        refused = authsec("admin", "restored", *options)
        assert (refused.exit_code, refused.stdout) == (4, ""), refused.output
        assert "The database is empty: no backup was restored into it. Nothing was recorded." in refused.stderr
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    assert not (tmp_path / "master.key").exists()


@pytest.mark.parametrize(
    ("content", "why"),
    some_rows_of(
        [
            (None, "is new or empty"),
            ("", "is new or empty"),
            ("eyJh.eyJi.c2ln\n", "has no checkpoint of this authority"),
        ]
    ),
)
def test_a_checkpoints_file_without_checkpoints_is_named_where_there_were_some(
    settings: Settings, tmp_path: Path, content: str | None, why: str
) -> None:
    """A mistyped path, say. The next start has checkpoints to compare with."""
    key = cli("admin", "create-key", "ops", "--role", "viewer", "--data", str(tmp_path)).stdout.strip()
    mistyped = tmp_path / "haeds"
    if content is not None:
        mistyped.write_text(content)
    settings = load_settings(data=tmp_path, audit_checkpoints=str(mistyped))
    with capture_logs() as said, open_authority(settings) as authority:
        assert authority.comparison.problem is None
        door = TestClient(authority.app, base_url="http://127.0.0.1")
        assert f"{mistyped} {why}" in door.get("/readyz").json()["audit_checkpoints_not_compared"]
        checkpoint = authority.database.read(lambda tx: tx.connection.exec_driver_sql(NEWEST).scalar_one())
        with serving(SimpleNamespace(authority=authority)) as url:
            told = cli("audit", "checkpoint", AUTHSEC_BASE_URL=url, AUTHSEC_ADMIN_KEY=key)
    (warning,) = [each for each in said if "was not compared" in each["event"]]
    assert (warning["log_level"], f"{mistyped} {why}" in warning["why"]) == ("warning", True)
    assert (told.exit_code, told.stdout.count(".")) == (0, 2), told.output
    assert f"The server did not compare its database with outside checkpoints: {mistyped} {why}" in told.stderr
    mistyped.write_text(f"{checkpoint}\n")
    with open_authority(settings) as authority:
        assert authority.comparison.not_compared == ""


def test_a_new_authority_with_a_new_checkpoints_file_is_in_order(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir(mode=0o700)
    with open_authority(
        load_settings(data=tmp_path / "new", audit_checkpoints=str(tmp_path / "checkpoints"))
    ) as authority:
        assert authority.comparison.not_compared == ""
