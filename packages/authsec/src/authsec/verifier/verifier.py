"""`TokenVerifier`: verifies the tokens of one authority for one API."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from authsec import strict_json
from authsec.api_credential import read_credential
from authsec.clock import Clock
from authsec.errors import ConfigError, InvalidToken, RevocationsUnavailable
from authsec.jose import JoseError, PublicKey, UnverifiedJws, parse_compact
from authsec.verifier.checks import (
    ALGORITHMS,
    AUDIENCE_MISMATCH,
    BINDING_NOT_SUPPORTED,
    CLAIM_CHECKS,
    HEADER_CHECKS,
    ISSUER_CHECKS,
    NO_BOUND_TOKENS,
    NO_DPOP_ORIGIN,
    SEND_BEARER,
    VALIDITY_CHECKS,
    Case,
    Expected,
    Validity,
    apply,
    apply_types,
    audiences_of,
)
from authsec.verifier.documents import MOST_BYTES, Documents, trust_for
from authsec.verifier.introspection import introspection_for
from authsec.verifier.key_set import GivenKeys, KeysHealth, KeySource
from authsec.verifier.published_keys import PublishedKeys
from authsec.verifier.refusal_log import FOR_ANOTHER_API, OF_ANOTHER_AUTHORITY, BoundTokenLog, MismatchLog
from authsec.verifier.revocations.policy import (
    RETRY_AFTER,
    FeedHealth,
    FollowedRevocations,
    IntrospectedRevocations,
    NoRevocations,
    Policy,
    Revocations,
    check_policy,
)
from authsec.verifier.revocations.shared_file import shared_file_at
from authsec.verifier.revocations.shared_follower import shared_follower
from authsec.verifier.sync_or_async import Caller, call_in_place, run_in_place
from authsec.verifier.token import VerifiedToken
from authsec.verifier.verification_cache import CachedToken, VerificationCache, token_digest

if TYPE_CHECKING:
    from authsec.verifier.key_binding import DpopRequest, KeyBinding

KeySet = Mapping[str, Any] | str | os.PathLike[str]

# The reason that a verifier uses for each reason of `authsec.jose`.
_REASONS: Final = {
    "too_large": "token_too_large",
    "malformed": "token_malformed",
    "crit": "header_not_allowed",
    "embedded_key": "header_not_allowed",
    "alg_not_allowed": "alg_not_allowed",
    "key_mismatch": "alg_not_allowed",
    "bad_signature": "signature_invalid",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The state of keys and revocations, safe to show to operators. `revocations` is None if no feed is followed."""

    keys: KeysHealth
    revocations: FeedHealth | None


class TokenVerifier:
    """Verifies delegation tokens for one API. Make one and share it between threads, event loops and forked workers.

    `issuer` is the authority's `iss`, exactly as in its tokens. `audience` is this API's identifier. Both are
    required: with a default, this API could accept a token for another API.

    `keys` is a JWK Set: a mapping, or the path of a file that is read at once. Without `keys`, the first token
    starts the fetch of the authority's key set. The metadata at `<issuer>/.well-known/oauth-authorization-server`
    contains the address of the key set. Later the key set is fetched again before it is too old.
    `authsec.verifier.published_keys.PublishedKeys` explains `fresh_for`, `keep_for` and `unknown_key_pause`
    (seconds).

    From the first token on, a background thread follows the authority's feed of revocations. Each process has one
    such thread for each authority. So a revoked token is refused after about one second. `revocations` is the
    policy while the feed is stale. The feed is stale if it is silent for `stale_after` seconds, or if the
    authority has no feed.

    - `"fail_closed"`: while the feed is stale, no token is accepted (`RevocationsUnavailable`, 503).
    - `"introspect"`: while the feed is stale, the authority is asked about each token (RFC 7662). The authority
      identifies this API by `credential`, by default the environment's `AUTHSEC_API_CREDENTIAL`.
    - `"until_exp"`: while the feed is stale, tokens are accepted until they expire. If `keys` is set as well, no
      feed is followed and no server is needed.
    - An object with the methods of `authsec.verifier.Revocations` replaces the feed.

    A forked worker starts its own thread. The thread ends with `close`, or when no verifier uses it any more.

    With a `shared_file`, one worker of a host follows the feed. The other workers read its batches from the file.
    Without this file, each worker has its own connection. The default is the environment's
    `AUTHSEC_REVOCATIONS_FILE`. Only the workers' user may have write access to the file's folder.

    `remember` is the number of verified tokens in the cache; 0 disables the cache. The next request with a cached
    token costs a few microseconds. The key, the time and the revocations are checked for each request.

    A token's `alg` must be the `alg` of its key in the key set. `algorithms` can allow fewer: with
    `algorithms=["ES256"]`, an API refuses every other algorithm.

    With `dpop_origin`, tokens may be bound to a key (DPoP, RFC 9449). The value is the scheme, host and port at which
    agents address this API, for example `https://crm.example.com`. `verify` then needs the request. Without
    `dpop_origin`, bound tokens are refused. With `dpop_required`, all other tokens are refused.

    `leeway` is the permitted difference between the clocks, in seconds. `ca_file` and `allow_http_hosts` default
    to the environment's `AUTHSEC_CA_FILE` and `AUTHSEC_ALLOW_HTTP_HOSTS`. `HTTPS_PROXY` and `NO_PROXY` are
    obeyed. Raises `ConfigError` for settings that cannot protect anything.
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        *,
        keys: KeySet | None = None,
        leeway: int = 30,
        algorithms: Collection[str] = ALGORITHMS,
        max_bytes: int = 16_384,
        fresh_for: float = 300.0,
        keep_for: float = 86_400.0,
        unknown_key_pause: float = 60.0,
        revocations: Policy | Revocations = "fail_closed",
        stale_after: float = 30.0,
        credential: str | None = None,
        shared_file: str | os.PathLike[str] | None = None,
        ca_file: str | None = None,
        allow_http_hosts: Collection[str] | None = None,
        remember: int = 1024,
        dpop_origin: str | None = None,
        dpop_required: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self.expected = Expected(
            issuer=issuer,
            audience=audience,
            leeway=leeway,
            algorithms=frozenset(algorithms),
            accepts_bound=dpop_origin is not None,
        )
        self._max_bytes = max_bytes
        self._cache = VerificationCache(remember)
        self._clock = clock or Clock()
        self.binding = _key_binding(dpop_origin, dpop_required, self._clock)
        self.accepts_dpop = self.binding is not None
        self.requires_dpop = dpop_required
        self._for_another_api = MismatchLog(FOR_ANOTHER_API, self._clock)
        self._of_another_authority = MismatchLog(OF_ANOTHER_AUTHORITY, self._clock)
        self._of_bound_tokens = BoundTokenLog(audience, self._clock)
        check_policy(revocations)
        credential = read_credential(credential)
        self.credential_mark = None if credential is None else token_digest(credential)  # only to compare credentials
        ca_file = ca_file or os.environ.get("AUTHSEC_CA_FILE")
        offline = keys is not None and revocations == "until_exp"
        trust = None if offline else trust_for(issuer, ca_file, allow_http_hosts)
        if keys is not None:
            self._keys: KeySource = GivenKeys(_key_set(keys))
        else:
            self._keys = PublishedKeys(
                issuer,
                Documents(clock=self._clock, trust=trust).fetch,
                clock=self._clock,
                fresh_for=fresh_for,
                keep_for=keep_for,
                unknown_key_pause=unknown_key_pause,
            )
        if offline:
            self._revocations: Revocations = NoRevocations()
        elif isinstance(revocations, str):
            file = shared_file_at(shared_file, issuer)
            follower = shared_follower(issuer, ca_file=ca_file, trust=trust, clock=self._clock, file=file)
            followed = FollowedRevocations(
                issuer, follower, audience=audience, credential=credential, policy=revocations, stale_after=stale_after
            )
            if isinstance(self._keys, PublishedKeys):
                self._keys.revoked_keys = lambda: follower.feed.revoked_keys
            self._revocations = followed
            if revocations == "introspect":
                asking = introspection_for(
                    issuer, audience, credential, mark=token_digest, clock=self._clock, trust=trust
                )
                self._revocations = IntrospectedRevocations(followed, asking)
        else:
            self._revocations = revocations

    @property
    def audience(self) -> str:
        """This API's identifier."""
        return self.expected.audience

    @property
    def issuers(self) -> tuple[str, ...]:
        """The issuer whose tokens are accepted, as a tuple with one element."""
        return (self.expected.issuer,)

    def verify(self, bearer: str, dpop: DpopRequest | None = None) -> VerifiedToken:
        """Verify the token of an `Authorization: Bearer` header (without the word Bearer).

        For the token of an `Authorization: DPoP` header, `dpop` is the request that has this header. Each request can
        be verified once, because its proof is then used up.

        Raises `InvalidToken` with the `reason` of the check that failed, or `VerificationUnavailable`. The call may
        wait for a fetch of keys, for about five seconds at most. The first call may wait for the feed of revocations,
        also for about five seconds at most.
        """
        # If the text is too long, only its start: the digest differs from every valid token's digest.
        digest = token_digest(bearer[: self._max_bytes + 1])
        known = self._cached(digest)
        verified = self._verify_cached(known) or run_in_place(self._verify(bearer, digest, known, call_in_place))
        if dpop is not None or self.accepts_dpop:
            self._check_binding(bearer, verified, dpop)
        return verified

    async def averify(self, bearer: str, dpop: DpopRequest | None = None) -> VerifiedToken:
        """Verify a token as `verify` does, without blocking the asyncio event loop: waits run in a thread."""
        digest = token_digest(bearer[: self._max_bytes + 1])
        known = self._cached(digest)
        verified = self._verify_cached(known) or await self._verify(bearer, digest, known, asyncio.to_thread)
        if dpop is not None or self.accepts_dpop:
            self._check_binding(bearer, verified, dpop)
        return verified

    def _check_binding(self, bearer: str, verified: VerifiedToken, dpop: DpopRequest | None) -> None:
        try:
            if self.binding is None:
                error = InvalidToken(NO_BOUND_TOKENS, reason=BINDING_NOT_SUPPORTED, details=SEND_BEARER)
                error.operator_hint = NO_DPOP_ORIGIN
                raise error
            self.binding.check(bearer, verified, dpop)
        except InvalidToken as error:
            self._of_bound_tokens.note(error, verified.client_id, verified.jti)
            raise

    def _verify_cached(self, known: CachedToken | None) -> VerifiedToken | None:
        """Verify a cached token without waiting. Most requests need only this method.

        Return None if the token is not cached, or if the known revocations are too old.
        """
        # Read `current` before the revocations. So the revocations are at least as recent as the answer of `current`.
        if known is None or not self._revocations.settled or not self._revocations.current:
            return None
        return self._conclude(known)

    async def _verify(self, bearer: str, digest: bytes, known: CachedToken | None, waiting: Caller) -> VerifiedToken:
        if known is None:
            jws = self._parse(bearer)
            kid = jws.header["kid"]
            known = self._examine(jws, self._keys.find_cached(kid) or await waiting(self._keys.find, kid))
        if not self._revocations.settled:
            await waiting(self._revocations.settle)
        current = self._revocations.current  # before the revocations, as in `_verify_cached`
        verified = self._conclude(known)
        self._cache.put(digest, known)
        if current:
            return verified
        await waiting(self._revocations.introspect, bearer, verified.claims)
        return self._conclude(known)  # now with the result of the introspection

    def check_ready(self) -> None:
        """Check that keys and revocations are fresh enough to accept a token. Raises `VerificationUnavailable`.

        The call fetches the same documents as verifying the first token does, and may wait as long. A server can
        call `check_ready` at startup to find problems before the first request.
        """
        self._revocations.settle()
        self._keys.check_current()
        if not self._revocations.current:
            feed = self._revocations.health()
            why = (feed and feed.failure) or "the feed is silent"
            raise RevocationsUnavailable(f"The revocations are not known: {why}.", retry_after=RETRY_AFTER)

    def health(self) -> Health:
        """Return the age of keys and revocations, and the last failures. Never waits, and sends no request."""
        return Health(keys=self._keys.health(), revocations=self._revocations.health())

    def close(self) -> None:
        """End this verifier's use of the feed. If no other verifier uses the feed, its background thread stops.

        From then on, this verifier gets no new revocations.
        """
        self._revocations.close()

    def _cached(self, digest: bytes) -> CachedToken | None:
        """Return the cached token, if the key that signed it is still in the current key set; otherwise None."""
        known = self._cache.get(digest)
        return known if known is not None and self._keys.find_cached(known.kid) is known.key else None

    def _parse(self, bearer: str) -> UnverifiedJws:
        """Parse the token, and make the checks that need no key. Raises `InvalidToken`."""
        try:
            jws = parse_compact(bearer, max_bytes=self._max_bytes)
        except JoseError as error:
            raise self._refused(error) from None
        case = Case(jws.header, jws.claims, self.expected)
        apply(HEADER_CHECKS, case)
        named = jws.claims.get("iss")
        if isinstance(named, str) and named:  # The checks after the signature refuse an `iss` of another type.
            self._refuse_other_issuer(case, named)
        return jws

    def _refuse_other_issuer(self, case: Case, named: str) -> None:
        """Refuse a token of another issuer before its signature is checked. Raises `InvalidToken`.

        An unverified `iss` may only lead to a refusal, never to acceptance. The keys of this API's authority cannot
        verify the tokens of another authority.
        """
        try:
            apply(ISSUER_CHECKS, case)
        except InvalidToken:
            self._of_another_authority.note(self.expected.issuer, named)
            raise

    def _examine(self, jws: UnverifiedJws, key: PublicKey | None) -> CachedToken:
        """Check the signature, then the claims. Raises `InvalidToken`, also if `key` is None."""
        if key is None:
            raise InvalidToken(
                "The token is signed with a key that the authority does not publish.",
                reason="kid_unknown",
                details=f"Get a new delegation token from the authority {self.expected.issuer}.",
            )
        try:
            jws.check_signature(key, algorithms=self.expected.algorithms)
        except JoseError as error:
            raise self._refused(error) from None
        apply_types(jws.claims, self.expected)
        try:
            apply(CLAIM_CHECKS, Case(jws.header, jws.claims, self.expected))
        except InvalidToken as error:
            if error.reason == AUDIENCE_MISMATCH:
                self._for_another_api.note(self.expected.audience, audiences_of(jws.claims))
            if error.reason == BINDING_NOT_SUPPORTED:
                self._of_bound_tokens.note(error, jws.claims["client_id"], jws.claims["jti"])
            raise
        return CachedToken.of(jws.claims, jws.header["kid"], key)

    def _conclude(self, known: CachedToken) -> VerifiedToken:
        """Run the checks that every request needs: revocation and time. Raises `InvalidToken`."""
        revoked = self._revocations.ended(known.subjects, known.version)
        apply(VALIDITY_CHECKS, Validity(known.begins, known.ends, self._clock.wall(), revoked, self.expected))
        return known.identity

    def _refused(self, error: JoseError) -> InvalidToken:
        text = str(error)
        return InvalidToken(
            f"{text[0].upper()}{text[1:]}.",
            reason=_REASONS[error.reason],
            details=f"Send an unchanged delegation token from the authority {self.expected.issuer}.",
        )

    def __repr__(self) -> str:
        if not hasattr(self, "expected"):  # the constructor refused its arguments, and a traceback shows this object
            return "TokenVerifier()"
        return f"TokenVerifier(issuer={self.expected.issuer!r}, audience={self.expected.audience!r})"


def _key_binding(origin: str | None, required: bool, clock: Clock) -> KeyBinding | None:
    """Build the checks of bound tokens, or return None without `origin`. Raises `ConfigError`."""
    if origin is None:
        if required:
            raise ConfigError(
                "dpop_required needs dpop_origin=…, the scheme, host and port at which agents address this API",
                reason="dpop_origin_missing",
            )
        return None
    from authsec.verifier.key_binding import KeyBinding  # only APIs that use it wait for the import

    return KeyBinding(origin, required=required, clock=clock)


def _key_set(keys: KeySet) -> Mapping[str, Any]:
    if isinstance(keys, Mapping):
        return keys
    try:
        document = strict_json.loads(Path(keys).read_bytes(), max_bytes=MOST_BYTES)
    except (OSError, strict_json.StrictJsonError) as error:
        raise ConfigError(f"keys={str(keys)!r} cannot be read as a JWK Set: {error}", reason="keys_invalid") from None
    return document if isinstance(document, dict) else {}
