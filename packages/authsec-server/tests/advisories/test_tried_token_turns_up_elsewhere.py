"""An operator tries an agent's token to see why it is refused; it ends in a log, a record, a page or a proxy.

Until it expires, whoever reads it there can be that agent.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest
from attesting import HELPER
from pages import get
from trusted_issuers import agent, trust
from workload_evidence import OTHER_RSA, kubernetes


@pytest.mark.soak
def test_a_token_that_was_tried_is_nowhere(house: Any, capfd: pytest.CaptureFixture[str]) -> None:
    its = house(local_operator=True)
    issuer = kubernetes()
    trust(its, issuer)
    agent(its, issuer, *HELPER)
    door, slug = its.door(), issuer.trusted_issuer.slug
    tokens = [issuer.token(), issuer.token(aud="other"), issuer.token(key=OTHER_RSA), issuer.token(iss="x")]
    shown = []
    for token in (*tokens, f"Bearer {tokens[0]}", "{" + tokens[0]):
        answer = door.post(f"/authsec/api/v1/issuers/{slug}/try", json={"token": token})
        page = get(door, f"/console/issuers/{slug}").form(f"/console/issuers/{slug}/try").send(token=token)
        assert (answer.status_code, page.status, page.location) == (200, 200, "")
        assert page.form(f"/console/issuers/{slug}/try").value("token") == ""
        shown += [answer.text, page.html]
    bad = door.post(f"/authsec/api/v1/issuers/{slug}/try", json={"token": tokens[0], "more": tokens[0]})
    assert bad.status_code == 400
    out, err = capfd.readouterr()
    audit_log = json.dumps([asdict(recorded) for recorded in its.events()], default=str)
    assert "issuer.tried" in audit_log
    for secret in {part for token in tokens for part in token.split(".")}:
        for where in (out, err, audit_log, bad.text, *shown):
            assert secret not in where
    assert "customer-support-sa" not in audit_log, "nor what it said of the workload"


def test_no_browser_and_no_proxy_keeps_the_answer(house: Any) -> None:
    its = house(local_operator=True)
    issuer = kubernetes()
    trust(its, issuer)
    door, slug = its.door(), issuer.trusted_issuer.slug
    form = {"Sec-Fetch-Site": "same-origin"}
    answers = [
        door.post(f"/authsec/api/v1/issuers/{slug}/try", json={"token": issuer.token()}),
        door.post(f"/console/issuers/{slug}/try", data={"token": issuer.token()}, headers=form),
    ]
    assert [each.headers["cache-control"] for each in answers] == ["no-store"] * 2
    in_the_address = door.get(f"/authsec/api/v1/issuers/{slug}/try", params={"token": issuer.token()})
    assert in_the_address.status_code == 405
