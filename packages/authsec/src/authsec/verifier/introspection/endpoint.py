"""The authority's introspection endpoint (RFC 7662), found through its metadata and asked over HTTP."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, Final

from urllib3 import exceptions

from authsec import http_client, strict_json
from authsec.clock import Clock
from authsec.errors import ConfigError
from authsec.http_client import Answer, AnswerTooLarge
from authsec.verifier.documents import DocumentRefused, Documents, why
from authsec.verifier.introspection.answers import counts
from authsec.verifier.metadata import published_address

MOST_SECONDS: Final = 5.0
_WORDS: Final[Mapping[int, str]] = {
    401: "does not know the credential, or it has ended: make another with `authsec apis create-credential`",
    429: "has been asked too often from here with a wrong credential",
}


class Endpoint:
    """Asks for one API, whose credential goes to the authority's own host alone. Used from any thread."""

    def __init__(
        self, issuer: str, audience: str, credential: str, *, clock: Clock, trust: ssl.SSLContext | None
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        self._authorization = f"Bearer {credential}"
        self._clock = clock
        self._trust = trust
        self._documents = Documents(clock=clock, trust=trust)
        self._address: str | None = None

    def ask(self, token: str, claims: Mapping[str, Any]) -> bool:
        """Whether this (verified) token counts. Blocks for some seconds at most; raises `DocumentRefused`."""
        deadline = self._clock.monotonic() + MOST_SECONDS
        address = self._address
        if address is None:
            address = published_address(self._issuer, "introspection_endpoint", self._documents.fetch)
        try:
            answer = self._answer(address, token, deadline)
        except DocumentRefused:
            self._address = None  # it may have moved
            raise
        self._address = address
        return counts(_read(address, answer), answer.audience, audience=self._audience, claims=claims)

    def _answer(self, address: str, token: str, deadline: float) -> Answer:
        form = {"token": token, "token_type_hint": "access_token"}
        try:
            answer = http_client.post_form(
                address,
                form=form,
                authorization=self._authorization,
                trust=self._trust,
                deadline=deadline,
                clock=self._clock,
            )
        except exceptions.HTTPError as error:
            raise DocumentRefused(f"{address} cannot be asked: {why(error)}") from None
        except ConfigError as error:  # the proxy's, which is only looked at now
            raise DocumentRefused(f"{address} cannot be asked: {error}") from None
        except AnswerTooLarge:
            raise DocumentRefused(f"{address} says more than an answer can have") from None
        if 300 <= answer.status < 400:  # neither token nor credential goes where an answer says
            raise DocumentRefused(f"{address} redirects, and redirects are not followed")
        if answer.status != 200:
            raise DocumentRefused(f"{address} {_WORDS.get(answer.status, f'answers {answer.status}')}")
        return answer


def _read(address: str, answer: Answer) -> Mapping[str, Any]:
    kind = answer.content_type.partition(";")[0].strip().lower()
    try:
        document = strict_json.loads(answer.body, max_bytes=http_client.MOST_BYTES)
    except strict_json.StrictJsonError:  # its text may quote what was answered
        document = None
    if kind != "application/json" or not isinstance(document, dict):
        raise DocumentRefused(f"{address} does not answer with a JSON object")
    return document
