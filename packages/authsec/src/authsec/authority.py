"""The authority's endpoints, as one agent uses them: metadata, key set, delegation token, revocation.

This module caches only the issuer. The module `cache` caches the tokens.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from authsec import traces
from authsec.clock import Clock
from authsec.config import AuthSecConfig, export_line
from authsec.credentials import CredentialSource, Proof, ProofRequest, find_proof
from authsec.errors import AuthenticationError, AuthSecError, ConfigError, InvalidResponse, ServerError, TransportError
from authsec.http_answer import Answer, http_date
from authsec.refusals import (
    clock_differs,
    document_refusal,
    json_object,
    not_an_authority,
    refusal,
    retrying,
    without_proof,
)
from authsec.tokens import DelegationToken, TokenRequest, bound_token_from_answer, token_from_answer
from authsec.transport import Transport

if TYPE_CHECKING:
    from authsec.oauth_request import OAuthRequests
    from authsec.proof_key import ProofKey

_PAUSES = (0.1, 0.4)  # seconds before a second and a third try
_LONGEST_PAUSE = 2.0  # seconds: after a longer Retry-After, the call fails without a retry

_PORTS: Final = {"http": 80, "https": 443}
_BOUND_ONLY: Final = "/oauth/token"  # in the details of a delegation that grants only bound tokens
# Fewer characters than RFC 3986 allows, because messages show the issuer in shell commands and manifests.
_ADDRESS: Final = re.compile(r"https?://[A-Za-z0-9._:\[\]-]{1,300}(/[A-Za-z0-9._~%:+=,/-]{0,500})?")


class Authority:
    """Sends one agent's requests to one authority. Thread-safe."""

    def __init__(
        self,
        config: AuthSecConfig,
        sources: Sequence[CredentialSource],
        *,
        clock: Clock,
        proof_key: ProofKey | None = None,
        token_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.transport = Transport(config, clock)
        self.proof_key = proof_key
        self._oauth: OAuthRequests | None = None
        if proof_key is not None:
            from authsec.oauth_request import OAuthRequests  # only agents that use it wait for the import

            self._oauth = OAuthRequests(transport=self.transport, client_id=config.client_id, key=proof_key)
        self._config = config
        self.sources = sources
        self._clock = clock
        self._token_bytes = token_bytes
        self._issuer = config.issuer

    def issuer(self, deadline: float | None = None) -> str:
        """Return the authority's `iss`: the configured issuer, or the issuer in its metadata (RFC 8414).

        The issuer from the metadata is cached until the authority refuses a proof.
        """
        if self._issuer is None:
            self._issuer = issuer_of(self.metadata(deadline)[0])
        return self._issuer

    def metadata(self, deadline: float | None = None) -> tuple[dict[str, Any], str | None]:
        """Fetch the authority's metadata (RFC 8414); return the document and the Date header of its response."""
        return self._document("oauth-authorization-server", "issuer", self._by(deadline))

    def keys(self) -> dict[str, Any]:
        """Fetch the authority's published key set (JWK Set, RFC 7517), unchanged."""
        keys, _ = self._document("jwks.json", "keys", self._by(None))
        if not isinstance(keys.get("keys"), list):
            raise InvalidResponse(
                "The authority's key set is not a JWK Set (RFC 7517). Check whether a proxy changes its answers.",
                reason="invalid_response",
            )
        return keys

    def find_proof(self, deadline: float | None = None) -> Proof | None:
        """Return a fresh proof of this agent's identity, or None if no source has a proof."""
        return find_proof(self.sources, self.proof_request(deadline))

    def proof_request(self, deadline: float | None = None) -> ProofRequest:
        """Build the request that each source of proof receives."""
        deadline, config = self._by(deadline), self._config
        return ProofRequest(
            client_id=config.client_id,
            issuer=lambda: self.issuer(deadline),
            audience=lambda: config.proof_audience or self.issuer(deadline),
            trusted_audience=lambda: config.proof_audience or require_trusted(self.issuer(deadline), config),
            clock=self._clock,
            deadline=deadline,
            token_bytes=self._token_bytes,
        )

    def fetch(self, request: TokenRequest) -> DelegationToken:
        """Request a token within the configured timeout; retry twice after a failure that may be temporary."""
        with traces.token_request(self._config.client_id):
            return self._fetch(request, self._by(None))

    def _fetch(self, request: TokenRequest, deadline: float) -> DelegationToken:
        for pause in _PAUSES:
            try:
                return self._ask(request, deadline)
            except (TransportError, ServerError) as error:
                wait = _wait_before_retry(error, pause)
                if wait is None:
                    raise
                # Wait up to 50 % longer, so that not all agents retry at the same time.
                wait *= 1 + self._token_bytes(1)[0] / 510
                if self._clock.monotonic() + wait >= deadline:
                    raise
            self._clock.sleep(wait)
        return self._ask(request, deadline)

    def revoke(self, token: str) -> None:
        """Revoke this token (RFC 7009) within the configured timeout. An expired token is no error."""
        answer = self.transport.post_form("v1/revoke", form={"token": token}, deadline=self._by(None))
        if answer.status != 200:
            # An authority accepts this request from every holder of a token.
            raise document_refusal(answer, self._now())

    def _ask(self, request: TokenRequest, deadline: float) -> DelegationToken:
        """Send one token request with a fresh proof.

        The authority accepts an assertion once, so a retry needs a new one.
        """
        answer, proof = self._sent(request, deadline)
        if answer.status != 200:
            error = refusal(answer, self._now(), names_api=bool(request.resource))
            raise self._refused(error, proof, deadline, answer.date)
        body, client_id, now = json_object(answer), self._config.client_id, self._now()
        if self.proof_key is None:
            return token_from_answer(body, client_id=client_id, date=answer.date, now=now)
        thumbprint = self.proof_key.thumbprint
        return bound_token_from_answer(body, client_id=client_id, thumbprint=thumbprint, date=answer.date, now=now)

    def _sent(self, request: TokenRequest, deadline: float) -> tuple[Answer, Proof | None]:
        if self._oauth is not None:
            find = partial(self.find_proof, deadline)
            return self._oauth.send(request, find, self.issuer(deadline), deadline=deadline)
        proof = self.find_proof(deadline)
        answer = self.transport.get(
            "uflow/sdk/delegation-token",
            query=[("client_id", self._config.client_id), *request.query],
            authorization=proof.authorization if proof else None,
            deadline=deadline,
        )
        return answer, proof

    def _refused(self, error: AuthSecError, proof: Proof | None, deadline: float, date: str | None) -> AuthSecError:
        """Return the refusal with the remedy, and with a sentence that says whether a retry can help.

        A model may read only this text, and could otherwise retry forever. The remedy for a wrong clock comes first,
        because with a wrong clock the authority refuses even a valid proof.
        """
        hint = retrying(error)
        if error.reason == "proof_not_accepted" and self.proof_key is None and _BOUND_ONLY in str(error):
            hint = f"Set AUTHSEC_DPOP=1, or pass dpop=True to AuthSecClient. {hint}"
        if isinstance(error, AuthenticationError) or error.reason == "selectors_mismatch":
            # The authority's issuer may have changed, so the next request reads the issuer again.
            self._issuer = self._config.issuer
            if proof is None:
                request = self.proof_request(deadline)
                hint = without_proof([source.looked_at(request) for source in self.sources])
            else:
                # After `selectors_mismatch` the proof itself is valid, so the clock is not the problem.
                valid = error.reason == "selectors_mismatch"
                clock = "" if valid else clock_differs(http_date(date), self._now())
                helps = "" if valid else proof.if_refused
                hint = " ".join(filter(None, [clock, f"The proof came from: {proof.source}.", helps, hint]))
        explained = type(error)(f"{error} {hint}", reason=error.reason)
        explained.__dict__.update(error.__dict__)
        return explained

    def _document(self, name: str, member: str, deadline: float) -> tuple[dict[str, Any], str | None]:
        answer = self.transport.get(f".well-known/{name}", deadline=deadline)
        if answer.status != 200:
            raise document_refusal(answer, self._now())
        document = json_object(answer)
        if member not in document:
            raise not_an_authority(answer)
        return document, answer.date

    def _by(self, deadline: float | None) -> float:
        return deadline if deadline is not None else self._clock.monotonic() + self._config.timeout

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall(), UTC)


def proof_key_of(config: AuthSecConfig, clock: Clock) -> ProofKey | None:
    """Return a new key to which an agent with `dpop` binds its tokens; None without `dpop`. Raises `ConfigError`."""
    if not config.dpop:
        return None
    from authsec.proof_key import ProofKey  # only agents that use it wait for the import

    return ProofKey.generate(clock)


def issuer_of(metadata: dict[str, Any]) -> str:
    """Return the issuer from the metadata: an address without query or fragment (RFC 8414 §2).

    The issuer may differ from `base_url`, because the authority may be reachable under another name. The issuer
    is the audience of the agent's proofs. So the server at `base_url` can choose this audience. A pinned `issuer`
    prevents this choice. Raises `InvalidResponse` for an invalid issuer.
    """
    issuer = metadata.get("issuer")
    if not isinstance(issuer, str) or not _ADDRESS.fullmatch(issuer) or not _readable(issuer):
        raise InvalidResponse(
            "The authority's metadata has no valid issuer. An issuer is a URL without a query. The authority's "
            "operator must set AUTHSEC_SERVER_PUBLIC_URL.",
            reason="invalid_response",
            status=200,
        )
    return issuer


def require_trusted(issuer: str, config: AuthSecConfig) -> str:
    """Return `issuer` if it is pinned or has the origin of `base_url`; otherwise raise `ConfigError`.

    The error contains the line to add to the settings. The check is for tokens that a platform makes for this
    agent: a receiver could use such a token elsewhere. The check stops audience injection. In this attack a false
    authority names a cloud or a vault as its issuer, and receives a token for that service.
    """
    if issuer == config.issuer or _origin(issuer) == _origin(config.base_url):
        return issuer
    raise ConfigError(
        f"The authority's issuer is {issuer}, which differs from AUTHSEC_BASE_URL. A proof for another "
        f"authority's issuer could be misused by this server. If {issuer} is the issuer of your authority, add:\n    "
        f"{export_line('AUTHSEC_ISSUER', issuer)}",
        reason="issuer_not_pinned",
    )


def _wait_before_retry(error: TransportError | ServerError, pause: float) -> float | None:
    """Return the seconds to wait before a retry, or None if the request must not be repeated."""
    if isinstance(error, TransportError):
        return pause if error.reason in {"unreachable", "connection_lost"} else None
    if error.status == 503 and error.retry_after is not None and error.retry_after <= _LONGEST_PAUSE:
        return max(error.retry_after, pause)
    return None


def _readable(url: str) -> bool:
    try:
        return bool(urlsplit(url).hostname) and urlsplit(url).port != 0
    except ValueError:  # not a URL
        return False


def _origin(url: str) -> tuple[str, str | None, int | None]:
    """Return the scheme, host and port of a URL (RFC 6454 §4)."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)
