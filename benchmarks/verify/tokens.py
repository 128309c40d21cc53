"""What it costs an API to find out whether a token counts, beside what JWT libraries take to decode it.

    uv run --no-sync python -m benchmarks.verify.tokens

An authority is started on throwaway data, and gives an agent with a key pair as many tokens as a round takes. They go
in by the door that middleware uses, `TokenVerifier.verify`, of a verifier as an API has it: with the authority's own
keys, following its feed of revocations. The libraries decode and verify the same tokens; where it says so they check
issuer, audience and times as well. How it is measured, `side_by_side` says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx2
import jwt as pyjwt
from authsec import AuthSecClient, TokenVerifier
from authsec.jose import PublicKey
from joserfc import jwt as joserfc
from joserfc.jwk import RSAKey

from benchmarks.agent import AUDIENCE, agent_of_an_authority
from benchmarks.side_by_side import Take, arguments, libraries, measure, native_key, report


def main() -> None:
    """Measure, and print."""
    asked = arguments(__doc__)
    with agent_of_an_authority() as (authority, agent):
        issuer, client = authority.url, AuthSecClient(agent.config, credential=agent.key)
        tokens = [client.get_token(force_refresh=True).value for _ in range(asked.tokens)]
        # Who remembers half of them has forgotten each by the time that it comes again.
        ours = {
            "TokenVerifier, seen before": _verifying(issuer, tokens, remember=4 * asked.tokens),
            "TokenVerifier": _verifying(issuer, tokens, remember=asked.tokens // 2),
        }
        key = _published_key(issuer, pyjwt.get_unverified_header(tokens[0])["kid"])
        report(measure({**ours, **libraries(key), **_with_claims(key, issuer)}, tokens, asked.rounds))
        print(f"{len(tokens[0])} characters a token; every token was accepted by everyone")


def _verifying(issuer: str, tokens: Sequence[str], *, remember: int) -> Callable[[], Take]:
    verifier = TokenVerifier(issuer, AUDIENCE, remember=remember)
    for token in tokens:
        verifier.verify(token)
    return lambda: verifier.verify


def _published_key(issuer: str, kid: str) -> PublicKey:
    jwks: Mapping[str, Any] = httpx2.get(f"{issuer}/.well-known/jwks.json", trust_env=False).json()
    return next(PublicKey.from_jwk(jwk) for jwk in jwks["keys"] if jwk["kid"] == kid)


def _with_claims(key: PublicKey, issuer: str) -> dict[str, Callable[[], Take]]:
    native = native_key(key)
    wrapped = RSAKey.import_key(native)
    registry = joserfc.JWTClaimsRegistry(
        iss={"essential": True, "value": issuer}, aud={"essential": True, "value": AUDIENCE}, exp={"essential": True}
    )

    def by_joserfc(token: str) -> None:
        registry.validate(joserfc.decode(token, wrapped, algorithms=["RS256"]).claims)

    def by_pyjwt(token: str) -> None:
        pyjwt.decode(token, native, algorithms=["RS256"], issuer=issuer, audience=AUDIENCE)

    return {"joserfc, decode and claims": lambda: by_joserfc, "PyJWT, decode and claims": lambda: by_pyjwt}


if __name__ == "__main__":
    main()
