"""A token that two parsers read differently: the last of two names, a time as text, 200 kB of it.

What one system verified is then not what the other acts on (RFC 8725 section 2.4, RFC 8259 section 4).
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from attesting import HELPER, SECONDS, ask, proof, proved, refused
from workload_evidence import RSA, encoded, kubernetes, sign, spire


def with_payload(its: Any, payload: bytes) -> str:
    return sign({"alg": "RS256", "kid": its.kid}, payload, RSA)


def test_a_name_twice() -> None:
    its = kubernetes()
    held = proof(its, *HELPER)
    claims = json.dumps(its.claims())
    assert proved(ask(with_payload(its, claims.encode()), [its], held))
    for name, value in its.claims().items():
        twice = f"{claims[:-1]}, {json.dumps({name: value})[1:]}"
        refused(ask(with_payload(its, twice.encode()), [its], held))
    inside = claims.replace('"namespace": "production"', '"namespace": "kube-system", "namespace": "production"')
    assert inside != claims
    refused(ask(with_payload(its, inside.encode()), [its], held))


def test_a_name_twice_in_the_header() -> None:
    its = kubernetes()
    header = '{"alg": "RS256", "alg": "none", "kid": "one"}'
    unsigned = f"{encoded(header.encode())}.{encoded(json.dumps(its.claims()).encode())}"
    refused(ask(f"{unsigned}.{encoded(RSA.sign(unsigned.encode()))}", [its], proof(its, *HELPER)))


@pytest.mark.parametrize("exp", ["9999999999", "", "1e10", [9999999999], {}, True, 1e10, 9999999999.5, -1, 0])
def test_a_time_that_is_none(exp: Any) -> None:
    its = kubernetes()
    refused(ask(its.token(exp=exp), [its], proof(its, *HELPER)))


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 400])
def test_a_number_that_is_none(literal: str) -> None:
    its = kubernetes()
    text = json.dumps(its.claims()).replace(str(SECONDS + 3600), literal)
    refused(ask(with_payload(its, text.encode()), [its], proof(its, *HELPER)))


def test_far_too_large() -> None:
    its = kubernetes()
    refused(ask(its.token(padding="x" * 200_000), [its], proof(its, *HELPER)))
    refused(ask("x" * 200_000, [its], proof(its, *HELPER)))
    refused(ask("." * 16_000, [its], proof(its, *HELPER)))


def test_far_too_deep() -> None:
    its = kubernetes()
    deep = json.dumps(its.claims())[:-1] + ', "deep": ' + "[" * 3000 + "]" * 3000 + "}"
    refused(ask(with_payload(its, deep.encode()), [its], proof(its, *HELPER)))


@pytest.mark.parametrize("payload", [b"", b"[]", b'"text"', b"null", b"\xff\xfe", b'\xef\xbb\xbf{"sub": "x"}'])
def test_a_payload_that_is_no_object(payload: bytes) -> None:
    its = kubernetes()
    refused(ask(with_payload(its, payload), [its], proof(its, *HELPER)))


def test_members_of_the_header_that_nobody_knows() -> None:
    its = kubernetes()
    for header in ({"extra": 1}, {"enc": "A256GCM"}, {"p2c": 10**9}, {"x5t": "thumb"}):
        outcome = ask(its.token(header=header), [its], proof(its, *HELPER))
        assert proved(outcome) if "x5t" in header else refused(outcome)


@pytest.mark.parametrize("spoil", ["{}=", "{}.", "{0}.{0}", " {}", "{} ", "{}\n", "Bearer {}"])
def test_another_spelling_of_a_good_token(spoil: str) -> None:
    """One token, one spelling: else what was refused or remembered under one comes in under another."""
    its = kubernetes()
    refused(ask(spoil.format(its.token()), [its], proof(its, *HELPER)))


@pytest.mark.parametrize("name", ["iss", "sub", "kubernetes.io"])
@pytest.mark.parametrize("value", [None, 1, True, [], ["a"], {}, {"a": {}}, ""])
def test_a_claim_of_another_type_is_refused_and_breaks_nothing(name: str, value: Any) -> None:
    its = kubernetes()
    refused(ask(its.token(**{name: value}), [its], proof(its, *HELPER)))


def test_an_svid_from_beyond_the_end_of_time() -> None:
    """It has no longest life, and a date that no calendar has must not be a failure of ours."""
    its = spire()
    assert proved(ask(its.token(exp=2**53 - 1), [its], proof(its, ("spiffe:id", its.claims()["sub"]))))
