"""`private_key_jwt`: only an assertion of this client, for this authority, of now, by its own key, proves anything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attesting import CLIENT_ID, client
from authsec.jose import PrivateKey, assemble, signing_input
from authsec_server.attestation.model import Evidence, Proved, RefusalReason, Refused, Scheme
from authsec_server.attestation.service import attest
from authsec_server.attestation.workloads import Workloads
from authsec_server.clients.model import Proof, ProofKind
from hypothesis import given, settings
from hypothesis import strategies as st
from ready_keys import OWN as RSA_KEY

from examples import examples

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
ISSUER = "https://authsec.example.com"
NONE = Workloads(lambda _trusted_issuer, _kid: None, issuer=ISSUER, trust_domain="example.com")
KEY, OTHER_KEY = PrivateKey.generate_ed25519(), PrivateKey.generate_ed25519()
GOOD = {
    "iss": CLIENT_ID,
    "sub": CLIENT_ID,
    "aud": ISSUER,
    "exp": SECONDS + 60,
    "iat": SECONDS,
    "jti": "0123456789abcdef",
}


def proof(key: PrivateKey = KEY, id_: str = "p1", **changes: Any) -> Proof:
    fields = {
        "id": id_,
        "client_id": CLIENT_ID,
        "kind": ProofKind.KEY_PAIR,
        "public_key": key.public.to_jwk(),
        "thumbprint": key.public.thumbprint(),
        "created_at": NOW,
    }
    return Proof(**(fields | changes))


def assertion(key: PrivateKey = KEY, header: dict[str, Any] | None = None, **claims: Any) -> str:
    its = {name: value for name, value in (GOOD | claims).items() if value is not None}
    unsigned = signing_input({"alg": key.algorithm} | (header or {}), its)
    return assemble(unsigned, key.sign(unsigned))


def outcome(credential: str, *proofs: Proof, scheme: Scheme = Scheme.BEARER) -> Proved | Refused:
    evidence = Evidence(scheme=scheme, credential=credential)
    return attest(client(*(proofs or (proof(),))), {}, evidence, workloads=NONE, issuer=ISSUER, now=NOW)


def refused(result: Proved | Refused) -> bool:
    return isinstance(result, Refused) and result.reason is RefusalReason.INVALID


@pytest.mark.parametrize("key", [KEY, RSA_KEY, PrivateKey.generate_ec()], ids=["Ed25519", "RSA", "EC"])
def test_a_good_assertion_proves(key: PrivateKey) -> None:
    result = outcome(assertion(key, {"typ": "client-authentication+jwt"}), proof(key))
    assert isinstance(result, Proved)
    assert (result.proof_id, result.method, result.attested) == ("p1", "key_pair", True)
    assert result.single_use is not None
    assert result.single_use.until > NOW + timedelta(seconds=60)


def test_any_of_several_keys_suffices_and_kid_may_name_it() -> None:
    held = proof(OTHER_KEY, "p1"), proof(KEY, "p2")
    for header in ({}, {"kid": KEY.public.thumbprint()}):
        result = outcome(assertion(header=header), *held)
        assert isinstance(result, Proved)
        assert result.proof_id == "p2"


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": None},
        {"iss": "somebody"},
        {"sub": None},
        {"sub": "123e4567-e89b-42d3-a456-426614174001"},
        {"aud": None},
        {"aud": ISSUER + "/"},
        {"aud": "https://elsewhere.example.com"},
        {"aud": [ISSUER, "https://elsewhere.example.com"]},
        {"aud": []},
        {"exp": None},
        {"exp": SECONDS - 31},
        {"exp": SECONDS + 331},
        {"exp": float(SECONDS + 60)},
        {"exp": str(SECONDS + 60)},
        {"exp": True},
        {"iat": SECONDS + 31},
        {"iat": "now"},
        {"nbf": SECONDS + 31},
        {"jti": None},
        {"jti": ""},
        {"jti": 7},
        {"jti": "x" * 257},
    ],
    ids=str,
)
def test_one_wrong_claim_spoils_it(claims: dict[str, Any]) -> None:
    assert refused(outcome(assertion(**claims)))


def test_other_tokens_of_the_same_key_prove_nothing() -> None:
    assert refused(outcome(assertion(header={"typ": "at+jwt"})))
    assert refused(outcome(assertion(header={"typ": "dpop+jwt"})))


def test_a_key_that_is_not_or_no_longer_registered() -> None:
    assert refused(outcome(assertion(OTHER_KEY)))
    assert refused(outcome(assertion(OTHER_KEY, {"kid": KEY.public.thumbprint()})))
    assert refused(outcome(assertion(), proof(expires_at=NOW)))
    assert refused(outcome(assertion(), proof(kind=ProofKind.SELECTORS)))
    assert refused(outcome(assertion(), proof(public_key=None)))


def test_another_scheme_proves_nothing() -> None:
    assert refused(outcome(assertion(), scheme=Scheme.BASIC))
    assert refused(outcome(assertion(), scheme=Scheme.OTHER))


def test_evidence_is_not_seen_in_reprs() -> None:
    assert "secret" not in repr(Evidence(scheme=Scheme.BEARER, credential="secret"))


def test_without_evidence() -> None:
    def ask(*proofs: Proof) -> Proved | Refused:
        return attest(client(*proofs), {}, None, workloads=NONE, issuer=ISSUER, now=NOW)

    needed = ask(proof())
    assert isinstance(needed, Refused)
    assert needed.reason is RefusalReason.REQUIRED
    assert isinstance(ask(), Refused), "no proof at all is no proof"
    open_ = proof(kind=ProofKind.UNATTESTED)
    result = ask(proof(id_="p0"), open_)
    assert isinstance(result, Proved)
    assert (result.method, result.attested, result.single_use) == ("none", False, None)
    assert isinstance(ask(proof(kind=ProofKind.UNATTESTED, expires_at=NOW)), Refused)


@settings(max_examples=examples(400))
@given(st.data())
def test_no_altered_assertion_proves(data: st.DataObject) -> None:
    good = assertion()
    place = data.draw(st.integers(0, len(good) - 1))
    other = data.draw(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.= "))
    altered = good[:place] + other + good[place + 1 :]
    if altered != good:
        assert refused(outcome(altered))


@settings(max_examples=examples(300))
@given(st.text(max_size=300))
def test_no_other_text_proves(text: str) -> None:
    assert refused(outcome(text))
