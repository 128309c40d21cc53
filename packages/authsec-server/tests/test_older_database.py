"""A server whose database is older than its outside heads issues nothing and changes nothing, and says so."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from authsec_server.app import older_database, open_authority
from authsec_server.audit import service as audit
from authsec_server.audit.model import Event, EventKind
from authsec_server.audit.sealing import sealer
from authsec_server.failures import Unavailable
from authsec_server.settings import Settings, load_settings
from click.testing import Result
from starlette.testclient import TestClient

API = "/authsec/api/v1"
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
    """Of an authority whose database was put back to when it had one role less; its heads are kept outside."""
    shutil.copytree(begun_today, tmp_path, dirs_exist_ok=True)
    its = load_settings(data=tmp_path, audit_heads=str(tmp_path / "heads"))
    with served(its) as client:
        wait_until(lambda: client.get(f"{API}/events/head").status_code == 200)
    shutil.copy(its.database_file, tmp_path / "backup")
    with served(its) as client:
        assert client.post(f"{API}/roles", json={"name": "Support", "actions": ["a:b"]}).status_code == 201
        wait_until(lambda: client.get(f"{API}/events/head").json()["head"] in text_of(tmp_path / "heads"))
        newest = client.get(f"{API}/events").json()["items"][0]
        wait_until(lambda: newest["id"] in sealed(client))
        wait_until(lambda: client.get(f"{API}/events/head").json()["head"] in text_of(tmp_path / "heads"))
    shutil.copy(tmp_path / "backup", its.database_file)
    return its


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
        assert "older than a head it signed at" in ready.json()["problem"]
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
        # Without it a client may send its secret to the API that it wants to call.
        assert client.get("/.well-known/oauth-authorization-server").json()["token_endpoint"]
        assert client.get("/authsec/.well-known/openid-configuration").status_code == 200
        assert client.get(f"{API}/roles").json()["items"] == []
        assert "older than a head" in client.get(f"{API}/events/head").json()["older"]
        page = client.get("/console")
        assert "Nothing is issued and nothing is changed" in page.text
        form = client.post("/console/roles/create", headers={"Origin": "http://127.0.0.1"}, data={"name": "Other"})
        assert form.status_code == 503
        assert "authsec admin restored" in form.text
        time.sleep(0.3)  # neither the sealing nor the maintenance writes anything
        assert settings.database_file.read_bytes() == before
        assert not Path(f"{settings.database_file}-wal").stat().st_size
    assert settings.database_file.read_bytes()[100:] == before[100:]


def test_nothing_is_sealed_over_an_older_database(settings: Settings) -> None:
    """Its heads would stand in the file as if they were of the history that was lost."""
    its = served(settings)
    with its as client:
        sent, size = text_of(Path(settings.audit_heads)), len(sealed(client))
        event = Event(at=datetime.now(UTC), kind=EventKind.ROLE_CREATED, request_id="req_test")
        its.authority.database.append(lambda tx: audit.record(tx, event))
        time.sleep(0.5)
        assert len(sealed(client)) == size
        assert text_of(Path(settings.audit_heads)) == sent


def test_a_running_server_goes_on_once_the_restore_is_recorded(
    settings: Settings, authsec: Callable[..., Result], tmp_path: Path
) -> None:
    shutil.copy(tmp_path / "backup", settings.database_file)  # `authsec` has put another one there
    lines = (tmp_path / "heads").read_text()
    with served(settings) as client:
        assert client.get("/readyz").status_code == 503
        told = authsec("admin", "restored", "--head", str(tmp_path / "heads"), "--yes")
        assert told.exit_code == 0, told.output
        assert "2 signing keys are revoked" in told.stdout
        wait_until(lambda: client.get("/readyz").status_code == 200)
        assert client.post(f"{API}/roles", json={"name": "Other", "actions": ["a:b"]}).status_code == 201
        assert client.get("/authsec/v1/revocations?since=0").json()["last"] > 1_000_000
        wait_until(lambda: (tmp_path / "heads").read_text() != lines)
        assert client.get(f"{API}/events/head").json()["older"] is None
    with served(settings) as client:
        wait_until(lambda: client.get("/readyz").json() == {"status": "ready"})


def test_a_command_on_this_machine_changes_nothing_either(
    settings: Settings, authsec: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copy(tmp_path / "backup", settings.database_file)
    monkeypatch.setenv("AUTHSEC_SERVER_AUDIT_HEADS", settings.audit_heads)
    refused = authsec("roles", "create", "Other", "--action", "a:b")
    assert refused.exit_code != 0
    assert "authsec admin restored" in refused.stderr
    assert "older than a head it signed" in authsec("audit", "head").stderr
    rebuilt = authsec("audit", "rebuild-counts", "--yes")
    assert (rebuilt.exit_code, "Nothing is changed in an older database" in rebuilt.stderr) == (1, True)
    declined = authsec("admin", "restored")
    assert "Nobody was there to answer" in declined.stderr
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
            connection.execute("DELETE FROM seal_heads WHERE size = (SELECT max(size) FROM seal_heads)")
            connection.execute("UPDATE authority SET version = version - 1")
            connection.commit()
        wait_until(lambda: client.get("/readyz").status_code == 503)
        assert client.get(TOKENS).status_code == 503
        with pytest.raises(Unavailable):  # streams that are open end as well
            its.authority.feed.document(0, 10)
        with pytest.raises(Unavailable):
            its.authority.feed.last()


def test_heads_that_go_to_an_address_are_not_compared(settings: Settings, tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path, audit_heads="https://heads.example.com/authsec")
    with served(settings) as client:
        assert "not read" in client.get("/readyz").json()["audit_heads_not_compared"]
