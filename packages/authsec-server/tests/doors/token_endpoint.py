"""The OAuth token endpoint, as a stock client meets it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from authsec.jose import PrivateKey, assemble, signing_input
from starlette.testclient import TestClient

PATH = "/oauth/token"
ISSUER = "http://127.0.0.1:7468"
PRIVATE_KEY_JWT = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
JWT_SPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"


def post(door: TestClient, **form: Any) -> Any:
    """The answer to a client-credentials request; None leaves a parameter out, a list repeats one.

    `headers` are no parameters: they are sent as headers.
    """
    auth, headers = form.pop("auth", None), form.pop("headers", None)
    asked = {"grant_type": "client_credentials"} | form
    data = {name: value for name, value in asked.items() if value is not None}
    return door.post(PATH, data=data, auth=auth, headers=headers)


def by_assertion(door: TestClient, assertion: str, **form: Any) -> Any:
    """The answer to a client that authenticates by this assertion."""
    return post(door, **{"client_assertion_type": PRIVATE_KEY_JWT, "client_assertion": assertion} | form)


def by_grant(door: TestClient, token: str, **form: Any) -> Any:
    """The answer to a workload that shows its own token as the grant."""
    return post(door, **{"grant_type": JWT_BEARER, "assertion": token} | form)


def asserted(key: PrivateKey, name: str, now: Any, *, header: Mapping[str, Any] | None = None, **changes: Any) -> str:
    """An assertion as a stock client makes it; `changes` spoil its claims, and None leaves one out."""
    seconds = int(now.timestamp())
    claims = {
        "iss": name,
        "sub": name,
        "aud": ISSUER,
        "exp": seconds + 60,
        "iat": seconds,
        "jti": secrets.token_hex(16),
    }
    given = {claim: value for claim, value in (claims | changes).items() if value is not None}
    unsigned = signing_input({"alg": key.algorithm} | dict(header or {}), given)
    return assemble(unsigned, key.sign(unsigned))
