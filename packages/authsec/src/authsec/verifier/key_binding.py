"""Tokens that are bound to a key (RFC 9449 §7): which request may use such a token.

A bound token is accepted only by the scheme DPoP, with a fresh proof of the key that the token names (`cnf.jkt`).
`authsec.jose.dpop` reads the proof. The URL of the request consists of a configured origin and the request's
path. The Host header and forwarded headers are not used: the caller, or a proxy in between, can choose them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from authsec.clock import Clock
from authsec.errors import ConfigError, InvalidProof, InvalidToken
from authsec.jose.dpop import AnotherUrl, DpopError, read_proof
from authsec.safe_text import plain
from authsec.verifier.replay_store import ReplayStore
from authsec.verifier.token import VerifiedToken

_ORIGIN: Final = re.compile(r"https?://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.IGNORECASE)
_IN_PATHS: Final = "/:@!$&'()*+,;=~"  # RFC 3986 §3.3: these characters need no escape
_MOST_OF_A_URL: Final = 200  # the most characters of a URL in a message
_TO_SEND: Final = "Send Authorization: DPoP <delegation token>, and in the header DPoP a new proof for each request."


@dataclass(frozen=True, slots=True, kw_only=True)
class DpopRequest:
    """A request that sends its token by the scheme DPoP.

    `path` is the path as the caller sent it, percent-encoded. `proofs` are the values of all its DPoP headers.
    """

    method: str
    path: str
    proofs: Sequence[str]


class KeyBinding:
    """Checks that the sender of a token has the token's key. Raises `ConfigError` for an invalid `origin`.

    `origin` is the API's scheme, host and port, as its callers address it. With `required`, tokens that are not
    bound to a key are refused.
    """

    def __init__(self, origin: str, *, required: bool, clock: Clock) -> None:
        if not isinstance(origin, str) or not _ORIGIN.fullmatch(origin.removesuffix("/")):
            raise ConfigError(
                "dpop_origin must be the scheme, host and port of this API, as agents address it, for example "
                "https://crm.example.com: without a path, because each request has its own",
                reason="dpop_origin_invalid",
            )
        self.origin = origin.removesuffix("/")
        self.required = required
        self._clock = clock
        self._used = ReplayStore()

    def check(self, token: str, identity: VerifiedToken, request: DpopRequest | None) -> None:
        """Check the binding of a verified token. `request` is None for a token that was sent as bearer token.

        Raises `InvalidToken`. Raises `VerificationUnavailable` if no further proof can be remembered.
        """
        thumbprint = identity.key_thumbprint
        if thumbprint is None:
            if request is not None or self.required:
                bind = "Request a token with a DPoP proof at the authority's token endpoint, POST /oauth/token."
                remedy = bind if self.required else "Send this token as Authorization: Bearer."
                hint = "With the SDK, set AUTHSEC_DPOP=1 where the agent runs." if self.required else ""
                raise _refused("The token is not bound to a key.", "token_not_bound", remedy, hint)
        elif request is None:
            # The attack: a thief of the token does not have the key, and leaves the proof out.
            raise _refused(
                "The token is bound to a key, so it is no bearer token.",
                "bound_token_as_bearer",
                _TO_SEND,
                "Somebody without the key may have the token, or a program of the agent sends no proofs.",
            )
        else:
            self._check_proof(token, thumbprint, request)

    def _check_proof(self, token: str, thumbprint: str, request: DpopRequest) -> None:
        now = self._clock.wall()
        url = self.origin + (request.path if request.path.startswith("/") else f"/{request.path}")
        try:
            proof = read_proof(request.proofs, method=request.method, url=url, now=now, access_token=token)
        except AnotherUrl as error:
            raise _for_another_url(error.htu, url) from None
        except DpopError as error:
            invalid = InvalidProof(str(error), reason="dpop_proof_invalid", details=_TO_SEND)
            invalid.failed_claim = error.claim
            raise invalid from None
        if proof.thumbprint != thumbprint:
            # The attack: a thief of the token signs the proof with another key.
            raise _refused(
                "The proof is not signed with the key that the token is bound to.",
                "dpop_key_mismatch",
                "Sign the proof with the key that signed the proof of the token request.",
                "Somebody without the key may have the token.",
            )
        if not self._used.add(proof, now):
            replayed = InvalidProof("The proof was used before.", reason="dpop_proof_replayed", details=_TO_SEND)
            replayed.operator_hint = "Somebody may have copied the request, or a second middleware verifies it again."
            raise replayed


def sent_path(path: bytes, *candidates: object) -> str:
    """Return the request's path as the caller sent it, percent-encoded. `path` is the decoded path.

    `candidates` are the request targets as the server received them, perhaps. The first that decodes to `path` is
    used. Without one, the result is the usual form of `path`: `%2F` and `/` are then the same.
    """
    for candidate in candidates:
        text = candidate.decode("latin-1") if isinstance(candidate, bytes) else candidate
        if isinstance(text, str) and unquote_to_bytes(text := text.partition("?")[0]) == path:
            return text
    return quote(path, safe=_IN_PATHS)


def _for_another_url(htu: str, expected: str) -> InvalidProof:
    named, wanted = plain(htu, _MOST_OF_A_URL) or "no http URL", plain(expected, _MOST_OF_A_URL)
    error = InvalidProof(
        f"The proof's htu is {named}, and this API expects {wanted}.",
        reason="dpop_proof_invalid",
        details="Sign each proof for the URL of its request, without query and fragment. If this agent does, the "
        "operator of this API must correct the expected URL: the API's log names the setting.",
    )
    error.failed_claim = "htu"
    error.operator_hint = (
        "If agents address this API at another scheme, host or port, correct dpop_origin (verify-server: "
        "--dpop-origin). If a proxy removes a prefix of the path, set root_path (ASGI) or SCRIPT_NAME (WSGI) to it; "
        "before verify-server, the proxy must send the path as the agent sent it."
    )
    return error


def _refused(message: str, reason: str, details: str, operator_hint: str = "") -> InvalidToken:
    error = InvalidToken(message, reason=reason, details=details)
    error.scheme = "DPoP"
    error.operator_hint = operator_hint
    return error
