"""The published test vectors for JWS at the parsers of the OAuth token endpoint.

No package index has the file of Project Wycheproof (`json_web_signature_test.json`, 401 vectors), and the file is not
ours to keep. So doors/signature_forms.py makes each of its classes from a good token of each parser: then only the
signature is wrong. With the path of the file in `AUTHSEC_TEST_VECTORS`, the vectors themselves are shown, too.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import jose_doors as doors
import pytest
from authsec.jose import JoseError, PublicKey, parse_compact
from hypothesis import settings
from jose_attacks import Attack
from jose_doors import KEYS, Door
from signature_forms import FORMS, GOOD_FORMS

FILE = os.environ.get("AUTHSEC_TEST_VECTORS", "")
PUBLISHED = pytest.mark.skipif(not FILE, reason="AUTHSEC_TEST_VECTORS names no file of published vectors")
DOORS: dict[str, Callable[[Any, str], Door]] = {
    "key pair as client assertion": lambda its, key: doors.assertion(its, KEYS[key]),
    "workload as client assertion": lambda its, key: doors.workload_assertion(its, "spiffe", KEYS[key]),
    "workload as grant": lambda its, key: doors.workload_grant(its, "spiffe", KEYS[key]),
    "DPoP proof": lambda its, key: doors.dpop(its, KEYS[key]),
}
LIMITS = dict.fromkeys(("address_limit", "client_limit", "unproved_limit"), 10_000)
IN_EACH_RUN = {
    ("key pair as client assertion", "RSA"),
    ("DPoP proof", "EC"),
    ("workload as grant", "EC"),
    ("DPoP proof", "RSA"),
}
CASES = [
    pytest.param(door, key, marks=() if (door, key) in IN_EACH_RUN else pytest.mark.soak)
    for door in DOORS
    for key in KEYS
    if not (door.startswith("workload") and key == "Ed25519")  # no platform signs with such keys
]


def some(attacks: tuple[Attack, ...]) -> tuple[Attack, ...]:
    """In short runs, each fifth: all parsers have one reader."""
    return attacks[:: 1 if settings.get_current_profile_name() == "full" else 5]


@pytest.mark.parametrize(("door", "key"), CASES)
def test_no_signature_of_another_form_gets_in(house: Any, door: str, key: str) -> None:
    opened = DOORS[door](house(**LIMITS), key)
    assert opened.knock()
    assert [form.name for form in some(FORMS[key]) if opened.knock(form.make)] == []
    assert opened.knock()


@pytest.mark.parametrize("door", ["key pair as client assertion", "DPoP proof"])
def test_the_same_construction_without_a_fault_gets_in(house: Any, door: str) -> None:
    opened = DOORS[door](house(**LIMITS), "RSA")
    assert {alg: opened.knock(make) for alg, make in GOOD_FORMS.items()} == {"RS256": True, "PS256": True}


def published() -> Iterator[tuple[PublicKey | None, dict[str, Any]]]:
    """Each vector, with the key of its group if the key is one that verifies signatures here."""
    for group in json.loads(Path(FILE).read_bytes())["testGroups"]:
        jwk = {**group.get("public", group["private"])}
        left_out = {"d", "p", "q", "dp", "dq", "qi", "k"}
        if group["comment"].startswith("rfc7520"):  # the file names another alg than the RFC does: PS256 and ES521
            left_out |= {"alg"}
        public = {name: value for name, value in jwk.items() if name not in left_out}
        try:
            key = PublicKey.from_jwk(public)
        except JoseError:
            key = None
        for vector in group["tests"]:
            yield key, vector


def decoded(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)


def verifies(key: PublicKey, jws: str) -> bool:
    """Whether the key made the signature of these parts. Their content does not matter: it is JSON nowhere."""
    try:
        header, payload, signature = jws.split(".")
        key.verify(f"{header}.{payload}".encode(), decoded(signature), json.loads(decoded(header))["alg"])
    except (JoseError, ValueError, KeyError):
        return False
    return True


@PUBLISHED
def test_each_published_vector_is_read_as_its_authors_say() -> None:
    wrong = []
    for key, vector in published():
        with suppress(JoseError):  # the parser refuses, and never fails otherwise
            parse_compact(vector["jws"])
        if key is not None and verifies(key, vector["jws"]) != (vector["result"] == "valid"):
            wrong.append((vector["tcId"], vector["comment"], vector["result"]))
    assert wrong == []


@PUBLISHED
@pytest.mark.parametrize("door", DOORS)
def test_no_published_vector_gets_in(house: Any, door: str) -> None:
    opened = DOORS[door](house(**LIMITS), "RSA")
    vectors = [vector["jws"] for _, vector in published()]
    assert len(vectors) > 400
    assert [jws for jws in vectors if opened.knock(lambda _, jws=jws: jws)] == []
    assert opened.knock()
