"""A client secret: only the client's own, as it was made, by HTTP Basic, while it counts."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import pytest
from attesting import CLIENT_ID, NOW, client
from authsec.client_secret import is_client_secret, text_of
from authsec_server.attestation.model import Evidence, Proved, RefusalReason, Refused, Scheme
from authsec_server.attestation.service import attest
from authsec_server.attestation.workloads import Workloads
from authsec_server.clients.model import MAX_PROOFS, Proof, ProofKind
from hypothesis import given
from hypothesis import strategies as st

SECRET, OTHER = text_of(bytes(range(32))), text_of(b"\1" * 32)
NONE = Workloads(lambda _trusted_issuer, _kid: None, issuer="https://authsec.example.com", trust_domain="example.com")


def proof(text: str = SECRET, id_: str = "s1", **changes: Any) -> Proof:
    hashed = sha256(text.encode()).hexdigest()
    held = Proof(id=id_, client_id=CLIENT_ID, kind=ProofKind.SECRET, secret_sha256=hashed, created_at=NOW)
    return replace(held, **changes)


def basic(text: str = SECRET, named: str = CLIENT_ID) -> str:
    return base64.b64encode(f"{named}:{text}".encode()).decode()


def outcome(credential: str, *proofs: Proof, scheme: Scheme = Scheme.BASIC) -> Proved | Refused:
    evidence = Evidence(scheme=scheme, credential=credential)
    return attest(client(*proofs), {}, evidence, workloads=NONE, issuer="https://authsec.example.com", now=NOW)


def refused(result: Proved | Refused) -> bool:
    return isinstance(result, Refused) and result.reason is RefusalReason.INVALID


def test_its_secret_proves_the_client() -> None:
    result = outcome(basic(), proof())
    assert isinstance(result, Proved)
    assert (result.proof_id, result.method, result.attested) == ("s1", "secret", True)
    assert (result.single_use, result.selectors) == (None, ())


def test_any_of_its_secrets_suffices_and_the_answer_says_which() -> None:
    key = proof(kind=ProofKind.KEY_PAIR, id_="k1", secret_sha256=None)
    for text, expected in ((SECRET, "s1"), (OTHER, "s2")):
        result = outcome(basic(text), key, proof(), proof(OTHER, "s2"))
        assert isinstance(result, Proved)
        assert result.proof_id == expected


def test_form_encoded_parts_are_the_same_parts() -> None:
    """RFC 6749 section 2.3.1; nothing in either needs it, and some libraries encode more than they must."""
    every = "".join(f"%{ord(char):02X}" for char in SECRET)
    assert isinstance(outcome(basic(every, quote(CLIENT_ID)), proof()), Proved)


@pytest.mark.parametrize(
    "held",
    [
        [],
        [proof(OTHER)],
        [proof(expires_at=NOW)],
        [proof(kind=ProofKind.KEY_PAIR)],
        [proof(kind=ProofKind.UNATTESTED)],
        [proof(kind=ProofKind.SELECTORS)],
        [proof(secret_sha256=None)],
        [proof(secret_sha256="")],
    ],
    ids=["nothing", "another", "expired", "a key pair", "unattested", "selectors", "no hash", "an empty hash"],
)
def test_a_client_without_that_secret_is_refused_alike(held: list[Proof]) -> None:
    assert outcome(basic(), *held) == outcome(basic(), proof(OTHER, expires_at=NOW + timedelta(days=1)))
    assert refused(outcome(basic(), *held))


SECRETS = {
    "nobody": basic(named=""),
    "somebody else": basic(named="123e4567-e89b-42d3-a456-426614174001"),
    "the slug": basic(named="agent"),
    "upper case": basic(named=CLIENT_ID.upper()),
    "a space before": basic(named=f" {CLIENT_ID}"),
    "two colons": basic(f":{SECRET}"),
    "a colon behind": basic(f"{SECRET}:"),
    "no colon": base64.b64encode(f"{CLIENT_ID}{SECRET}".encode()).decode(),
    "a colon encoded": base64.b64encode(f"{CLIENT_ID}%3A{SECRET}".encode()).decode(),
    "empty": basic(""),
    "nothing at all": "",
    "only the prefix": basic("authsec_cs_"),
    "cut short": basic(SECRET[:-1]),
    "a line behind": basic(f"{SECRET}\n"),
    "a line encoded": basic(f"{SECRET}%0A"),
    "a null": basic(f"{SECRET}%00"),
    "its hash": basic(sha256(SECRET.encode()).hexdigest()),
    "upper-case secret": basic(SECRET.upper()),
    "encoded twice": basic("".join(f"%25{ord(char):02X}" for char in SECRET)),
    "half a percent": basic(f"{SECRET}%"),
    "in the clear": f"{CLIENT_ID}:{SECRET}",
    "base64 of base64": base64.b64encode(basic().encode()).decode(),
    "without padding": basic().rstrip("="),
    "base64url and garbage": f"{basic()[:8]}\u2028{basic()[8:]}",
    "beyond ASCII": base64.b64encode(f"{CLIENT_ID}:{SECRET}é".encode()).decode(),
    "no text": base64.b64encode(b"\xff\xfe:\x00").decode(),
    "large": basic(SECRET * 100),
    "huge": "A" * 1_000_000,
}


@pytest.mark.parametrize("credential", SECRETS.values(), ids=SECRETS)
def test_nothing_but_the_two_proves(credential: str) -> None:
    result = outcome(credential, proof(), proof("", "empty"))
    assert refused(result)
    assert SECRET not in repr(result)


def test_a_secret_is_no_bearer_token() -> None:
    for credential in (SECRET, basic(), f"{CLIENT_ID}:{SECRET}"):
        assert refused(outcome(credential, proof(), scheme=Scheme.BEARER))


def test_a_client_of_as_many_proofs_as_it_may_have() -> None:
    texts = [text_of(bytes([number]) * 32) for number in range(MAX_PROOFS)]
    held = [proof(text, f"s{number}") for number, text in enumerate(texts)]
    for number, text in enumerate(texts):
        result = outcome(basic(text), *held)
        assert isinstance(result, Proved)
        assert result.proof_id == f"s{number}"
    assert refused(outcome(basic(SECRET), *held))


@given(st.text(max_size=80), st.text(max_size=200))
def test_no_other_text_proves(named: str, text: str) -> None:
    if (named, text) != (CLIENT_ID, SECRET):
        assert refused(outcome(base64.b64encode(f"{named}:{text}".encode()).decode(), proof()))
        assert refused(outcome(text, proof()))


@given(st.binary(min_size=32, max_size=32), st.integers(0, 59), st.characters(codec="ascii"))
def test_a_secret_that_was_copied_wrongly_is_told_from_one(secret: bytes, place: int, char: str) -> None:
    text = text_of(secret)
    assert is_client_secret(text)
    assert text.startswith("authsec_cs_")
    altered = text[:place] + char + text[place + 1 :]
    assert is_client_secret(altered) is (altered == text)
    assert not is_client_secret(text[:place])
