"""A proxy, a log or a library reads one credential of a request, and the authority reads another.

So a request has one credential, in one place, with one client_id (RFC 6749 section 2.3), and each parameter once.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any
from urllib.parse import urlencode

import pytest
from authsec.jose import PrivateKey
from long_runs import some_of
from token_endpoint import PATH, PRIVATE_KEY_JWT, asserted, by_assertion, post

API = "/authsec/api/v1"
KEY = PrivateKey.generate_ec()
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def its(house: Any) -> Any:
    """An authority with the agent Night Owl, which has a key pair and a secret."""
    return house(local_operator=True)


@pytest.fixture
def secret(its: Any) -> str:
    """The secret of Night Owl."""
    client_id = its.delegated_agent("Night Owl", key=KEY).client_id
    made: str = (
        its.door().post(f"{API}/clients/{client_id}/proofs", json={"platform": "secret"}).json()["client_secret"]
    )
    return made


def assert_malformed(answer: Any) -> None:
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request"), answer.text


def test_a_request_with_two_credentials_is_refused(its: Any, secret: str) -> None:
    door = its.door()

    def assertion() -> dict[str, str]:
        return {
            "client_assertion": asserted(KEY, "night-owl", its.clock.now()),
            "client_assertion_type": PRIVATE_KEY_JWT,
        }

    basic, by_form = ("night-owl", secret), {"client_id": "night-owl", "client_secret": secret}
    assert_malformed(post(door, auth=basic, **by_form))
    assert_malformed(post(door, auth=basic, **assertion()))
    assert_malformed(post(door, **by_form, **assertion()))
    assert_malformed(post(door, auth=("night-owl", "wrong"), **by_form))
    assert_malformed(post(door, auth=basic, client_secret="wrong", client_id="night-owl"))
    for answer in (post(door, auth=basic), post(door, **by_form), post(door, **assertion())):
        assert answer.status_code == 200


def test_a_second_authorization_header_is_refused(its: Any, secret: str) -> None:
    basic = b64encode(f"night-owl:{secret}".encode()).decode()
    headers = [("Authorization", f"Basic {basic}"), ("Authorization", f"Basic {basic}"), *FORM.items()]
    assert_malformed(its.door().post(PATH, content="grant_type=client_credentials", headers=headers))


def test_a_token_in_the_header_is_no_credential(its: Any, secret: str) -> None:
    token = post(its.door(), auth=("night-owl", secret)).json()["access_token"]
    for header in (
        f"Bearer {token}",
        f"DPoP {token}",
        f"Bearer {asserted(KEY, 'night-owl', its.clock.now())}",
        "Basic",
    ):
        answer = its.door().post(PATH, data={"grant_type": "client_credentials"}, headers={"Authorization": header})
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize("other", some_of(["open", "no-such-agent", "NIGHT-OWL", "night-owl "], each=2))
def test_a_client_id_that_differs_from_the_credential_is_refused(its: Any, secret: str, other: str) -> None:
    its.delegated_name("Open")
    assert_malformed(post(its.door(), auth=("night-owl", secret), client_id=other))
    assert_malformed(by_assertion(its.door(), asserted(KEY, "night-owl", its.clock.now()), client_id=other))


def test_iss_and_sub_of_an_assertion_are_one_client(its: Any, secret: str) -> None:
    del secret
    its.delegated_agent("Other", key=PrivateKey.generate_ec())
    for names in ({"sub": "other"}, {"iss": "other"}, {"sub": None}, {"iss": None}, {"sub": ["night-owl"]}):
        answer = by_assertion(its.door(), asserted(KEY, "night-owl", its.clock.now(), **names), client_id=None)
        assert answer.status_code in {400, 401}
        assert answer.json()["error"] in {"invalid_client", "invalid_request"}


@pytest.mark.parametrize("name", ["grant_type", "client_id", "client_secret", "scope"])
def test_a_repeated_parameter_is_refused_also_if_it_says_the_same(its: Any, secret: str, name: str) -> None:
    fields = {"grant_type": "client_credentials", "client_id": "night-owl", "client_secret": secret}
    fields |= {"scope": "customers:read"}
    for again in (fields[name], "other"):
        for pairs in ([*fields.items(), (name, again)], [(name, again), *fields.items()]):
            assert_malformed(its.door().post(PATH, content=urlencode(pairs), headers=FORM))


@pytest.mark.parametrize("name", ["client_secret", "client_assertion", "assertion"])
def test_a_credential_in_the_url_is_refused(its: Any, secret: str, name: str) -> None:
    answer = its.door().post(f"{PATH}?{name}={secret}", data={"grant_type": "client_credentials"})
    assert_malformed(answer)
    assert secret not in answer.text
