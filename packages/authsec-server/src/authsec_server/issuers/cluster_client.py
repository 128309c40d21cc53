"""`ClusterApis`: ask API servers of clusters about tokens and pods, for all trusted issuers. Thread-safe."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from authsec_server.failures import Conflict
from authsec_server.issuers import validation
from authsec_server.issuers.model import Lookup, LookupState, LookupUnavailable, TrustedIssuer
from authsec_server.outbound import Answer, FailureReason, Outbound, OutboundFailed, OutboundLimits

MAX_BYTES = 16_384
_TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 section 2.1


class CredentialsUnusable(Exception):
    """There are no usable credentials for the cluster.

    The message is a clause for an operator, and never contains the content of the credentials file.
    """


def read_credentials(folder: Path | None, name: str) -> str:
    """Read the bearer token (RFC 6750) from the file. Nothing is cached, so a new token needs no restart.

    Symbolic links in the folder are followed, because Kubernetes mounts every token as a link. Raises
    `CredentialsUnusable`.
    """
    if folder is None:
        raise CredentialsUnusable("AUTHSEC_SERVER_CREDENTIALS_DIR is not set to a folder of credentials")
    if name != Path(name).name or name.startswith("."):  # whatever the database says
        raise CredentialsUnusable("the registered name of the credentials is not a file name")
    try:
        if not (folder / name).is_file():
            raise CredentialsUnusable(f"the folder of credentials has no file {name}")
        with (folder / name).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise CredentialsUnusable(f"the file {name} cannot be read: {error.strerror}") from None
    token = data.strip(b" \t\r\n")
    if len(data) > MAX_BYTES or not _TOKEN.fullmatch(token):
        raise CredentialsUnusable(
            f"the file {name} was not sent, because the file must contain one token on one line of at most "
            f"{MAX_BYTES} bytes"
        )
    return token.decode("ascii")


Answered = TypeVar("Answered")

LIMITS = OutboundLimits(seconds=5.0, max_bytes=2 * 1024 * 1024)  # a pod may be as large as the cluster stores things
AT_ONCE = 8  # requests to one cluster: a slow one must not take all of this server's threads
TURN_SECONDS = 1.0  # seconds to wait for one of these requests
QUIET_SECONDS = 2.0  # seconds without a request after a failure
_ANSWERS = {200, 201, 404}  # 404 can mean a missing pod or a wrong address; only the body shows the difference


class NotAnswered(Exception):
    """The cluster gave no usable response. The message is a clause for an operator, without a full stop."""


class ClusterLine:
    """The API server of one revision of a trusted issuer. Thread-safe.

    For two seconds after a failure, no request is sent. Then only one caller may send a request at a time,
    because other callers would only wait for the same failure.
    """

    def __init__(
        self,
        trusted_issuer: TrustedIssuer,
        outbound: Outbound,
        *,
        credentials_dir: Path | None,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        limits: OutboundLimits,
    ) -> None:
        assert trusted_issuer.cluster is not None, "only a cluster has an API server"
        self.trusted_issuer = trusted_issuer
        self._cluster = trusted_issuer.cluster
        self._outbound = outbound
        self._trust = (
            ssl.create_default_context(cadata=trusted_issuer.cluster.ca) if trusted_issuer.cluster.ca else None
        )
        self._credentials_dir = credentials_dir
        self._now = now
        self._monotonic = monotonic
        self._limits = limits
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        self._alone = threading.Lock()
        self._down = ""  # why the server did not answer last; empty while it does
        self._quiet_until = float("-inf")
        self._states: dict[Lookup, LookupState] = {}

    def ask(
        self, lookup: Lookup, path: str, document: Mapping[str, Any] | None, read: Callable[[Answer], Answered]
    ) -> Answered:
        """Send a request to the API server, and return the result of `read`.

        Raises `LookupUnavailable` if there is no response, or if `read` refuses the response.
        """
        with self._turn(lookup):
            try:
                answer = self._send(lookup, path, document)
                found = read(answer)
            except (NotAnswered, OutboundFailed, CredentialsUnusable) as error:
                raise self._failed(lookup, str(error)) from None
        self._states[lookup] = LookupState(answered_at=self._now())
        return found

    def state(self, lookup: Lookup) -> LookupState:
        """Return the result of the last look-up of this kind."""
        return self._states.get(lookup, LookupState())

    @contextmanager
    def _turn(self, lookup: Lookup) -> Iterator[None]:
        self._refuse_while_quiet(lookup)
        gate = self._alone if self._down else self._turns
        if not gate.acquire(timeout=0.0 if self._down else TURN_SECONDS):
            raise self._failed(
                lookup,
                self._down or "this server already has the maximum number of concurrent requests to that API server",
            )
        try:
            self._refuse_while_quiet(lookup)  # an earlier caller may have found the failure
            yield
        finally:
            gate.release()

    def _refuse_while_quiet(self, lookup: Lookup) -> None:
        if self._down and self._monotonic() < self._quiet_until:
            raise self._failed(lookup, self._down)

    def _send(self, lookup: Lookup, path: str, document: Mapping[str, Any] | None) -> Answer:
        headers = {"Authorization": f"Bearer {read_credentials(self._credentials_dir, self._cluster.credentials)}"}
        asked: dict[str, Any] = {"headers": headers, "limits": self._limits, "trust": self._trust}
        url = self._cluster.url + path
        try:
            answer = (
                self._outbound.get(url, **asked)
                if document is None
                else self._outbound.post_json(url, document, **asked)
            )
        except OutboundFailed as error:
            if error.reason is not FailureReason.TOO_LARGE:  # an error about one pod must not stop the others
                self._goes_quiet(str(error))
            raise
        if answer.status >= 500 or answer.status == 429:
            self._goes_quiet(f"{answer.source} answered {answer.status}")
        else:
            self._down = ""
        if answer.status not in _ANSWERS:
            raise NotAnswered(f"{answer.source} answered {answer.status}{self._hint(lookup, answer.status)}")
        return answer

    def _goes_quiet(self, why: str) -> None:
        self._quiet_until = self._monotonic() + QUIET_SECONDS
        self._down = why

    def _hint(self, lookup: Lookup, status: int) -> str:
        if status == 401:
            return (
                f": the API server does not accept the token in the file {self._cluster.credentials}. Write a new "
                "token to the file"
            )
        if status == 403:
            account = f"the account of the file {self._cluster.credentials}"
            command = f"authsec issuers rbac {self.trusted_issuer.slug}"
            return f": {account} may not {lookup.permission}. Apply the output of {command}"
        return ""

    def _failed(self, lookup: Lookup, failure: str) -> LookupUnavailable:
        answered = self.state(lookup).answered_at
        self._states[lookup] = LookupState(answered_at=answered, failed_at=self._now(), failure=failure)
        return LookupUnavailable(
            f"The API server of the trusted issuer {self.trusted_issuer.name!r} ({self.trusted_issuer.slug}) could "
            f"not be asked: {failure}."
        )


T = TypeVar("T")
_DEPTH = 32  # a pod's affinity, and the fields that each of its managers owns, lie deep
_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"


class ClusterApis:
    """The API servers of all trusted issuers. Never call inside a transaction: the servers may be slow.

    `read` interprets a response, and raises `NotAnswered` for a response that no API server sends. Every method
    raises `LookupUnavailable` if there is no usable response. No method checks whether the trusted issuer is
    enabled.
    """

    def __init__(
        self,
        outbound: Outbound,
        *,
        credentials_dir: Path | None,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        limits: OutboundLimits = LIMITS,
    ) -> None:
        self._outbound = outbound
        self._credentials_dir = credentials_dir
        self._now = now
        self._monotonic = monotonic
        self._limits = limits
        self._lock = threading.Lock()
        self._lines: dict[str, ClusterLine] = {}

    @property
    def possible(self) -> bool:
        """Return whether the settings name a folder with credentials for clusters."""
        return self._credentials_dir is not None

    def review(
        self, trusted_issuer: TrustedIssuer, token: str, audience: str, read: Callable[[Mapping[str, Any]], T]
    ) -> T:
        """Ask the cluster whether a token that it signed is still valid, and for which account and audience.

        The question is a TokenReview. Return the result of `read`.
        """
        wanted = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]},
        }
        return self._line(trusted_issuer).ask(
            Lookup.TOKEN_REVIEW, _REVIEWS, wanted, lambda answer: read(answer.json_object(max_depth=_DEPTH))
        )

    def pod(
        self, trusted_issuer: TrustedIssuer, namespace: str, name: str, read: Callable[[Mapping[str, Any] | None], T]
    ) -> T:
        """Ask the cluster for a pod, and return the result of `read`.

        `read` gets None if the cluster has no such pod.
        """
        path = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/{quote(name, safe='')}"
        return self._line(trusted_issuer).ask(Lookup.POD_LOOKUP, path, None, lambda answer: read(_pod(answer)))

    def check(self, trusted_issuer: TrustedIssuer) -> Mapping[Lookup, LookupState]:
        """Test each look-up that is turned on, and return the results.

        The test asks about a token and a pod that do not exist. An API server that permits the look-up gives a
        negative answer, and the test then succeeds.
        """
        questions = {
            Lookup.TOKEN_REVIEW: lambda: self.review(trusted_issuer, "none", "none", lambda _: None),
            Lookup.POD_LOOKUP: lambda: self.pod(trusted_issuer, "default", "authsec-asks-for-none", lambda _: None),
        }
        for lookup in self.state(trusted_issuer):
            with suppress(LookupUnavailable):  # why, the state says
                questions[lookup]()
        return self.state(trusted_issuer)

    def try_out(self, trusted_issuer: TrustedIssuer) -> Mapping[Lookup, LookupState]:
        """Test the look-ups as `check` does, for an edit that is not saved yet. The results are not stored."""
        alone = ClusterApis(
            self._outbound,
            credentials_dir=self._credentials_dir,
            now=self._now,
            monotonic=self._monotonic,
            limits=self._limits,
        )
        return alone.check(trusted_issuer)

    def state(self, trusted_issuer: TrustedIssuer) -> Mapping[Lookup, LookupState]:
        """Return the last result in this process of each look-up that is turned on. Sends no request to the cluster."""
        cluster = trusted_issuer.cluster
        on = {Lookup.TOKEN_REVIEW: cluster and cluster.reviews, Lookup.POD_LOOKUP: cluster and cluster.pods}
        return {lookup: self._line(trusted_issuer).state(lookup) for lookup, is_on in on.items() if is_on}

    def _line(self, trusted_issuer: TrustedIssuer) -> ClusterLine:
        with self._lock:
            line = self._lines.get(trusted_issuer.id)
            if line is None or line.trusted_issuer.revision < trusted_issuer.revision:
                line = self._lines[trusted_issuer.id] = ClusterLine(
                    trusted_issuer,
                    self._outbound,
                    credentials_dir=self._credentials_dir,
                    now=self._now,
                    monotonic=self._monotonic,
                    limits=self._limits,
                )
            elif (
                line.trusted_issuer.revision > trusted_issuer.revision
            ):  # read before a change that others know of already
                raise LookupUnavailable(
                    f"The trusted issuer {trusted_issuer.name!r} was changed while this request was processed."
                )
            return line


def _pod(answer: Answer) -> Mapping[str, Any] | None:
    document = answer.json_object(max_depth=_DEPTH)
    if answer.status != 404:
        return document
    about = document.get("details")
    if document.get("kind") == "Status" and isinstance(about, dict) and about.get("kind") == "pods":
        return None
    raise NotAnswered(f"{answer.source} answered 404, unlike an API server. Check the address")


def require_answers(
    cluster_apis: ClusterApis, trusted_issuer: TrustedIssuer, *, revision: int, changes: Mapping[str, object]
) -> None:
    """Raise `Conflict` if the edited trusted issuer needs new look-ups and the cluster does not answer them.

    Raises `Invalid` for wrong changes. Never call inside a transaction. If the edit fails anyway because of its
    `revision` or missing credentials, no request is sent to the cluster.
    """
    if revision != trusted_issuer.revision or not cluster_apis.possible:
        return
    edited = replace(trusted_issuer, **validation.edited(trusted_issuer, changes))
    if not validation.asks_otherwise(trusted_issuer.cluster, edited.cluster):
        return
    states = cluster_apis.try_out(edited)
    failures = [f"{lookup.shown}: {state.failure}" for lookup, state in states.items() if state.failing]
    if failures:
        raise _unanswered(edited, failures)


def _unanswered(trusted_issuer: TrustedIssuer, failures: list[str]) -> Conflict:
    cluster = trusted_issuer.cluster
    file = cluster.credentials if cluster else ""
    whose = "" if cluster and cluster.reviews else " whose pods are looked up"
    return Conflict(
        f"The cluster does not answer, so nothing was saved. Agents of {trusted_issuer.name!r}{whose} would get no "
        f"token. {'. '.join(failures)}.",
        f"First grant access in the cluster: authsec issuers rbac {trusted_issuer.slug} | kubectl apply -f -. Then "
        f"write that account's token to the file {file}. Then turn the look-up on. To save without an answer, use "
        "--anyway on the command line, the checkbox in the console, or anyway in the API.",
        field="anyway",
    )
