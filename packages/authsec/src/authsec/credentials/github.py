"""The OpenID Connect token of a GitHub Actions job, requested from GitHub."""

from __future__ import annotations

import os
import re
from copy import copy
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from urllib3 import exceptions

from authsec import http_client
from authsec.config import is_loopback
from authsec.credentials.source import Proof, ProofRequest, broken_proof
from authsec.credentials.workload_token import WorkloadToken
from authsec.errors import AuthSecError, TransportError
from authsec.http_answer import MOST_BYTES, Answer, AnswerTooLarge
from authsec.strict_json import StrictJsonError, loads
from authsec.tls_and_proxy import trust_store

_PERMISSION = "The job needs, in its workflow:\n    permissions:\n      id-token: write"
_IF_REFUSED = (
    "Check that GitHub Actions is a trusted issuer, and that the agent's page names this "
    "repository, ref and environment. If the agent is unattested, it needs no proof. In that "
    "case, remove `id-token: write` from the job."
)
_FIT_FOR_A_HEADER = re.compile(r"[\x21-\x7e]{1,16384}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _TokenRequest:
    """The URL from which this job requests its token, and the bearer token that authorizes the request."""

    url: str
    bearer: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class GitHubActions:
    """Requests a token for this authority from `ACTIONS_ID_TOKEN_REQUEST_URL`.

    `ACTIONS_ID_TOKEN_REQUEST_TOKEN` authorizes the request.
    """

    def proof(self, request: ProofRequest) -> Proof | None:
        wanted = _token_request()
        if wanted is None:
            return None
        url = f"{wanted.url}{'&' if '?' in wanted.url else '?'}audience={quote(request.trusted_audience(), safe='')}"
        token = _fetch(_TokenRequest(url=url, bearer=wanted.bearer), request)
        if isinstance(token, AuthSecError):
            raise token
        return Proof(
            authorization=f"Bearer {token.value}", source="the job's token of GitHub Actions", if_refused=_IF_REFUSED
        )

    def looked_at(self, request: ProofRequest) -> str:  # noqa: ARG002 - the same variables for every agent
        if os.environ.get("GITHUB_ACTIONS") == "true":
            return f"GitHub Actions (this job is not allowed to request a token)\n{_PERMISSION}"
        return "ACTIONS_ID_TOKEN_REQUEST_URL (not set)"


def _token_request() -> _TokenRequest | None:
    wanted = _TokenRequest(url=_variable("URL"), bearer=_variable("TOKEN"))
    if not wanted.url and not wanted.bearer:
        return None
    if not _may_be_asked(wanted.url) or not _FIT_FOR_A_HEADER.fullmatch(wanted.bearer):
        raise broken_proof(
            "ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN must both have the values that "
            "GitHub Actions sets (the URL with https). Pass both to this program, or unset both."
        )
    return wanted


def _variable(name: str) -> str:
    return os.environ.get(f"ACTIONS_ID_TOKEN_REQUEST_{name}", "").strip()


def _may_be_asked(url: str) -> bool:
    """Whether the job may send its bearer token to `url`: only over TLS, or to this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False  # not a URL
    readable = url.isascii() and url.isprintable() and not {" ", "\\", "@", "#"} & set(url)
    safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(str(parts.hostname)))
    return bool(readable and safe and parts.hostname)


def _fetch(wanted: _TokenRequest, request: ProofRequest) -> WorkloadToken | AuthSecError:
    """Return the job's token, or the error for the caller to raise.

    The caller raises the error, so that no frame of its traceback contains a token.
    """
    try:
        answer = http_client.get(
            wanted.url,
            authorization=f"Bearer {wanted.bearer}",
            trust=trust_store(None) if wanted.url.startswith("https:") else None,
            deadline=request.deadline,
            clock=request.clock,
        )
    except AuthSecError as error:
        # The proxy setting is invalid. The copy has no traceback, so no frame with the header is shown.
        return copy(error)
    except exceptions.TimeoutError:
        return TransportError("GitHub did not issue this job's token in time.", reason="timeout", retryable=True)
    except (exceptions.HTTPError, AnswerTooLarge):
        return _not_now("could not be reached")
    if answer.status == 429 or answer.status >= 500:
        return _not_now(f"answered {answer.status}")
    return _token_of(answer) or broken_proof(
        f"GitHub issued no token to this job (status {answer.status}). A job can request tokens only while it "
        f"runs. {_PERMISSION}"
    )


def _token_of(answer: Answer) -> WorkloadToken | None:
    try:
        body = loads(answer.body, max_bytes=MOST_BYTES)
    except StrictJsonError:
        # The caller reports that there is no token, and does not quote the response.
        return None
    value = body.get("value") if answer.status == 200 and isinstance(body, dict) else None
    return WorkloadToken.of(value) if isinstance(value, str) else None


def _not_now(what: str) -> TransportError:
    return TransportError(f"The token endpoint of GitHub {what}.", reason="unreachable", retryable=True)
