"""The signature was verified over one document, and the identity read from another beside it."""

from __future__ import annotations

import json
from typing import Any

from attesting import HELPER, ask, proof, proved, refused
from trusted_issuers import ENDPOINT, agent, trust
from workload_evidence import encoded, kubernetes


def other(its: Any) -> str:
    """A token of another account in the same cluster."""
    bound = {"namespace": "staging", "serviceaccount": {"name": "other", "uid": "1"}}
    return its.token(**{"kubernetes.io": bound, "sub": "system:serviceaccount:staging:other"})


def test_anothers_claims_under_a_good_signature() -> None:
    its = kubernetes()
    header, _, signature = other(its).split(".")
    claims = its.token().split(".")[1]
    refused(ask(f"{header}.{claims}.{signature}", [its], proof(its, *HELPER)))


def test_the_identity_in_the_header() -> None:
    its = kubernetes()
    for name in ("sub", "kubernetes.io", "iss", "client_id"):
        refused(ask(its.token(header={name: its.claims().get(name, "agent")}), [its], proof(its, *HELPER)))


def test_the_json_form_of_a_signed_token() -> None:
    """RFC 7515 section 7.2 has headers that nothing signs, and several signatures of which one might count."""
    its = kubernetes()
    protected, payload, signature = its.token().split(".")
    forms = [
        {"protected": protected, "payload": payload, "signature": signature, "header": {"kid": "two"}},
        {"payload": payload, "signatures": [{"protected": protected, "signature": signature}]},
    ]
    for form in forms:
        text = json.dumps(form)
        refused(ask(text, [its], proof(its, *HELPER)))
        refused(ask(encoded(text.encode()), [its], proof(its, *HELPER)))


def test_two_tokens_at_once(house: Any) -> None:
    its = house()
    issuer = kubernetes()
    trust(its, issuer)
    client_id = agent(its, issuer, *HELPER)
    good, bad = issuer.token(), other(issuer)
    for headers in (
        [("Authorization", f"Bearer {bad}"), ("Authorization", f"Bearer {good}")],
        [("Authorization", f"Bearer {good}"), ("Authorization", f"Bearer {bad}")],
        [("Authorization", f"Bearer {bad}, Bearer {good}")],
        [("Authorization", f"Bearer {bad} {good}")],
    ):
        answer = its.door().get(ENDPOINT, params={"client_id": client_id}, headers=headers)
        assert (answer.status_code, answer.json()["reason"]) == (401, "attestation_invalid")


def test_account_and_subject_of_two_minds() -> None:
    its = kubernetes()
    bound = its.claims()["kubernetes.io"] | {"serviceaccount": {"name": "other", "uid": "1"}}
    refused(ask(its.token(**{"kubernetes.io": bound}), [its], proof(its, ("k8s:ns", "production"))))
    assert proved(ask(its.token(), [its], proof(its, ("k8s:ns", "production"))))
