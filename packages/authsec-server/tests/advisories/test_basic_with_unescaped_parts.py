"""HTTP Basic at the token endpoint: both parts are form-encoded before they are joined (RFC 6749 section 2.3.1).

A client that does not encode them, or encodes them twice, must not become another client, and must not end the request
with an error of ours.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any
from urllib.parse import quote, quote_plus

from token_endpoint import PATH

API = "/authsec/api/v1"


def twice(text: str) -> str:
    """The text, each of its characters encoded twice."""
    return "".join(f"%25{ord(char):02X}" for char in text)


JOINED = (
    "night-owl:{secret}:",
    "night-owl:{secret}:more",
    ":night-owl:{secret}",
    "night-owl%3A{secret}",
    "night-owl%00:{secret}",
    "night+owl:{secret}",
    "night-owl:{secret}%",
    "night-owl:{secret}%zz",
    "night-owl:{secret}%ff",
    "night-owl:{secret}+",
    "night-owl:",
    ":",
    "night-owl",
    "",
    "night-owl:{twice}",
)


def test_only_the_parts_that_were_meant_authenticate(house: Any) -> None:
    its = house(local_operator=True)
    client_id = its.delegated_name("Night Owl")
    secret = its.door().post(f"{API}/clients/{client_id}/proofs", json={"platform": "secret"}).json()["client_secret"]

    def ask(text: str, number: int) -> Any:
        credential = b64encode(text.encode()).decode()
        form = {"grant_type": "client_credentials"}
        door = its.door(f"192.0.2.{number}")  # each address may guess a few times only
        return door.post(PATH, data=form, headers={"Authorization": f"Basic {credential}"})

    for number, joined in enumerate(JOINED):
        refused = ask(joined.format(secret=secret, twice=twice(secret)), number)
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client"), joined
        assert refused.headers["WWW-Authenticate"].startswith("Basic "), joined
    for encode in (str, quote, quote_plus, lambda text: "".join(f"%{ord(char):02x}" for char in text)):
        assert ask(f"{encode('night-owl')}:{encode(secret)}", 0).status_code == 200
