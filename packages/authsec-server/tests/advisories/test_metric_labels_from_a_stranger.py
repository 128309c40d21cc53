"""A stranger's error text becomes a label: every request makes a time series, until monitoring falls over."""

from __future__ import annotations

from typing import Any

from attesting import HELPER
from authsec_server.tokens.refusal import Reason
from process_metrics import shown
from trusted_issuers import agent, shows, trust
from workload_evidence import kubernetes


def test_outcomes_are_from_a_closed_set(house: Any) -> None:
    its = house(address_limit=1000)
    issuer = kubernetes()
    trust(its, issuer)
    client_id = agent(its, issuer, *HELPER)
    for number in range(30):
        name = f"stranger-{number}"
        bound = {"namespace": name, "serviceaccount": {"name": name, "uid": "1"}}
        sub = f"system:serviceaccount:{name}:{name}"
        shows(its, client_id, issuer.token(**{"kubernetes.io": bound, "sub": sub}))
        shows(its, client_id, issuer.token(header={"kid": name}))
        shows(its, client_id, issuer.token(iss=f"https://{name}.example"))
    labels = [dict(labels) for name, labels in shown() if name == "authsec_token_requests_total"]
    assert {each["outcome"] for each in labels} <= {*Reason, "granted"}
    assert {each["door"] for each in labels} <= {"delegation_token", "oauth"}
    assert not [labels for _, labels in shown() if "stranger" in str(labels)]
