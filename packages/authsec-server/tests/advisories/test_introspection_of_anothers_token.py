"""An API asks about tokens that it was not sent: found in a log, or taken from another API's traffic.

RFC 7662 section 4: whoever may ask about any token can learn who works for whom. An API learns of its own tokens only,
and of no other even whether there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from authsec_server.apis import service as apis
from authsec_server.db import Tx
from introspecting import BILLING, CRM, ask, register, token_for
from trusted_issuers import operator


def test_an_api_learns_nothing_of_anothers_token(house: Callable[..., Any]) -> None:
    its = house()
    crm, billing = register(its), register(its, "billing", BILLING)
    for_crm, for_both = token_for(its, CRM), token_for(its, CRM, BILLING, name="Both")
    nothing = ask(its.door(), "no token at all", billing)
    answer = ask(its.door(), for_crm, billing)
    assert (answer.status_code, answer.content) == (nothing.status_code, nothing.content) == (200, b'{"active":false}')
    assert answer.headers["AuthSec-Audience"] == BILLING
    assert ask(its.door(), for_crm, crm).json()["active"] is True
    for credential in (crm, billing):
        assert ask(its.door(), for_both, credential).json()["active"] is True


def test_an_api_that_takes_another_audience_asks_for_that_one_only(house: Callable[..., Any]) -> None:
    """The credential follows the API, not the audience that it had when the credential was made."""
    its = house()
    crm, token = register(its), token_for(its, CRM)

    def rename(tx: Tx) -> None:
        act = operator(its)
        apis.edit(tx, act, "crm", revision=1, changes={"identifier": f"{CRM}/v2"})

    its.authority.database.change(rename)
    answer = ask(its.door(), token, crm)
    assert (answer.json(), answer.headers["AuthSec-Audience"]) == ({"active": False}, f"{CRM}/v2")
