"""How long the server takes for each page of the console, on a database that `fill.py` has filled.

    python benchmarks/console/fill.py sqlite:////tmp/company/authsec.sqlite3
    python benchmarks/console/pages.py sqlite:////tmp/company/authsec.sqlite3

It prints, for each page, the least, the median and the most milliseconds of 20 requests after 2 that do not count,
one after the other, each with everything between the request's arrival and the last byte of its answer; and the size
of that answer. It is the operator's console in this process: no network, no session to look up.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from authsec_server.app import open_authority
from authsec_server.settings import load_settings
from starlette.testclient import TestClient

RUNS, WARM = 20, 2
API = "/authsec/api/v1"


def main() -> None:
    """Measure every page."""
    url = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        file = url.removeprefix("sqlite:///") if url.startswith("sqlite") else ""
        where = {"data": Path(file).parent} if file else {"data": Path(folder), "database": url}
        with open_authority(load_settings(**where), local_operator=True) as authority:
            client = TestClient(authority.app, base_url="http://127.0.0.1")
            print(f"{'least':>8} {'median':>8} {'most':>8} {'kB':>6}  page   (ms)")
            for path in pages(client):
                _measure(client, path)


def pages(client: TestClient) -> list[str]:
    """The pages that show what there is much of, with one of each thing."""
    agent = client.get(f"{API}/clients", params={"limit": 1}).json()["items"][0]
    delegation = client.get(f"{API}/delegations", params={"limit": 1}).json()["items"][0]
    event = client.get(f"{API}/events", params={"limit": 1}).json()["items"][0]
    role, api = delegation["role"]["slug"], client.get(f"{API}/apis", params={"limit": 1}).json()["items"][0]["slug"]
    held, at = delegation["client"]["slug"], f"/console/delegations/{delegation['id']}"
    draft = f"role={role}&target=AutoGen+AI+agent&client={held}"
    return [
        "/console",
        "/console/picture",
        f"/console/picture?role={role}",
        "/console/clients",
        "/console/clients?text=agent&sort=-created",
        "/console/clients?attention=unattested",
        "/console/clients/onboard",
        f"/console/clients/{agent['slug']}",
        f"/console/clients/{held}",
        f"/console/clients/{held}/connect",
        f"/console/clients/{held}/test",
        f"/console/clients/{held}/disable",
        "/console/delegations",
        "/console/delegations?text=agent&state=live",
        "/console/delegations?sort=ends",
        at,
        f"{at}/revoke",
        "/console/delegations/new",
        f"/console/delegations/new/actions?{draft}",
        "/console/roles",
        f"/console/roles/{role}",
        "/console/apis",
        f"/console/apis/{api}",
        "/console/activity",
        "/console/activity?what=refused",
        f"/console/activity?client={held}",
        "/console/activity?reason=attestation_required",
        f"/console/activity/{event['id']}",
        "/console/search?q=support",
        "/console/administrators",
        "/console/keys",
    ]


def _measure(client: TestClient, path: str) -> None:
    taken: list[float] = []
    for _ in range(WARM + RUNS):
        begin = time.perf_counter()
        answer = client.get(path, follow_redirects=False)
        taken.append((time.perf_counter() - begin) * 1000)
    taken = sorted(taken[WARM:])
    wrong = "" if answer.status_code == 200 else f"   status {answer.status_code}"
    size = len(answer.content) / 1000
    print(f"{taken[0]:8.1f} {median(taken):8.1f} {taken[-1]:8.1f} {size:6.1f}  {path}{wrong}")


if __name__ == "__main__":
    main()
