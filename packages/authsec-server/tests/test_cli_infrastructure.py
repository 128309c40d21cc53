"""How commands reach an authority, which one they mean, and what a person or a program sees of it."""

from __future__ import annotations

import datetime as dt
import io
import ipaddress
import json
import socket
import sqlite3
import threading
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click
import httpx2
import pytest
import structlog
import structlog.testing
import uvicorn
from authsec.lazy_commands import loaded
from authsec_server.app import open_authority
from authsec_server.cli import register, remote
from authsec_server.cli.caller import path
from authsec_server.cli.output import block, harmless, styled, table
from authsec_server.console.server_command import shareable
from authsec_server.db import open_database, sqlite
from authsec_server.settings import Settings
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text
from sqlalchemy import text

Authsec = Callable[..., Result]
SOME_KEY = "authsec_" + "A" * 43


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Authsec:
    """The command `authsec` where nothing is set and nothing is there: `run("keys", "list", AUTHSEC_…=…)`."""
    for name in ("AUTHSEC_ADMIN_KEY", "AUTHSEC_BASE_URL", "AUTHSEC_CA_FILE", "AUTHSEC_ALLOW_HTTP_HOSTS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    group = click.Group()
    register(group)
    return lambda *arguments, **environment: CliRunner().invoke(group, arguments, env=environment)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data folder of an authority that was started once."""
    folder = tmp_path / "data"
    folder.mkdir()
    with open_authority(Settings(data=folder)):
        pass
    return folder


@contextmanager
def serving(folder: Path, **uvicorn_options: Any) -> Iterator[str]:
    """The authority over this data on a real socket: host and port."""
    with open_authority(Settings(data=folder)) as authority, structlog.testing.capture_logs():
        options = {"lifespan": "off", "log_config": None, "access_log": False} | uvicorn_options
        server = uvicorn.Server(uvicorn.Config(authority.app, host="127.0.0.1", port=0, **options))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started and thread.is_alive():
            pass
        try:
            yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


class Elsewhere(ThreadingHTTPServer):
    """Something that is no authority: answers as it is told, and remembers what it was sent."""

    def __init__(self, status: int = 200, body: bytes = b"", **headers: str) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.reply = (status, body, headers)
        self.seen: list[tuple[str, str]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Elsewhere:
        threading.Thread(target=self.serve_forever, args=(0.01,)).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Answer(BaseHTTPRequestHandler):
    server: Elsewhere

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers.get("Authorization", "")))
        status, body, headers = self.server.reply
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_CONNECT = do_POST = do_GET  # noqa: N815 - the names by which the class is called

    def log_message(self, *_: object) -> None:
        """No line on stderr for each request."""


def failed(result: Result, status: int = 1) -> str:
    """What was said on stderr; nothing may be on stdout, and nothing may look like a program that broke."""
    assert result.exit_code == status, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert isinstance(result.exception, SystemExit)
    return result.stderr


# Which authority.


def test_without_any_hint_both_ways_are_said(run: Authsec) -> None:
    said = failed(run("keys", "list"), status=2)
    for way in ("--data DIR", "--database URL", "AUTHSEC_BASE_URL", "AUTHSEC_ADMIN_KEY"):
        assert way in said


@pytest.mark.parametrize(
    ("command", "role"),
    [
        (("issuers", "add", "kubernetes", "Production", "--from-kubeconfig"), "admin"),
        (("admin", "invite", "ann@example.com", "--name", "Ann", "--role", "viewer"), "admin"),
        (("keys", "rotate"), "admin"),
        (("issuers", "bind", "production"), "operator"),
        (("agents", "disable", "helper"), "operator"),
    ],
)
def test_the_advice_to_create_a_key_names_the_role_that_the_command_needs(
    run: Authsec, command: tuple[str, ...], role: str
) -> None:
    line = f"authsec admin create-key NAME --role {role} --expires 30d"
    assert line in failed(run(*command), status=2)
    wrong = {"AUTHSEC_ADMIN_KEY": "hunter2", "AUTHSEC_BASE_URL": "https://authsec.example.com"}
    if "--from-kubeconfig" not in command:  # the kubeconfig is read before the request
        assert line in failed(run(*command, **wrong))


def test_one_variable_without_the_other_is_told_as_the_missing_one(run: Authsec) -> None:
    said = failed(run("keys", "list", AUTHSEC_BASE_URL="https://authsec.example.com"), status=2)
    assert "AUTHSEC_BASE_URL is set, but AUTHSEC_ADMIN_KEY is not." in said
    said = failed(run("keys", "list", AUTHSEC_ADMIN_KEY=SOME_KEY))
    assert "AUTHSEC_ADMIN_KEY is set, but AUTHSEC_BASE_URL is not" in said


def test_a_folder_without_data_is_not_begun(run: Authsec, tmp_path: Path) -> None:
    for folder, lacking in (
        (tmp_path / "nowhere", f"There is no folder {tmp_path / 'nowhere'}."),
        (tmp_path / "empty", f"{tmp_path / 'empty'} has no AuthSec database."),
    ):
        for command in (("admin", "create-key", "ci"), ("keys", "list")):
            said = failed(run(*command, "--data", str(folder)))
            assert lacking in said
            assert "Check the path" in said
            assert "serve --data" not in said, "it would begin a second authority"
    assert not (tmp_path / "nowhere").exists()
    assert list((tmp_path / "empty").iterdir()) == []
    assert "There is no folder elsewhere." in failed(run("keys", "list", AUTHSEC_SERVER_DATA="elsewhere"))


def test_a_database_file_that_another_process_has_locked_is_said_to_be(
    run: Authsec, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_MILLISECONDS", 10)
    with closing(sqlite3.connect(data / "authsec.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        said = failed(run("keys", "list", "--data", str(data)), status=5)
    assert "Another process has the write lock of the database file.\n  Retry shortly." in said
    assert f"lsof {data / 'authsec.sqlite3'}" in said
    assert "Check the data folder" not in said


def test_what_works_on_the_servers_machine_only_sends_nobody_elsewhere(run: Authsec) -> None:
    with Elsewhere() as server:
        for environment in ({}, {"AUTHSEC_ADMIN_KEY": SOME_KEY, "AUTHSEC_BASE_URL": server.url}):
            said = failed(run("admin", "setup-url", **environment), status=2)
            assert "--data DIR" in said
            assert "works only on that machine" in said
            assert "AUTHSEC_BASE_URL" not in said
        assert server.seen == []


def test_a_folder_that_is_named_outweighs_a_database_of_the_environment(run: Authsec, data: Path) -> None:
    other = {"AUTHSEC_SERVER_DATABASE": "postgresql://nobody@127.0.0.1:1/none"}
    assert run("keys", "list", "--data", str(data), **other).exit_code == 0
    assert "cannot be reached" in failed(run("keys", "list", AUTHSEC_SERVER_DATA=str(data), **other), status=5)


def test_the_data_of_this_place(run: Authsec, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("keys", "list", "--data", str(data)).exit_code == 0
    assert run("keys", "list", AUTHSEC_SERVER_DATA=str(data)).exit_code == 0
    data.rename(data.with_name("authsec-data"))
    monkeypatch.chdir(data.parent)
    assert run("keys", "list").exit_code == 0


def test_what_is_on_the_command_line_counts_before_the_environment(run: Authsec, data: Path) -> None:
    elsewhere = {"AUTHSEC_ADMIN_KEY": SOME_KEY, "AUTHSEC_BASE_URL": "http://127.0.0.1:1"}
    assert run("keys", "list", "--data", str(data), **elsewhere).exit_code == 0
    assert "Nothing answers at 127.0.0.1:1" in failed(run("keys", "list", **elsewhere), status=5)


def test_an_admin_key_counts_before_the_data_of_this_place(run: Authsec, data: Path) -> None:
    environment = {"AUTHSEC_SERVER_DATA": str(data), "AUTHSEC_ADMIN_KEY": SOME_KEY}
    said = failed(run("keys", "list", **environment))
    assert "AUTHSEC_ADMIN_KEY is set, but AUTHSEC_BASE_URL is not" in said
    assert "export AUTHSEC_BASE_URL=" in said


def test_settings_that_cannot_work_are_said(run: Authsec, data: Path) -> None:
    assert "AUTHSEC_SERVER_PORT" in failed(run("keys", "list", "--data", str(data), AUTHSEC_SERVER_PORT="many"))
    said = failed(run("keys", "list", "--data", str(data), AUTHSEC_SERVER_HOST="0.0.0.0"))
    assert "AUTHSEC_SERVER_PUBLIC_URL=https://" in said
    said = failed(run("keys", "list", "--database", "mysql://root:hunter2@db/authsec"))
    assert "postgresql://" in said
    assert "hunter2" not in said
    assert "cannot be reached" in failed(
        run("keys", "list", "--database", "postgresql://nobody@127.0.0.1:1/none"), status=5
    )


def test_a_database_file_that_is_none(run: Authsec, data: Path) -> None:
    (data / "authsec.sqlite3").write_bytes(b"no database, but as long as one" * 100)
    assert "file is not a database" in failed(run("keys", "list", "--data", str(data)), status=5)


def test_a_wrong_master_key_is_said(run: Authsec, data: Path) -> None:
    (data / "master.key").unlink()
    assert "master.key is missing" in failed(run("keys", "list", "--data", str(data)))


# In process.


def test_in_process_it_is_the_local_operator_without_an_address(run: Authsec, data: Path) -> None:
    run("roles", "create", "Support", "--action", "customers:read", "--data", str(data))
    event = json.loads(run("audit", "list", "--json", "--limit", "1", "--data", str(data)).stdout)["items"][0]
    assert (event["kind"], event["principal"]["kind"], event["address"]) == ("role.created", "local_operator", "")


def test_the_data_may_be_in_use_by_a_server(run: Authsec, data: Path) -> None:
    with serving(data):
        assert run("admin", "create-key", "ci", "--data", str(data)).exit_code == 0


def test_a_server_that_fails_inside_says_so_without_a_traceback(run: Authsec, data: Path) -> None:
    database = open_database(Settings(data=data).database_url)
    row = "'1', 'ci', 'king', 'x', '2026-11-25 12:00:00.000000'"
    insert = text(f"INSERT INTO admin_keys (id, name, role, key_sha256, created_at) VALUES ({row})")
    database.append(lambda tx: tx.connection.execute(insert))
    database.close()
    before = structlog.get_config()
    said = failed(run("admin", "list-keys", "--data", str(data)))
    assert "The server failed while handling this request." in said
    assert "request id  req_" in said
    assert "log: unexpected error error='KeyError' request_id='req_" in said
    assert structlog.get_config() == before, "the log of the surrounding program is its own"


def test_addresses_are_those_of_the_server(run: Authsec, data: Path) -> None:
    """Also where this shell's settings say nothing of where it is served, or where the server would refuse to start."""
    with open_authority(Settings(data=data)) as authority:
        authority.remember_issuer("https://authsec.example.com")
    for settings in ({}, {"AUTHSEC_SERVER_PORT": "7991"}, {"AUTHSEC_SERVER_HOST": "0.0.0.0"}):
        made = run("admin", "setup-url", "--data", str(data), **settings)
        assert made.stdout.startswith("https://authsec.example.com/console/set-up?code="), made.output
        key = run("admin", "create-key", f"ci {settings}", "--data", str(data), **settings)
        assert "To use the key on another machine:" in key.stderr
        assert 'AUTHSEC_BASE_URL="https://authsec.example.com"' in key.stderr
    named = run("admin", "setup-url", "--data", str(data), AUTHSEC_SERVER_PUBLIC_URL="https://other.example.com")
    assert named.stdout.startswith("https://other.example.com/console/set-up?code=")


def test_a_follow_up_names_the_same_authority_and_no_password(run: Authsec, data: Path) -> None:
    onboard = ("agents", "create", "--platform", "unattested", "--json")
    as_json = run(*onboard, "A", "--data", str(data))
    assert json.loads(as_json.stdout)["slug"] == "a"
    assert f"--max-duration 1h --data {data}\n" in run(*onboard[:-1], "B", "--data", str(data)).stdout
    assert "--data" not in run(*onboard[:-1], "C", AUTHSEC_SERVER_DATA=str(data)).stdout
    for url in ("postgresql://me:hunter2@db/authsec", "postgresql://db/authsec?password=hunter2"):
        assert shareable(url) == "URL"
    assert shareable("postgresql://me@db:5432/authsec") == "postgresql://me@db:5432/authsec"


# Elsewhere.


def test_over_the_network_with_an_admin_key(run: Authsec, data: Path) -> None:
    key = run("admin", "create-key", "ops", "--role", "viewer", "--data", str(data)).stdout.strip()
    with serving(data) as where:
        environment = {"AUTHSEC_BASE_URL": f"http://{where}/", "AUTHSEC_ADMIN_KEY": f" {key}\n"}
        listed = run("keys", "list", "--json", **environment)
        assert [item["state"] for item in json.loads(listed.stdout)["items"]].count("active") == 1

        refused = run("keys", "rotate", "--json", **environment)
        said = failed(refused)
        assert "ops has the role viewer; this action needs the role admin" in said
        request_id = said.rpartition("request id  ")[2].strip()
        assert request_id.startswith("req_")

        unknown = run("keys", "list", **environment | {"AUTHSEC_ADMIN_KEY": SOME_KEY})
        assert "This authority does not know this admin key" in failed(unknown)


def test_https_to_a_port_that_speaks_none(run: Authsec) -> None:
    with Elsewhere() as server:
        where = server.url.removeprefix("http://")
        said = failed(run("roles", "list", AUTHSEC_BASE_URL=f"https://{where}", AUTHSEC_ADMIN_KEY=SOME_KEY), status=5)
        assert f"No TLS connection to {where} could be made." in said
        assert "Check in AUTHSEC_BASE_URL that this port serves https." in said


def test_one_command_is_one_call(run: Authsec, data: Path) -> None:
    with Elsewhere(200, b'{"items": [], "next": null}') as server:
        run("audit", "list", "--limit", "7", AUTHSEC_BASE_URL=f"{server.url}/prefix", AUTHSEC_ADMIN_KEY=SOME_KEY)
        assert server.seen == [("/prefix/authsec/api/v1/events?limit=7", f"Bearer {SOME_KEY}")]


ODD_ANSWERS = [
    (200, b"<html>Sign in</html>"),
    (200, b""),
    (200, b"[]"),
    (200, b'"authsec"'),
    (502, b"Bad gateway"),
    (302, b'{"items": []}'),
]


def test_what_is_no_authority(run: Authsec) -> None:
    for status, body in ODD_ANSWERS:
        with Elsewhere(status, body) as server:
            its = {"AUTHSEC_BASE_URL": server.url, "AUTHSEC_ADMIN_KEY": SOME_KEY}
            said = failed(run("keys", "list", **its), status=5 if status == 502 else 1)
        assert f"HTTP {status} did not come from an AuthSec authority" in said


def test_an_error_without_words_is_an_error_all_the_same(run: Authsec) -> None:
    with Elsewhere(500, b"{}") as server:
        said = failed(run("keys", "list", AUTHSEC_BASE_URL=server.url, AUTHSEC_ADMIN_KEY=SOME_KEY))
    assert "The authority answered HTTP 500." in said


def test_an_answer_of_another_version_is_no_traceback(run: Authsec) -> None:
    for body in (b'{"keys": []}', b'{"items": [{}]}', b'{"items": [7]}', b'{"items": null}'):
        with Elsewhere(200, body) as server:
            said = failed(run("keys", "list", AUTHSEC_BASE_URL=server.url, AUTHSEC_ADMIN_KEY=SOME_KEY))
        assert "This version of authsec does not understand" in said


def test_a_connection_that_breaks(run: Authsec) -> None:
    with Elsewhere(200, b"{}", **{"Content-Length": "1000"}) as server:
        its = {"AUTHSEC_BASE_URL": server.url, "AUTHSEC_ADMIN_KEY": SOME_KEY}
        said = failed(run("keys", "list", **its), status=5)
    assert "broke before the answer was complete" in said


def test_a_server_that_says_nothing(run: Authsec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_TIMEOUT", httpx2.Timeout(0.1))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        said = failed(run("keys", "list", AUTHSEC_BASE_URL=f"http://{where}", AUTHSEC_ADMIN_KEY=SOME_KEY), status=5)
    assert f"{where} did not answer in time." in said


@pytest.mark.parametrize(
    "url",
    [
        "authsec.example.com",
        "ftp://a.example",
        "https://",
        "https://u:p@a.example",
        "https://a.example/?x=1",
        "https://[",
    ],
)
def test_an_address_that_is_none(run: Authsec, url: str) -> None:
    assert "AUTHSEC_BASE_URL must be" in failed(run("keys", "list", AUTHSEC_BASE_URL=url, AUTHSEC_ADMIN_KEY=SOME_KEY))


def test_another_secret_is_not_sent(run: Authsec) -> None:
    for secret in ("hunter2", "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln", SOME_KEY[:-1], "ü" * 51):
        with Elsewhere() as server:
            said = failed(run("keys", "list", AUTHSEC_BASE_URL=server.url, AUTHSEC_ADMIN_KEY=secret))
            assert server.seen == []
        assert "is not an admin key" in said
        assert secret not in said


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that nobody but its maker trusts, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "AuthSec test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file


def test_https_needs_a_certificate_that_is_trusted(run: Authsec, data: Path, certificate: tuple[Path, Path]) -> None:
    cert_file, key_file = certificate
    key = run("admin", "create-key", "ops", "--data", str(data)).stdout.strip()
    with serving(data, ssl_certfile=cert_file, ssl_keyfile=key_file) as where:
        environment = {"AUTHSEC_BASE_URL": f"https://{where}", "AUTHSEC_ADMIN_KEY": key}
        said = failed(run("keys", "list", **environment))
        assert f"The certificate of {where} is not trusted." in said
        assert "AUTHSEC_CA_FILE" in said
        assert run("keys", "list", **environment, AUTHSEC_CA_FILE=str(cert_file)).exit_code == 0
        assert "not a readable file" in failed(run("keys", "list", **environment, AUTHSEC_CA_FILE="nowhere.pem"))


def test_a_certificate_is_trusted_only_for_its_own_name(
    run: Authsec, data: Path, certificate: tuple[Path, Path]
) -> None:
    cert_file, key_file = certificate
    with serving(data, ssl_certfile=cert_file, ssl_keyfile=key_file) as where:
        elsewhere = where.replace("127.0.0.1", "localhost")
        environment = {"AUTHSEC_BASE_URL": f"https://{elsewhere}", "AUTHSEC_ADMIN_KEY": SOME_KEY}
        assert "is not trusted" in failed(run("keys", "list", **environment, AUTHSEC_CA_FILE=str(cert_file)))


# What is typed, and what is shown.


@pytest.mark.parametrize("part", ["", ".", "..", "../keys/rotate", "a/b", "/"])
def test_a_typed_part_stays_one_part_of_the_path(part: str) -> None:
    with pytest.raises(click.UsageError, match="neither an id nor a slug"):
        path("clients", part, "disable")


@given(st.text(min_size=1).filter(lambda part: "/" not in part and part not in {".", ".."}))
def test_a_typed_part_cannot_add_a_query(part: str) -> None:
    made = path("clients", part, "disable")
    assert made.count("/") == 2
    assert not set(made) & set("?#%\\ ") - {"%"}


def shown(what: Any, width: int = 200) -> str:
    console = Console(width=width, file=None, force_terminal=False)
    with console.capture() as captured:
        console.print(what)
    return captured.get()


def visible(char: str) -> bool:
    return char.isprintable() or unicodedata.category(char) == "Zs"


@given(st.text())
def test_nothing_that_a_terminal_would_obey_is_printed(value: str) -> None:
    clean = harmless(value)
    assert all(visible(char) for char in clean)
    assert harmless(clean) == clean
    for printed in (shown(table(["NAME"], [[value]])), shown(block({"name": value})), shown(styled(value, "red"))):
        assert all(char == "\n" or visible(char) for char in printed)


def test_a_table() -> None:
    made = table(["NAME", "ON", "TAGS", "NOTE"], [["[red]a[/red]", True, ["x", "y"], None], ["b", False, [], ""]])
    assert [line.split() for line in shown(made).splitlines()] == [
        ["NAME", "ON", "TAGS", "NOTE"],
        ["[red]a[/red]", "yes", "x,", "y", "-"],
        ["b", "no", "-", "-"],
    ]
    assert shown(table(["NAME"], [])).strip() == "none"
    assert shown(table(["NAME"], [[Text("own words", style="red")]])).split() == ["NAME", "own", "words"]


def test_a_column_that_is_there_to_be_copied_stays_whole() -> None:
    id_ = "6f1d2a34-0000-4000-8000-000000000001"
    assert id_ in shown(table(["ID", "NAME"], [[id_, "a long name " * 5]], whole=("ID",)), width=60)


WORDS = st.lists(st.text("abcd", min_size=1, max_size=12), min_size=1, max_size=4).map(" ".join)


@given(rows=st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=4), width=st.integers(25, 120))
@example(rows=[("a", "a", "a aaaaaaaaa"), ("aaaaaaaaaaaa", "a a aa", "a")], width=32)
def test_a_terminal_of_any_width_shows_every_word_whole(rows: list[tuple[str, ...]], width: int) -> None:
    console = Console(width=width, file=io.StringIO())
    console.print(table(("HEAD", "OTHER", "LAST"), rows))
    shown = Counter(console.file.getvalue().split())
    assert Counter(word for row in rows for cell in row for word in cell.split()) <= shown


def test_a_pipe_has_no_edge(run: Authsec, data: Path) -> None:
    name = "a name of a role that is longer than a terminal is wide, " * 2
    run("roles", "create", name, "--slug", "long", "--action", "a:b", "--data", str(data))
    assert any(name.strip() in line for line in run("roles", "list", "--data", str(data)).stdout.splitlines())


def test_json_is_ascii_so_that_no_terminal_obeys_it(run: Authsec) -> None:
    key = {"kid": "\x9b31m\u202e", "algorithm": "ES256", "state": "prepared", "created_at": "ü", "publish_until": None}
    answer = json.dumps({"items": [key], "next": None}, ensure_ascii=False)
    with Elsewhere(200, answer.encode()) as server:
        result = run("keys", "list", "--json", AUTHSEC_BASE_URL=server.url, AUTHSEC_ADMIN_KEY=SOME_KEY)
    assert result.stdout.isascii()
    assert json.loads(result.stdout) == json.loads(answer)


def test_a_change_whose_answer_does_not_come_may_have_been_done(
    run: Authsec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert (remote._WHOLE.read or 0) >= 300  # that of `authsec apply`: thousands of things may change at once
    for timeout in ("_TIMEOUT", "_WHOLE"):
        monkeypatch.setattr(remote, timeout, httpx2.Timeout(0.1))
    creates = "roles", "create", "Reader", "--action", "customers:read"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        its = {"AUTHSEC_BASE_URL": f"http://127.0.0.1:{silent.getsockname()[1]}", "AUTHSEC_ADMIN_KEY": SOME_KEY}
        told = failed(run(*creates, **its), status=5)
        assert "may have been made" in told
        assert "authsec audit list" in told
        assert "may have been made" not in failed(run(*creates, "--dry-run", **its), status=5)
        (tmp_path / "roles.yaml").write_text("roles: {}")
        compared = failed(run("apply", "--yes", "-f", str(tmp_path / "roles.yaml"), **its), status=5)
        assert "may have been made" not in compared
    with Elsewhere(200, b"{}", **{"Content-Length": "1000"}) as server:
        its["AUTHSEC_BASE_URL"] = server.url
        assert "may have been made" in failed(run(*creates, **its), status=5)


def test_every_page_of_commands_has_whole_sentences() -> None:
    group = click.Group()
    register(group)
    pages = [loaded(command) for command in group.commands.values()]
    for page in pages:
        if isinstance(page, click.Group):
            pages += [loaded(command) for command in page.commands.values()]
            told = CliRunner().invoke(page, ["--help"]).stdout
            assert "..." not in told.partition("Commands:")[2], told
