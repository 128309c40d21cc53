"""A process of its own for the tests of the authority lock: issues tokens, or takes authority away and gives it back.

    contender.py issue|toggle DATABASE_URL DATA SECONDS CLIENT_ID DELEGATION_ID

Prints how many times it succeeded.
"""

from __future__ import annotations

import secrets
import sys
import time
from datetime import UTC, datetime

from authsec_server.app import open_authority
from authsec_server.delegations import service as delegations
from authsec_server.delegations.model import Terms
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.settings import load_settings
from authsec_server.tokens.decision import Denied
from authsec_server.tokens.request import TokenRequest
from processes import wait_for_the_others

LEAST = {"toggle": 20, "issue": 8}  # on a busy machine they take more than their time
TERMS = Terms(max_token_lifetime=86_400, default_audience="authsec-api")


def main(role: str, database: str, data: str, seconds: str, client_id: str, delegation_id: str) -> None:
    settings = load_settings(
        database="" if database.startswith("sqlite") else database,
        data=data,
        master_key_file=f"{data}/master.key",
        address_limit=10_000_000,
        unproved_limit=10_000_000,
    )
    with open_authority(settings) as authority:
        wait_for_the_others()
        end = time.monotonic() + float(seconds)
        done = 0
        while time.monotonic() < end or done < LEAST[role] or (role == "toggle" and done % 2):
            if role == "issue":
                outcome = authority.tokens.issue(
                    TokenRequest(
                        client_id=client_id,
                        actions=None,
                        resources=(),
                        evidence=None,
                        address="127.0.0.1",
                        request_id="req_issue",
                    )
                )
                done += not isinstance(outcome, Denied)
            else:
                verb = delegations.disable if done % 2 == 0 else delegations.enable
                authority.database.change(lambda tx, verb=verb: verb(tx, act(), delegation_id, TERMS))
                done += 1
                time.sleep(0.005)
        print(done, flush=True)


def act() -> Act:
    return Act(
        principal=LOCAL_OPERATOR,
        now=datetime.now(UTC),
        request_id="req_toggle",
        address="",
        token_bytes=secrets.token_bytes,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
