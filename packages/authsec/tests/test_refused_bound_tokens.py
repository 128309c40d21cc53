"""Refused tokens that are bound to a key: the caller reads how to send the request, the log names the API's setting."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from authsec import InvalidToken
from authsec.gate import Gate, Response, response_to
from authsec.jose import PrivateKey
from authsec.verifier import DpopRequest, TokenVerifier
from authsec.verifier.refusal_log import MOST_LINES

from .bound_requests import ORIGIN, PATH, URL, Holder, dpop_verifier
from .fake_keys import AUDIENCE, FakeClock, rsa_key, token, verifier_of

OTHER_PORT = f"{ORIGIN}:8000{PATH}"


def refusal(verifier: TokenVerifier, sent: str, *proofs: str, bearer: bool = False, path: str = PATH) -> InvalidToken:
    with pytest.raises(InvalidToken) as caught:
        verifier.verify(sent, None if bearer else DpopRequest(method="GET", path=path, proofs=proofs))
    return caught.value


def read_by_caller(error: InvalidToken) -> str:
    response = response_to(error)
    return json.dumps([response.body, response.headers], ensure_ascii=False)


@pytest.mark.parametrize("bearer", [True, False])
def test_without_the_setting_the_log_names_it(bearer: bool, caplog: pytest.LogCaptureFixture) -> None:
    holder = Holder()
    bound = holder.token()
    error = refusal(verifier_of(), bound, holder.proof(bound), bearer=bearer)
    assert error.reason == "binding_not_supported"
    assert str(error) == "This API accepts no tokens that are bound to a key (DPoP)."
    assert error.details.startswith("Send Authorization: Bearer <delegation token>, with a token that is not bound")
    assert "dpop_origin" not in read_by_caller(error)
    (line,) = caplog.messages
    assert line.startswith(f"refused a token (binding_not_supported): API {AUDIENCE}, client_id ")
    assert "set dpop_origin (verify-server: --dpop-origin)" in line


def test_a_token_that_is_not_bound_gets_no_better_by_the_scheme(caplog: pytest.LogCaptureFixture) -> None:
    assert refusal(verifier_of(), token()).reason == "binding_not_supported"
    assert "set dpop_origin" in caplog.text


def test_a_binding_that_cannot_be_checked_is_no_matter_of_the_setting(caplog: pytest.LogCaptureFixture) -> None:
    bound = Holder().token(cnf={"x5t#S256": "a" * 43})
    assert refusal(dpop_verifier(), bound, bearer=True).reason == "binding_not_supported"
    assert "dpop_origin" not in caplog.text
    assert "cannot check" in caplog.text


def test_a_proof_for_another_url_has_both_urls(caplog: pytest.LogCaptureFixture) -> None:
    holder = Holder()
    bound = holder.token()
    error = refusal(dpop_verifier(), bound, holder.forged(bound, htu=f"{OTHER_PORT}?code=secret#secret"))
    assert str(error) == f"The proof's htu is {OTHER_PORT}, and this API expects {URL}."
    assert error.details.startswith("Sign each proof for the URL of its request")
    assert not {"dpop_origin", "root_path", "secret"} & set(read_by_caller(error).replace("?", " ").split())
    (line,) = caplog.messages
    assert f"htu is {OTHER_PORT}, and this API expects {URL}" in line
    assert all(setting in line for setting in ("dpop_origin", "--dpop-origin", "root_path", "SCRIPT_NAME"))
    assert "secret" not in line


@pytest.mark.parametrize(
    "htu",
    [None, 7, "/customers/42", "https://user:secret@crm.example.com/", "https://crm.example.com/\nsecret", "x" * 900],
)
def test_a_text_that_is_no_url_is_not_quoted(htu: Any, caplog: pytest.LogCaptureFixture) -> None:
    holder = Holder()
    bound = holder.token()
    error = refusal(dpop_verifier(), bound, holder.forged(bound, htu=htu))
    assert str(error) == f"The proof's htu is no http URL, and this API expects {URL}."
    assert "secret" not in caplog.text


def refusals_of(holder: Holder, thief: Holder, **claims: Any) -> dict[str, tuple[str, list[str], bool]]:
    """By reason: a token, the proofs of its request, and whether it is a bearer token."""
    bound = holder.token(**claims)
    return {
        "bound_token_as_bearer": (bound, [holder.proof(bound)], True),
        "dpop_proof_invalid": (bound, [holder.proof(bound, url=f"{ORIGIN}/{bound}")], False),
        "dpop_key_mismatch": (bound, [thief.proof(bound)], False),
        "token_not_bound": (token(**claims), [holder.proof(token(**claims))], False),
    }


def test_each_refusal_is_logged_without_token_and_proof(caplog: pytest.LogCaptureFixture) -> None:
    holder, verifier = Holder(), dpop_verifier()
    cases = refusals_of(holder, Holder(PrivateKey.generate_ec()), client_id="agent-7", jti="token-7")
    for reason, (sent, proofs, bearer) in cases.items():
        assert refusal(verifier, sent, *proofs, bearer=bearer).reason == reason
    bound = holder.token(client_id="agent-7", jti="token-7")
    proof = holder.proof(bound)
    verifier.verify(bound, DpopRequest(method="GET", path=PATH, proofs=[proof]))
    assert refusal(verifier, bound, proof).reason == "dpop_proof_replayed"
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert [line.split(". ")[0] for line in caplog.messages] == [
        f"refused a token ({reason}): API {AUDIENCE}, client_id agent-7, jti token-7"
        for reason in (*cases, "dpop_proof_replayed")
    ]
    secrets = {part for sent, proofs, _ in cases.values() for text in (sent, *proofs) for part in text.split(".")}
    assert not [part for part in secrets if part in caplog.text]


@pytest.mark.parametrize(
    ("settings", "schemes"),
    [({}, ["Bearer"]), ({"dpop_origin": ORIGIN}, ["Bearer", "DPoP"])],
)
def test_a_request_without_a_token_reads_each_accepted_scheme(settings: dict[str, Any], schemes: list[str]) -> None:
    refused = Gate(verifier=verifier_of(**settings)).enter(PATH, [])
    assert isinstance(refused, Response)
    assert re.findall(r"Authorization: (\w+)", refused.body["details"]) == schemes
    assert ("the header DPoP" in refused.body["details"]) is ("DPoP" in schemes)


def test_a_stranger_leaves_no_line(caplog: pytest.LogCaptureFixture) -> None:
    holder = Holder()
    forged = token(rsa_key("other"), cnf={"jkt": holder.key.public.thumbprint()})
    for verifier in (verifier_of(), dpop_verifier()):
        for sent in (forged, "x", ""):
            refusal(verifier, sent, holder.proof(forged))
            refusal(verifier, sent, bearer=True)
    assert caplog.messages == []


def test_a_client_that_repeats_its_request_leaves_a_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock, holder = FakeClock(), Holder()
    verifier = dpop_verifier(clock=clock.clock())
    thefts = [holder.token(client_id=name) for name in ("noisy", "victim")]
    for wait in (0, 30, 29, 1, 60):
        clock.pass_by(wait)
        for _ in range(10):
            refusal(verifier, thefts[0], bearer=True)
    refusal(verifier, thefts[1], bearer=True)
    assert [line.split("jti ")[1].partition(". ")[0].partition(", ")[2] for line in caplog.messages] == [
        "", "and 29 more since the last such line", "and 9 more since the last such line", "",
    ]  # fmt: skip
    assert "client_id victim" in caplog.messages[-1]


def test_each_wrong_claim_of_a_proof_has_its_own_line(caplog: pytest.LogCaptureFixture) -> None:
    holder, verifier = Holder(), dpop_verifier()
    bound = holder.token()
    wrong: list[dict[str, Any]] = [
        {"iat": 1},
        {"htu": OTHER_PORT},
        {"htm": "PUT"},
        {"ath": "x"},
        {"jti": ""},
        {"nonce": 7},
    ]
    for _ in range(3):
        for claims in wrong:
            assert refusal(verifier, bound, holder.forged(bound, **claims)).reason == "dpop_proof_invalid"
    named = [line.split("The proof's ")[1].split()[0] for line in caplog.messages]
    assert named == ["iat", "htu", "htm", "ath"]  # the later ones share a line


def test_many_clients_leave_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    clock, holder = FakeClock(), Holder()
    verifier = dpop_verifier(clock=clock.clock())
    for number in range(MOST_LINES + 5):
        refusal(verifier, holder.token(client_id=f"agent-{number}"), bearer=True)
    assert len(caplog.messages) == MOST_LINES
    clock.pass_by(60)
    refusal(verifier, holder.token(client_id="another"), bearer=True)
    assert len(caplog.messages) == MOST_LINES + 1
