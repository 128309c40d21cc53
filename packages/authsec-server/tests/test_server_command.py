"""The commands that the console prints for the server's machine: the options that name the server's data."""

from __future__ import annotations

from pathlib import Path

import pytest
from authsec_server.console.server_command import needs_variables, server_command
from authsec_server.settings import load_settings

URL = "postgresql://authsec@db.example.com/authsec"


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AUTHSEC_SERVER_DATA", "AUTHSEC_SERVER_DATABASE", "AUTHSEC_SERVER_MASTER_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)


def test_the_default_folder_needs_no_option() -> None:
    assert server_command(load_settings(), "admin setup-url") == "uv run authsec admin setup-url"


def test_another_folder_is_named_and_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings(data=Path("its data"))
    assert server_command(settings, "audit verify", is_guest=True) == "uv run authsec audit verify --data DIR"
    line = server_command(settings, "admin setup-url")
    assert line == f"uv run authsec admin setup-url --data '{tmp_path}/its data'"


def test_a_database_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    key = tmp_path / "master.key"
    settings = load_settings(database=URL, master_key_file=key)
    assert server_command(settings, "audit verify") == f"uv run authsec audit verify --database {URL}"
    assert server_command(settings, "audit verify", is_guest=True) == "uv run authsec audit verify --database URL"
    assert needs_variables(settings)
    secret = load_settings(database=URL.replace("authsec@", "authsec:hunter2@"), master_key_file=key)
    assert server_command(secret, "audit verify") == "uv run authsec audit verify --database URL"
    monkeypatch.setenv("AUTHSEC_SERVER_DATABASE", URL)
    inherited = load_settings(master_key_file=key)
    assert server_command(inherited, "audit verify") == "uv run authsec audit verify"
