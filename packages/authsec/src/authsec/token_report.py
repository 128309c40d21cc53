"""Prints a delegation token's verified claims, never the token itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from authsec.authority import Authority
from authsec.errors import ConfigError
from authsec.extras import HOW_TO_INSTALL
from authsec.safe_text import plain
from authsec.tokens import DelegationToken

if TYPE_CHECKING:
    from authsec.verifier import VerifiedToken

FACT_WIDTH = 13
_ORIGIN = "https://api.invalid"  # of an API that does not exist


def verify_as_api(token: DelegationToken, authority: Authority, issuer: str) -> tuple[VerifiedToken, str]:
    """Verify the token as an API does. Return its claims and a sentence about the keys. Raises `AuthSecError`.

    The key set is fetched from `base_url`, because the issuer's host name may not resolve on this machine.
    """
    try:
        from authsec.verifier import DpopRequest, TokenVerifier
    except ImportError:
        raise ConfigError(
            f"Verifying the signature needs packages that are not installed. {HOW_TO_INSTALL}",
            reason="extra_missing",
        ) from None
    keys = authority.keys()
    audience = token.audience[0] if token.audience else ""
    # The token is only seconds old, so its revocation is unlikely. A connection to the feed is not worth its cost.
    request = None
    if authority.proof_key is not None:  # The token is bound to this key, so the API needs a proof.
        proof = authority.proof_key.proof("GET", f"{_ORIGIN}/", access_token=token.value)
        request = DpopRequest(method="GET", path="/", proofs=[proof])
    verifier = TokenVerifier(
        issuer=issuer,
        audience=audience,
        keys=keys,
        revocations="until_exp",
        dpop_origin=None if request is None else _ORIGIN,
    )
    identity = verifier.verify(token.value, request)
    count = len(keys["keys"])
    return identity, f"with the authority's published {'key' if count == 1 else f'keys ({count})'}"


_CHECKED = {
    "offline": "checked by its signature; the cluster was not asked whether the pod still exists",
    "token_review": "reviewed by the cluster",
}


def claim_lines(identity: VerifiedToken) -> list[str]:
    """Format the claims, one a line, with a warning for each weak proof of identity."""
    proved = identity.attestation
    facts = [
        fact_line("agent", identity.agent),
        fact_line("audience", ", ".join(identity.audience)),
        fact_line("actions", ", ".join(sorted(identity.permissions))),
        fact_line("roles", ", ".join(identity.roles)),
        fact_line("delegations", ", ".join(identity.delegations)),
        fact_line("attestation", ", ".join((proved.method, *proved.selectors))),
    ]
    if identity.key_thumbprint is not None:
        facts.append(fact_line("bound to", "a key of this process (DPoP)"))
    if proved.validation:
        facts.append(fact_line("", _CHECKED.get(proved.validation, proved.validation)))
    if is_unattested(identity):
        warning = "UNATTESTED: anybody who knows the client_id can get this token"
        facts.append(f"{'':{FACT_WIDTH}}{click.style(warning, fg='red', bold=True)}")
    if proved.method == "secret":
        note = "weak: anybody who reads this agent's secret can get this token"
        facts.append(f"{'':{FACT_WIDTH}}{click.style(note, fg='yellow')}")
    if proved.enrolled:
        note = "enrolled: with a key that this machine got for some hours"
        facts.append(f"{'':{FACT_WIDTH}}{click.style(note, fg='yellow')}")
    return facts


def is_unattested(identity: VerifiedToken) -> bool:
    """Whether the authority issued the token for the client_id alone, without a proof of identity."""
    return identity.attestation.method == "none"


def fact_line(name: str, value: str, width: int = FACT_WIDTH - 1) -> str:
    """Format a name and a value on one line. The value may be from another system, so it is cleaned and shortened."""
    return f"{name:{width}} {plain(value, 300)}"
