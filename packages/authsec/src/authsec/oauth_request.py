"""A request at the OAuth token endpoint, `POST /oauth/token`, for a token that is bound to a key (RFC 9449 §5)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from authsec.credentials import Proof
from authsec.errors import ConfigError
from authsec.http_answer import Answer
from authsec.proof_key import ProofKey
from authsec.refusals import oauth_error_code
from authsec.tokens import TokenRequest
from authsec.transport import Transport

PATH: Final = "/oauth/token"
_NONCE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,512}")  # RFC 9449 §8.1
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(slots=True, kw_only=True)
class OAuthRequests:
    """Sends token requests with a proof of `key`. Thread-safe.

    `nonce` is the authority's latest nonce (RFC 9449 §8), or None.
    """

    transport: Transport
    client_id: str
    key: ProofKey
    nonce: str | None = field(default=None, init=False)

    def send(
        self, request: TokenRequest, find_proof: Callable[[], Proof | None], issuer: str, *, deadline: float
    ) -> tuple[Answer, Proof]:
        """Send the request, and return the response and the proof of identity that was sent.

        If the authority wants a nonce, send the request once more, with a new assertion. Raises as `Transport.get`
        does. Raises `ConfigError` if the agent has no key pair.
        """
        answer, proof = self._send_once(request, find_proof(), issuer, deadline)
        if answer.status == 400 and answer.dpop_nonce and oauth_error_code(answer) == "use_dpop_nonce":
            answer, proof = self._send_once(request, find_proof(), issuer, deadline)
        return answer, proof

    def _send_once(
        self, request: TokenRequest, proof: Proof | None, issuer: str, deadline: float
    ) -> tuple[Answer, Proof]:
        if proof is None or proof.assertion is None:
            raise ConfigError(
                "dpop (AUTHSEC_DPOP) needs an agent with a key pair. "
                + ("This machine has no proof of identity." if proof is None else f"The proof is: {proof.source}.")
                + " Set AUTHSEC_AGENT_KEY_FILE to the file of the agent's registered key. Or, if no trust delegation "
                "of the agent requires DPoP, unset AUTHSEC_DPOP.",
                reason="dpop_needs_key_pair",
            )
        form = [
            ("grant_type", "client_credentials"),
            ("client_id", self.client_id),
            ("client_assertion_type", _ASSERTION),
            ("client_assertion", proof.assertion),
            *request.query,
        ]
        # The authority compares `htu` with the token endpoint of its metadata, whichever address the request took.
        signed = self.key.proof("POST", issuer.removesuffix("/") + PATH, nonce=self.nonce)
        answer = self.transport.post_form_at_root(PATH, form=form, headers={"DPoP": signed}, deadline=deadline)
        if answer.dpop_nonce is not None and _NONCE.fullmatch(answer.dpop_nonce):
            self.nonce = answer.dpop_nonce
        return answer, proof
