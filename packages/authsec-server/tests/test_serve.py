"""`authsec serve` refuses to start where it must, and says what would help."""

from __future__ import annotations

import base64
import json
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import structlog
from authsec_server.cli.serve import serve
from click.testing import CliRunner, Result


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """The command configures its process's log; here it shares the process with other tests."""
    yield
    structlog.reset_defaults()


def start(*options: str, **environment: str) -> Result:
    return CliRunner().invoke(serve, options, env=environment)


def refused(result: Result, *says: str) -> None:
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    for text in says:
        assert text in result.output


@contextmanager
def answering(metadata: dict[str, str]) -> Iterator[int]:
    """Another program's port, at which this metadata is served."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(metadata).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_a_busy_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused(start("--data", str(tmp_path), "--port", port), f"port {port}", "already in use.", "--port")


def test_a_port_where_an_authority_answers(tmp_path: Path) -> None:
    """Whoever started it twice is told that it runs; of another program it is not claimed."""
    said = {}
    for metadata in ({"issuer": "http://127.0.0.1:1", "delegation_token_endpoint": "-"}, {}):
        with answering(metadata) as port:
            result = start("--data", str(tmp_path), "--port", str(port))
            refused(result, f"port {port}", "--port")
            said[bool(metadata)] = result.output
    assert "An AuthSec server already runs there: http://127.0.0.1:1." in said[True]
    assert "A second authority also needs its own data: --data" in said[True]
    assert "Stop the program that uses this port" in said[False]


def test_a_busy_metrics_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused(start("--data", str(tmp_path), "--port", "0", "--metrics-port", port), f"metrics port {port}")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused(start("--data", str(tmp_path / "file" / "data"), "--port", "0"), "is not writable", "--data DIR")


def test_off_loopback_without_a_public_url(tmp_path: Path) -> None:
    refused(start("--data", str(tmp_path), "--host", "0.0.0.0", "--port", "0"), "AUTHSEC_SERVER_PUBLIC_URL=https://")


def test_postgresql_without_a_master_key(postgres_url: str) -> None:
    refused(start("--database", postgres_url, "--port", "0"), "AUTHSEC_SERVER_MASTER_KEY_FILE", "openssl rand")


def test_a_postgresql_that_is_away(tmp_path: Path) -> None:
    url = "postgresql://nobody:hunter2@127.0.0.1:1/none"
    result = start("--database", url, "--port", "0")
    refused(result, "cannot be reached")
    assert "hunter2" not in result.output


def prepared(data: Path) -> Path:
    """A data folder as a first start leaves it."""
    from authsec_server.app import open_authority
    from authsec_server.settings import load_settings

    with open_authority(load_settings(data=data)):
        return data


def test_a_wrong_master_key(tmp_path: Path) -> None:
    (prepared(tmp_path) / "master.key").write_bytes(base64.b64encode(b"w" * 32))
    refused(start("--data", str(tmp_path), "--port", "0"), "master.key")
    assert (tmp_path / "master.key").read_bytes() == base64.b64encode(b"w" * 32), "it was made anew"


@pytest.mark.parametrize("content", [b"", b"not base64!", base64.b64encode(b"short")])
def test_a_corrupt_master_key(tmp_path: Path, content: bytes) -> None:
    (prepared(tmp_path) / "master.key").write_bytes(content)
    refused(start("--data", str(tmp_path), "--port", "0"), "master.key")


def test_a_master_key_that_is_gone(tmp_path: Path) -> None:
    (prepared(tmp_path) / "master.key").unlink()
    refused(start("--data", str(tmp_path), "--port", "0"), "master.key")
    assert not (tmp_path / "master.key").exists()


def test_a_master_key_that_others_may_read(tmp_path: Path) -> None:
    (prepared(tmp_path) / "master.key").chmod(0o644)
    refused(start("--data", str(tmp_path), "--port", "0"), "chmod 600")


def test_a_schema_from_the_future(tmp_path: Path) -> None:
    prepared(tmp_path)
    with closing(sqlite3.connect(tmp_path / "authsec.sqlite3")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.execute("UPDATE authority SET oldest_release = '999.0'")
    refused(start("--data", str(tmp_path), "--port", "0"), "newer AuthSec")


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "authsec.sqlite3").write_bytes(b"something else entirely" * 100)
    (tmp_path / "authsec.sqlite3").chmod(0o600)
    refused(start("--data", str(tmp_path), "--port", "0"), "not a database")


def test_half_a_tls_pair(tmp_path: Path) -> None:
    refused(start("--data", str(tmp_path), "--port", "0", "--tls-cert", "x.pem"), "must be set together")


def test_a_tls_pair_that_cannot_be_read(tmp_path: Path) -> None:
    refused(start("--data", str(tmp_path), "--port", "0", "--tls-cert", "x.pem", "--tls-key", "y.pem"), "TLS")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--audit-checkpoints", "/dev/null"), "AUTHSEC_SERVER_AUDIT_CHECKPOINTS names /dev/null"),
        (("--audit-checkpoints", "ftp://sink.example/"), "AUTHSEC_SERVER_AUDIT_CHECKPOINTS cannot be used"),
        (("--host", "0.0.0.0"), "AUTHSEC_SERVER_PUBLIC_URL=https://"),
    ],
)
def test_what_is_mistyped_leaves_no_folder_behind(tmp_path: Path, options: tuple[str, ...], says: str) -> None:
    refused(start("--data", str(tmp_path / "new"), "--port", "0", *options), says)
    assert not (tmp_path / "new").exists()


def test_several_workers_on_sqlite(tmp_path: Path) -> None:
    result = start("--data", str(tmp_path / "new"), "--port", "0", "--workers", "2")
    refused(result, "SQLite has one writer", "--database postgresql://", "leave out --workers")
    assert not (tmp_path / "new").exists()


def test_several_workers_on_a_busy_port(postgres_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused(start("--database", postgres_url, "--port", port, "--workers", "2"), f"port {port}", "--port")


def test_several_workers_on_a_busy_metrics_port(postgres_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        options = ("--port", "0", "--workers", "2", "--metrics-port", port)
        refused(start("--database", postgres_url, *options), f"metrics port {port}", "--metrics-port")


def test_metrics_on_the_port_of_agents(tmp_path: Path) -> None:
    options = ("--port", "7999", "--metrics-port", "7999", "--metrics-host", "127.0.0.2")
    refused(start("--data", str(tmp_path), *options), "AUTHSEC_SERVER_METRICS_PORT must differ")


@pytest.mark.soak
def test_a_first_worker_that_cannot_start(postgres_url: str, capfd: pytest.CaptureFixture[str]) -> None:
    """It says why, and the command ends with its status."""
    result = start("--database", postgres_url, "--port", "0", "--workers", "2")
    assert result.exit_code == 1
    said = capfd.readouterr().err
    assert said.count("AUTHSEC_SERVER_MASTER_KEY_FILE") == 1
    assert "Traceback" not in said
