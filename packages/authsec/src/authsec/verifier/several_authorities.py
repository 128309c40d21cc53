"""`SeveralAuthorities`: an API that trusts several authorities, with one verifier for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from authsec.clock import Clock
from authsec.errors import ConfigError, InvalidToken
from authsec.verifier.issuer import named_issuers, throwaway_hint
from authsec.verifier.refusal_log import OF_ANOTHER_AUTHORITY, MismatchLog
from authsec.verifier.token import VerifiedToken
from authsec.verifier.verifier import Health, TokenVerifier

if TYPE_CHECKING:
    from authsec.verifier.key_binding import DpopRequest


class Verifier(Protocol):
    """The interface of `TokenVerifier` and `SeveralAuthorities`."""

    @property
    def audience(self) -> str:
        """The API's identifier."""

    @property
    def issuers(self) -> tuple[str, ...]:
        """The issuers whose tokens are accepted."""

    @property
    def accepts_dpop(self) -> bool:
        """Whether tokens may be bound to a key (RFC 9449)."""

    @property
    def requires_dpop(self) -> bool:
        """Whether tokens must be bound to a key."""

    def verify(self, bearer: str, dpop: DpopRequest | None = None) -> VerifiedToken:
        """Verify a token, as `TokenVerifier.verify` does."""

    async def averify(self, bearer: str, dpop: DpopRequest | None = None) -> VerifiedToken:
        """Verify a token, as `TokenVerifier.averify` does."""


class SeveralAuthorities:
    """Accepts tokens of several authorities for one API. Use it in place of a single `TokenVerifier`.

    The issuer in the unverified token selects one of the verifiers. The selected verifier then checks everything,
    including the issuer. So the keys, revocations and outages of one authority do not affect the tokens of
    another authority. Raises `ConfigError` for verifiers that cannot be combined.
    """

    def __init__(self, *verifiers: TokenVerifier) -> None:
        if not verifiers or not all(isinstance(each, TokenVerifier) for each in verifiers):
            raise ConfigError(
                "SeveralAuthorities needs a TokenVerifier for each authority, as separate arguments, not in a list",
                reason="verifier_missing",
            )
        if len({verifier.audience for verifier in verifiers}) > 1:
            raise ConfigError(
                "SeveralAuthorities is for one API: give all of its verifiers the same audience",
                reason="audiences_differ",
            )
        self.verifiers = verifiers
        self._by_issuer = {verifier.expected.issuer: verifier for verifier in verifiers}
        if len(self._by_issuer) < len(verifiers):
            raise ConfigError(
                "SeveralAuthorities has two verifiers for the same issuer: remove one",
                reason="issuer_repeated",
            )
        credentials = [verifier.credential_mark for verifier in verifiers if verifier.credential_mark is not None]
        if len(set(credentials)) < len(credentials):
            # The attack: an authority receives the credential for another authority.
            raise ConfigError(
                "Two authorities would get the same credential. Give each verifier the credential of its "
                "authority, with credential=… instead of AUTHSEC_API_CREDENTIAL, which applies to all",
                reason="credential_shared",
            )
        self.audience = verifiers[0].audience
        self.issuers = tuple(self._by_issuer)
        self.accepts_dpop = any(verifier.accepts_dpop for verifier in verifiers)
        self.requires_dpop = all(verifier.requires_dpop for verifier in verifiers)
        self._of_another_authority = MismatchLog(OF_ANOTHER_AUTHORITY, Clock())

    def verify(self, bearer: str, dpop: DpopRequest | None = None) -> VerifiedToken:
        """Verify a token with the `TokenVerifier` for the issuer in the token."""
        return self._meant(bearer).verify(bearer, dpop)

    async def averify(self, bearer: str, dpop: DpopRequest | None = None) -> VerifiedToken:
        """Verify a token as `verify` does, without blocking the asyncio event loop."""
        return await self._meant(bearer).averify(bearer, dpop)

    def check_ready(self) -> None:
        """Check that each verifier can accept tokens. Raises `VerificationUnavailable` for the first that cannot."""
        for verifier in self._by_issuer.values():
            verifier.check_ready()

    def health(self) -> Mapping[str, Health]:
        """Return the state of keys and revocations for each issuer."""
        return {issuer: verifier.health() for issuer, verifier in self._by_issuer.items()}

    def close(self) -> None:
        """Close each verifier."""
        for verifier in self._by_issuer.values():
            verifier.close()

    def _meant(self, bearer: str) -> TokenVerifier:
        named = named_issuers(bearer)
        meant = [verifier for issuer, verifier in self._by_issuer.items() if issuer in named]
        if named and not meant:
            self._of_another_authority.note(", ".join(self.issuers), ", ".join(sorted(named)))
            raise InvalidToken(
                "The token was issued by another authority.",
                reason="issuer_mismatch",
                details=f"Send a delegation token of one of these authorities: {', '.join(self.issuers)}."
                + throwaway_hint(named),
            )
        # A text with several issuers or none is not a token. The first verifier refuses it with the reason.
        return meant[0] if len(meant) == 1 else self._by_issuer[self.issuers[0]]

    def __repr__(self) -> str:
        return f"SeveralAuthorities(issuers={self.issuers!r}, audience={self.audience!r})"
