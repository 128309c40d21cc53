"""The key to which an agent's tokens are bound (DPoP, RFC 9449), and the proofs that it signs."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, NoReturn, Self

from authsec.clock import Clock
from authsec.errors import ConfigError
from authsec.extras import HOW_TO_INSTALL

if TYPE_CHECKING:
    from authsec.jose import PrivateKey


class ProofKey:
    """A new P-256 key, which exists only in this process and its forked children. Callable from any thread.

    RFC 9449 also allows the agent's own key. A key of the process is safer, for three reasons:

    - A leaked key file does not make the tokens of running processes usable.
    - The processes of one agent cannot use each other's tokens. So a log with a token and a proof helps nobody.
    - No key signs both assertions and proofs. So no proof can be replayed as an assertion.

    It is also faster than an RSA key.
    """

    def __init__(self, key: PrivateKey, clock: Clock) -> None:
        self._key = key
        self._clock = clock

    @classmethod
    def generate(cls, clock: Clock) -> Self:
        """Generate a key. Raises `ConfigError` without the packages for keys."""
        try:
            from authsec.jose import PrivateKey
        except ImportError:
            raise ConfigError(
                f"dpop needs packages that are not installed. {HOW_TO_INSTALL}", reason="extra_missing"
            ) from None
        return cls(PrivateKey.generate_ec(), clock)

    @property
    def thumbprint(self) -> str:
        """The key's thumbprint (RFC 7638), as `cnf.jkt` of its tokens has it."""
        return self._key.public.thumbprint()

    def proof(self, method: str, url: str, *, nonce: str | None = None, access_token: str | None = None) -> str:
        """Sign a new proof for one request. `access_token` is the token that the request carries."""
        from authsec.jose.dpop import make_proof

        return make_proof(
            self._key,
            method=method,
            url=url,
            now=self._clock.wall(),
            jti=secrets.token_urlsafe(16),
            nonce=nonce,
            access_token=access_token,
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError("a proof key cannot be pickled: each process makes its own")
