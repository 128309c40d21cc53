"""Serve the console of the sample company on loopback. The time is fixed at `NOW`."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from authsec_demo.loopback import serving
from authsec_server.app import Runtime, open_authority
from authsec_server.settings import load_settings
from playwright.sync_api import StorageState, StorageStateCookie
from sample_company import COMPANY, Company, found
from starlette.testclient import TestClient
from structlog.testing import capture_logs

NOW = datetime(2026, 5, 21, 9, 30, tzinfo=UTC)
MARY = {"name": "Mary Ansah", "email": "mary@example.com", "password": "a lantern in the harbour"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The served console: its URL, and the browser session of its administrator."""

    url: str
    session: StorageState
    clients: dict[str, str]  # the Client ID of each agent, by slug


@contextmanager
def shown(folder: Path, company: Company | None = COMPANY) -> Iterator[Shown]:
    """Serve the console with data in `folder`. The ids are the same in each run. No company, no data."""
    settings = load_settings(data=folder, environment="STAGING")
    dice = random.Random("AuthSec").randbytes  # noqa: S311 - these ids protect nothing
    if company is None:
        folder.mkdir()
    else:
        found(settings, NOW, token_bytes=dice, company=company)
    around = Runtime(now=lambda: NOW, token_bytes=dice)
    with capture_logs(), open_authority(settings, local_operator=True, runtime=around) as authority:
        operator = TestClient(authority.app, base_url=settings.issuer)
        clients = operator.get("/authsec/api/v1/clients").json()["items"]
        link = operator.post("/authsec/api/v1/setup-links", json={"purpose": "first_administrator"}).json()["path"]
    with (
        capture_logs(),
        open_authority(settings, runtime=around) as authority,
        serving(authority.app) as url,
    ):
        # A real server seals events every second. This authority has no background tasks.
        while authority.dropper.sealer.seal():
            pass
        entering = TestClient(authority.app, base_url=url, follow_redirects=False)
        yield Shown(
            url=url, session=_session(entering, link), clients={each["slug"]: each["client_id"] for each in clients}
        )


def _session(http: TestClient, link: str) -> StorageState:
    code = parse_qs(urlsplit(link).query)["code"][0]
    form = MARY | {"code": code, "again": MARY["password"]}
    answer = http.post("/console/set-up", data=form, headers={"Origin": str(http.base_url)})
    return {"cookies": [_cookie(name, value) for name, value in answer.cookies.items()]}


def _cookie(name: str, value: str) -> StorageStateCookie:
    return {
        "name": name,
        "value": value,
        "domain": "127.0.0.1",
        "path": "/",
        "expires": -1,
        "httpOnly": True,
        "secure": False,
        "sameSite": "Lax",
    }
