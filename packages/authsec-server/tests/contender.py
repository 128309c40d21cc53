"""A process of its own for the tests of the authority lock: issues tokens, or takes authority away and gives it back.

    contender.py issue|issue-on-kept-facts|toggle|both|both-spared DATABASE_URL DATA SECONDS CLIENT_ID DELEGATION_ID

Tokens are issued as the HTTP protocol does it: several requests at once in an event loop, on facts in memory. With the
defect `issue-on-kept-facts`, these facts are taken for those of each later change. `both` issues and toggles in one
process, which remembers its changes. With the defect `both-spared`, it takes each change for one of another client.

Prints how many times it succeeded.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from authsec_server.app import Authority, open_authority
from authsec_server.db import RecentChanges
from authsec_server.delegations import service as delegations
from authsec_server.delegations.model import Terms
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.settings import load_settings
from authsec_server.tokens.facts import KeptFacts
from authsec_server.tokens.issue import Issued
from authsec_server.tokens.request import TokenRequest
from processes import wait_for_the_others

DEFECT = "issue-on-kept-facts"
DEFECT_OF_BOTH = "both-spared"
LEAST = {"toggle": 20, "issue": 8, DEFECT: 8, "both": 8, DEFECT_OF_BOTH: 8}  # a busy machine takes more than their time
AT_ONCE = 3  # requests of one batch
TERMS = Terms(max_token_lifetime=86_400, default_audience="authsec-api")


def main(role: str, database: str, data: str, seconds: str, client_id: str, delegation_id: str) -> None:
    settings = load_settings(
        database="" if database.startswith("sqlite") else database,
        data=data,
        master_key_file=f"{data}/master.key",
        address_limit=10_000_000,
        unproved_limit=10_000_000,
    )
    if role == DEFECT:
        setattr(KeptFacts, "are_of", lambda *_: True)  # noqa: B010 - the defect
    if role == DEFECT_OF_BOTH:
        setattr(RecentChanges, "spared", lambda *_: True)  # noqa: B010 - the defect
    with open_authority(settings) as authority:
        wait_for_the_others()
        end = time.monotonic() + float(seconds)
        if role == "toggle":
            done = toggle(authority, end, delegation_id)
        elif role.startswith("both"):
            with ThreadPoolExecutor() as pool:
                toggled = pool.submit(toggle, authority, end, delegation_id)
                done = asyncio.run(issue(authority, end, client_id, LEAST[role]))
                toggled.result()
        else:
            done = asyncio.run(issue(authority, end, client_id, LEAST[role]))
        print(done, flush=True)


def toggle(authority: Authority, end: float, delegation_id: str) -> int:
    done = 0
    while time.monotonic() < end or done < LEAST["toggle"] or done % 2:
        verb = delegations.disable if done % 2 == 0 else delegations.enable
        authority.database.change(lambda tx, verb=verb: verb(tx, act(), delegation_id, TERMS))
        done += 1
        time.sleep(0.005)
    return done


async def issue(authority: Authority, end: float, client_id: str, least: int) -> int:
    asked = TokenRequest(
        client_id=client_id,
        actions=None,
        resources=(),
        evidence=None,
        address="127.0.0.1",
        request_id="req_0000000000000000000issue",
    )
    done = 0
    while time.monotonic() < end or done < least:
        outcomes = await asyncio.gather(*(authority.tokens.issue_async(asked) for _ in range(AT_ONCE)))
        done += sum(isinstance(each, Issued) for each in outcomes)
    return done


def act() -> Act:
    return Act(
        principal=LOCAL_OPERATOR,
        now=datetime.now(UTC),
        request_id="req_000000000000000000toggle",
        address="",
        token_bytes=secrets.token_bytes,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
