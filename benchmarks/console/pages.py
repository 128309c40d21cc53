"""How long the server takes for each page of the console, on a database that `fill.py` has filled.

    uv run --no-sync python benchmarks/console/fill.py sqlite:////tmp/company/authsec.sqlite3
    uv run --no-sync python benchmarks/console/pages.py sqlite:////tmp/company/authsec.sqlite3

It prints, for each page, the least, the median and the most milliseconds of 20 requests after 2 that do not count,
one after the other, each with everything between the request's arrival and the last byte of its answer; the least
processor time that this process took (on SQLite all there is, on PostgreSQL without the database's), which nobody else
on the machine can lengthen; and the size of the answer. The console is in this process, so there is no network. An
administrator has signed in: each request looks the session up, as any does.
"""

from __future__ import annotations

import argparse
import logging
import secrets
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import structlog
from addresses import addresses
from authsec_server.accounts import administrators
from authsec_server.accounts.authentication import cookie_name
from authsec_server.accounts.model.sessions import BrowserCaller
from authsec_server.app import Authority, open_authority
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.settings import load_settings
from one_of_each import find_examples
from starlette.testclient import TestClient

WARM = 2
WHO = "admin-1@example.com"


def main() -> None:
    """Measure every page, or those that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", help="SQLAlchemy URL of a database that fill.py has filled")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--only", default="", help="measure addresses that contain this")
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))  # no line for each request
    with opened(asked.database) as authority, TestClient(authority.app, base_url="http://127.0.0.1") as client:
        sign_in(authority, client)
        print("".join(f"{head:>8}" for head in ("least", "median", "most", "work", "kB")), " page   (ms)")
        for path in addresses(authority.database.read(find_examples)):
            if asked.only in path:
                _measure(client, path, asked.runs)


@contextmanager
def opened(url: str) -> Iterator[Authority]:
    """The authority on this database."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open_authority(load_settings(**where(url, Path(folder)))) as authority,
    ):
        yield authority


def where(url: str, folder: Path) -> dict[str, str]:
    """The settings of an authority on this database. What PostgreSQL does not keep is in the folder."""
    if url.startswith("sqlite"):
        return {"data": str(Path(url.removeprefix("sqlite:///")).parent)}
    key = folder / "master.key"
    key.write_bytes(b64encode(bytes(32)))  # the same each time, for the signing keys that are there already
    key.chmod(0o600)
    return {"data": str(folder), "database": url, "master_key_file": str(key)}


def sign_in(authority: Authority, client: TestClient) -> None:
    """Have an administrator come in by a link, and the client send the cookie."""
    act = Act(
        principal=LOCAL_OPERATOR, now=datetime.now(UTC), request_id="", address="", token_bytes=secrets.token_bytes
    )
    link = authority.database.change(lambda tx: administrators.for_a_sign_in(tx, act, WHO))
    session = authority.sign_in.by_link(link.code, BrowserCaller(request_id="", address="127.0.0.1"))
    client.cookies.set(cookie_name(authority.tokens.issuer), session.cookie)


def _measure(client: TestClient, path: str, runs: int) -> None:
    taken, worked = [], []
    for _ in range(WARM + runs):
        begin, work = time.perf_counter(), time.process_time()
        answer = client.get(path, follow_redirects=False)
        taken.append(1000 * (time.perf_counter() - begin))
        worked.append(1000 * (time.process_time() - work))
    taken = sorted(taken[WARM:])
    wrong = "" if answer.status_code == 200 else f"   status {answer.status_code}"
    figures = (taken[0], median(taken), taken[-1], min(worked[WARM:]), len(answer.content) / 1000)
    print("".join(f"{figure:8.1f}" for figure in figures), f" {path}{wrong}", flush=True)


if __name__ == "__main__":
    main()
