"""Introspection (RFC 7662): ask the authority whether one token is active, while the feed of revocations is stale.

`Introspection` sends one request for all callers with the same token. After a failed request it pauses.
`IntrospectionEndpoint` makes the HTTP request. `authsec.verifier.revocations.policy` decides whether to send
a request at all. No error text contains a part of the token or of the response.
"""

from __future__ import annotations

import logging
import math
import os
import ssl
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from urllib3 import exceptions

from authsec import http_client, strict_json
from authsec.api_credential import VARIABLE as CREDENTIAL
from authsec.clock import Clock, Moment, moment, since
from authsec.errors import ConfigError, RevocationsUnavailable
from authsec.http_answer import MOST_BYTES, Answer, AnswerTooLarge
from authsec.verifier.documents import DocumentRefused, Documents, failure_text, published_address

_log = logging.getLogger("authsec.verifier")

# Seconds for which the answer "active" is cached. In this time, a revoked token may still be accepted.
KEPT_FOR: Final = 5.0
KEPT: Final = 1024  # the most cached answers "active"
REFUSED: Final = 4096  # the most cached answers "not active"
AT_ONCE: Final = 16  # the most concurrent requests
PATIENCE: Final = 6.0  # seconds that a caller waits; a request takes at most five
PAUSE: Final = 2.0  # seconds without requests after a failed request
_LEEWAY: Final = 300  # seconds by which the clocks of authority and API may differ

Ask = Callable[[str, Mapping[str, Any]], bool]

_MOST_SECONDS: Final = 5.0
_WORDS: Final[Mapping[int, str]] = {
    401: (
        "does not know the credential, or the credential has expired: create a new one with `authsec apis "
        "create-credential`"
    ),
    429: "got too many requests from here with a wrong credential",
}
_SAME: Final = ("iss", "sub", "jti", "client_id", "exp", "authority_version")


@dataclass(frozen=True, slots=True, kw_only=True)
class IntrospectionHealth:
    """The state of introspection, for monitoring.

    `in_use` means that tokens are introspected at the moment. `failure` is the reason why the last request
    failed, or None.
    """

    in_use: bool
    failure: str | None


class Introspection:
    """Introspects tokens that have passed all other checks. Callable from any thread; calls may wait.

    `mark` computes the cache key of a token. While the answer "not active" is cached, this process refuses the
    token, whatever the authority answers later. The caches for both answers have a maximum size, and a full cache
    drops old answers. The caches contain only the token's mark, its `jti` and its expiry.
    """

    def __init__(self, issuer: str, ask: Ask, *, mark: Callable[[str], bytes], clock: Clock) -> None:
        self.failure: str | None = None  # why the last request failed; None if it did not fail
        self.ever_asked = False
        self._issuer = issuer
        self._ask = ask
        self._mark = mark
        self._clock = clock
        self._good: OrderedDict[bytes, Moment] = OrderedDict()
        self._dead: OrderedDict[str, float] = OrderedDict()  # the expiry of each inactive token, by `jti`
        self._failed: Moment | None = None
        self._reset()

    def is_dead(self, jti: str) -> bool:
        """Whether the authority has answered that the token with this `jti` is not active. Never waits."""
        return jti in self._dead

    def check(self, token: str, claims: Mapping[str, Any]) -> None:
        """Find out whether the token is active. If it is not active, `is_dead` is then true for its `jti`.

        Raises `RevocationsUnavailable` if the authority does not answer.
        """
        if self._process != os.getpid():  # After a fork, the thread that sends a request exists only in the parent.
            self._reset()
        mark = self._mark(token)
        with self._lock:
            answered = self._good.get(mark)
            if answered is not None and since(answered, self._clock) < KEPT_FOR:
                return
            question = self._under_way.get(mark)
            if question is None:
                mine: Future[bool] = Future()
                self._under_way[mark] = mine
        known = self._answer(token, mark, claims, mine) if question is None else _known_after(question)
        if not known:
            raise RevocationsUnavailable(
                f"The revocations of {self._issuer} are not known, and the authority cannot be asked about the "
                f"token: {self.failure or 'the request takes too long'}.",
                retry_after=math.ceil(PAUSE),
            )

    def _answer(self, token: str, mark: bytes, claims: Mapping[str, Any], question: Future[bool]) -> bool:
        """Send the request to the authority, then wake all callers that wait for the answer.

        Return True if the authority has answered.
        """
        known = False
        try:
            known = self._find_out(token, mark, claims)
        finally:
            with self._lock:
                self._under_way.pop(mark, None)
            question.set_result(known)
        return known

    def _find_out(self, token: str, mark: bytes, claims: Mapping[str, Any]) -> bool:
        if self._pausing() or not self._places.acquire(timeout=PATIENCE):
            return False
        try:
            if self._pausing():  # A request failed while this thread was waiting.
                return False
            self.ever_asked, asked = True, moment(self._clock)
            active = self._ask(token, claims)
        except DocumentRefused as error:
            self._fail(str(error))
            return False
        finally:
            self._places.release()
        if self.failure is not None:  # A warning, so that every log with the failure also shows its end.
            _log.warning("%s answers requests about tokens again", self._issuer)
        self.failure = self._failed = None
        with self._lock:
            self._keep(mark, claims, asked if active else None)
        return True

    def _keep(self, mark: bytes, claims: Mapping[str, Any], good_at: Moment | None) -> None:
        if good_at is not None:
            self._good[mark] = good_at
            self._good.move_to_end(mark)
            if len(self._good) > KEPT:
                self._good.popitem(last=False)
            return
        self._good.pop(mark, None)
        self._dead[claims["jti"]] = claims["exp"]
        if len(self._dead) > REFUSED:
            now = self._clock.wall()
            over = [jti for jti, expires in self._dead.items() if expires + _LEEWAY < now]
            for jti in over or [next(iter(self._dead))]:
                del self._dead[jti]

    def _pausing(self) -> bool:
        failed = self._failed
        return failed is not None and since(failed, self._clock) < PAUSE

    def _fail(self, failure: str) -> None:
        if failure != self.failure:  # Log the same failure only once.
            _log.error("%s cannot be asked about tokens, so no token is accepted: %s", self._issuer, failure)
        self.failure, self._failed = failure, moment(self._clock)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self._under_way: dict[bytes, Future[bool]] = {}
        self._process = os.getpid()


def _known_after(question: Future[bool]) -> bool:
    try:
        return question.result(PATIENCE)
    except TimeoutError:  # no answer in time
        return False


class IntrospectionEndpoint:
    """Introspects tokens for one API. Callable from any thread.

    The API's credential goes only to the authority's own host.
    """

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
        """Ask the authority whether this verified token is active.

        Takes some seconds at most. Raises `DocumentRefused`.
        """
        deadline = self._clock.monotonic() + _MOST_SECONDS
        address = self._address
        if address is None:
            address = published_address(self._issuer, "introspection_endpoint", self._documents.fetch)
        try:
            answer = self._answer(address, token, deadline)
        except DocumentRefused:
            self._address = None  # The address may have changed.
            raise
        self._address = address
        return is_active(_read(address, answer), answer.audience, audience=self._audience, claims=claims)

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
            raise DocumentRefused(f"{address} cannot be asked: {failure_text(error)}") from None
        except ConfigError as error:  # The proxy setting is read only here, and is invalid.
            raise DocumentRefused(f"{address} cannot be asked: {error}") from None
        except AnswerTooLarge:
            raise DocumentRefused(f"the answer of {address} is too long") from None
        if 300 <= answer.status < 400:  # Token and credential must not follow a redirect.
            raise DocumentRefused(f"{address} redirected, and redirects are not followed")
        if answer.status != 200:
            raise DocumentRefused(f"{address} {_WORDS.get(answer.status, f'answered {answer.status}')}")
        return answer


def _read(address: str, answer: Answer) -> Mapping[str, Any]:
    kind = answer.content_type.partition(";")[0].strip().lower()
    try:
        document = strict_json.loads(answer.body, max_bytes=MOST_BYTES)
    except strict_json.StrictJsonError:  # The error's text may quote the response.
        document = None
    if kind != "application/json" or not isinstance(document, dict):
        raise DocumentRefused(f"{address} does not answer with a JSON object")
    return document


def is_active(answer: Mapping[str, Any], answered: str | None, *, audience: str, claims: Mapping[str, Any]) -> bool:
    """Whether the authority's answer says that the token with these verified claims is active.

    `answered` is the audience for which the endpoint answered. Raises `DocumentRefused` for an answer about
    another token or another API. With the credential of another API, every token would seem inactive. A token
    that is inactive once is refused from then on. So a wrong answer must not lead to a refusal.
    """
    if answered != audience:
        raise DocumentRefused(
            "the credential belongs to another API: the audience of that API differs"
            if answered
            else "the introspection endpoint did not say which API it answered"
        )
    active = answer.get("active")
    if type(active) is not bool:
        raise DocumentRefused("the introspection endpoint did not say whether the token is active")
    if active and any(answer.get(name) != claims[name] for name in _SAME):
        raise DocumentRefused("the introspection endpoint answered about another token")
    return active


def introspection_for(
    issuer: str,
    audience: str,
    credential: str | None,
    *,
    mark: Callable[[str], bytes],
    clock: Clock,
    trust: ssl.SSLContext | None,
) -> Introspection:
    """Build the object that introspects tokens, for one API. Raises `ConfigError` without a credential."""
    if credential is None:
        raise ConfigError(
            'revocations="introspect" needs credential=… '
            f"(or {CREDENTIAL}), which identifies this API to the authority. To create one at the authority: "
            "authsec apis create-credential API",
            reason="credential_missing",
        )
    endpoint = IntrospectionEndpoint(issuer, audience, credential, clock=clock, trust=trust)
    return Introspection(issuer, endpoint.ask, mark=mark, clock=clock)
