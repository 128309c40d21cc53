"""Every check that a delegation token must pass, in order.

The first check that fails ends the verification with its `reason`. Before the signature is verified, only the
header and the token's issuer are checked. These checks can only refuse a token. All other claims are read
after the authority's key has verified the signature. A cached token does not repeat these checks. Its
revocation and its time are checked for every request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Generic, NamedTuple, TypeGuard, TypeVar

from authsec.errors import ConfigError, InvalidToken
from authsec.safe_text import plain
from authsec.verifier.issuer import refuse_throwaway, throwaway_hint
from authsec.verifier.token import ACTION

HIGHEST_LEEWAY: Final = 300
ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")
"""The signature algorithms of authorities (RFC 7518 §3.3 and §3.4, RFC 8037). Each key uses only its own `alg`."""
YEAR_10000: Final = 253_402_300_800  # Unix time; Python's `datetime` ends here
_THUMBPRINT: Final = re.compile("[A-Za-z0-9_-]{43}")  # a SHA-256 in base64url


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The values that an API expects in a token. Raises `ConfigError` for values that any token could satisfy.

    `leeway` is the permitted difference, in seconds, between the clocks of authority and API. Either clock may be
    ahead. `accepts_bound` means that the API checks who has the key of a bound token.
    """

    issuer: str
    audience: str
    leeway: int
    algorithms: frozenset[str]
    accepts_bound: bool = False

    def __post_init__(self) -> None:
        for name, value in (("issuer", self.issuer), ("audience", self.audience)):
            if not isinstance(value, str) or not value.strip():
                raise ConfigError(
                    f"TokenVerifier needs {name}=…, one non-empty string: there is no default, because tokens of "
                    f"another {name} could then be accepted",
                    reason=f"{name}_missing",
                )
        refuse_throwaway(self.issuer)
        if not 0 <= self.leeway <= HIGHEST_LEEWAY:
            raise ConfigError(f"leeway must be 0 to {HIGHEST_LEEWAY} seconds", reason="leeway_invalid")
        if not self.algorithms:
            raise ConfigError(
                f"algorithms must not be empty: authorities sign with {', '.join(ALGORITHMS)}",
                reason="algorithms_missing",
            )


# `Case` and `Validity` are made for each request. A NamedTuple is much faster to make than a dataclass.
class Case(NamedTuple):
    """One token, and the values that the API expects in it."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    expected: Expected


class Validity(NamedTuple):
    """The validity times of a verified token, and whether it is revoked at the time `now`.

    Times are in seconds since the epoch.
    """

    begins: int
    ends: int
    now: float
    revoked: bool
    expected: Expected


_Subject = TypeVar("_Subject", Case, Validity)


@dataclass(frozen=True, slots=True)
class Check(Generic[_Subject]):
    """One check. If `holds` is false, the token is refused with `reason`.

    `source` is the standard that requires the check. `remedy` may contain `{issuer}` and `{audience}` of this
    API. The texts quote nothing from the token, with one exception: `{shown_value}` is the result of
    `shown_value`. Use `shown_value` only after the signature check, and only for values that are not secret.
    `operator_hint` is for the API's log, and no caller reads it.
    """

    reason: str
    source: str
    holds: Callable[[_Subject], bool]
    failure: str
    remedy: str
    retryable: bool = False
    shown_value: Callable[[_Subject], str] = lambda _: ""
    operator_hint: str = ""


class ClaimType(NamedTuple):
    """The type of one claim. If `fits` does not accept the value, the token is refused.

    The value is None if the claim is missing. `source` names the standard that requires this type.
    """

    claim: str
    source: str
    fits: Callable[[object], bool]
    kind: str


_ONE_OF_OURS: Final = "Send an unchanged delegation token from the authority {issuer}."
_A_NEW_ONE: Final = "Get a new delegation token from the authority {issuer}."


def apply(checks: tuple[Check[_Subject], ...], case: _Subject) -> None:
    """Run these checks in order. Raises `InvalidToken` for the first that fails."""
    for check in checks:
        if not check.holds(case):
            remedy = check.remedy.format(
                issuer=case.expected.issuer, audience=case.expected.audience, shown_value=check.shown_value(case)
            )
            error = InvalidToken(check.failure, reason=check.reason, details=remedy, retryable=check.retryable)
            error.operator_hint = check.operator_hint
            raise error


def apply_types(claims: Mapping[str, Any], expected: Expected) -> None:
    """Check the type of every claim. Raises `InvalidToken`.

    Call this function first: the checks of the claims assume the correct types.
    """
    for claim, _, fits, kind in CLAIM_TYPES:
        if not fits(claims.get(claim)):
            failure = f"The token's claim {claim} is missing or is not {kind}."
            raise InvalidToken(failure, reason="claim_invalid", details=_ONE_OF_OURS.format(issuer=expected.issuer))


AUDIENCE_MISMATCH: Final = "audience_mismatch"
BINDING_NOT_SUPPORTED: Final = "binding_not_supported"
NO_BOUND_TOKENS: Final = "This API accepts no tokens that are bound to a key (DPoP)."
SEND_BEARER: Final = (
    "Send Authorization: Bearer <delegation token>, with a token that is not bound to a key. If this agent needs bound "
    "tokens, ask the operator of this API."
)
NO_DPOP_ORIGIN: Final = (
    "To accept bound tokens, set dpop_origin (verify-server: --dpop-origin) to the scheme, host and port at which "
    "agents address this API."
)
_MOST_OF_AUDIENCES: Final = 200  # the most characters of the audiences in a message

HEADER_CHECKS: Final[tuple[Check[Case], ...]] = (
    Check(
        "alg_not_allowed",
        "RFC 8725 §3.1",
        lambda case: case.header["alg"] in case.expected.algorithms,
        "The token's signature algorithm is not allowed here.",
        _ONE_OF_OURS,
    ),
    Check(
        "typ_not_allowed",
        # The attack: an ID token or a proof of the same authority is used as an access token.
        "RFC 9068 §4, RFC 8725 §3.11",
        lambda case: case.header.get("typ", "").lower() in {"at+jwt", "application/at+jwt"},
        "The token is not an access token (its typ is not at+jwt).",
        _ONE_OF_OURS,
    ),
    Check(
        "kid_missing",
        # Without a kid, each token would cost a verification with every key.
        "RFC 7515 §4.1.4",
        lambda case: bool(case.header.get("kid")),
        "The token has no kid, which names the key that signed it.",
        _ONE_OF_OURS,
    ),
)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and value >= 0  # refuses bool, float and text


def _is_seconds(value: object) -> bool:
    return type(value) is int and 0 <= value < YEAR_10000


def _is_spiffe_id(value: object) -> bool:
    return isinstance(value, str) and value.startswith("spiffe://")


def _is_list_of_text(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_audience(value: object) -> bool:
    return _is_text(value) or (_is_list_of_text(value) and value != [])


# The same actions recur, and only the authority can add others.
@lru_cache(maxsize=1024)
def _is_action(text: str) -> bool:
    return ACTION.fullmatch(text) is not None


def _is_list_of_actions(value: object) -> bool:
    return _is_list_of_text(value) and all(map(_is_action, value))


def _is_binding(value: object) -> bool:
    """Whether `cnf` is a key's thumbprint alone (RFC 9449 §6.1): any other member would be a further condition."""
    return isinstance(value, dict) and value.keys() == {"jkt"} and _is_thumbprint(value["jkt"])


def _is_thumbprint(value: object) -> bool:
    return isinstance(value, str) and _THUMBPRINT.fullmatch(value) is not None


def _is_attestation(value: object) -> bool:
    return (
        isinstance(value, dict)
        and _is_text(value.get("method"))
        and _is_list_of_text(value.get("selectors", []))
        and isinstance(value.get("enrolled", False), bool)
        and isinstance(value.get("validation", ""), str)
        and _is_text(value.get("proof", "-"))
        and _is_text(value.get("source", "-"))
    )


CLAIM_TYPES: Final = (
    ClaimType("iss", "RFC 9068 §2.2", _is_text, "a string"),
    ClaimType("aud", "RFC 9068 §2.2", _is_audience, "a string or a list of strings"),
    ClaimType("exp", "RFC 9068 §2.2", _is_seconds, "a whole number of seconds"),
    ClaimType("nbf", "RFC 7519 §4.1.5", _is_seconds, "a whole number of seconds"),
    ClaimType("iat", "RFC 9068 §2.2", _is_seconds, "a whole number of seconds"),
    ClaimType("sub", "RFC 9068 §2.2", _is_spiffe_id, "a SPIFFE ID"),
    ClaimType("client_id", "RFC 9068 §2.2", _is_text, "a string"),
    ClaimType("jti", "RFC 9068 §2.2", _is_text, "a string"),
    ClaimType("scope", "RFC 9068 §2.2.3", lambda value: isinstance(value, str), "a string"),
    ClaimType("permissions", "AuthSec", _is_list_of_actions, "a list of actions"),
    ClaimType("roles", "AuthSec", _is_list_of_text, "a list of strings"),
    # Not empty: the revocation of a delegation must revoke all tokens issued under the delegation.
    ClaimType("delegation_ids", "AuthSec", lambda value: _is_list_of_text(value) and value != [], "a list of ids"),
    ClaimType("authority_version", "AuthSec", _is_count, "a whole number"),
    ClaimType("attestation", "AuthSec", _is_attestation, "an object with a method"),
)

# These checks run twice: before the search for the key, and with the other claims after the signature check.
ISSUER_CHECKS: Final[tuple[Check[Case], ...]] = (
    Check(
        "issuer_mismatch",
        "RFC 9068 §4",  # a simple string comparison (RFC 3986 §6.2.1)
        lambda case: case.claims["iss"] == case.expected.issuer,
        "The token was issued by another authority.",
        "This API accepts tokens of the authority {issuer}. Send such a token, or set another issuer at the API."
        "{shown_value}",
        # This hint quotes nothing from the token.
        shown_value=lambda case: throwaway_hint([case.claims["iss"]]),
    ),
)

CLAIM_CHECKS: Final[tuple[Check[Case], ...]] = (
    *ISSUER_CHECKS,
    Check(
        AUDIENCE_MISMATCH,
        # The attack: an API receives a token, and uses this token at another API.
        "RFC 9068 §4, RFC 8725 §3.9",
        lambda case: case.expected.audience in _listed(case.claims["aud"]),
        "The token is meant for another API.",
        "Request a token for this API: resource={audience}. This one is for {shown_value}.",
        shown_value=lambda case: audiences_of(case.claims),
    ),
    Check(
        BINDING_NOT_SUPPORTED,
        # The attack: a thief uses a token that only the holder of a key may use.
        "RFC 7800 §3.1",
        lambda case: "cnf" not in case.claims or case.expected.accepts_bound,
        NO_BOUND_TOKENS,
        SEND_BEARER,
        operator_hint=NO_DPOP_ORIGIN,
    ),
    Check(
        BINDING_NOT_SUPPORTED,
        "RFC 7800 §3.1",
        lambda case: "cnf" not in case.claims or _is_binding(case.claims["cnf"]),
        "This API accepts a token with cnf only if cnf is the thumbprint of a key (jkt) alone.",
        SEND_BEARER,
        operator_hint="The authority issues tokens with a cnf that this version of the package cannot check.",
    ),
    Check(
        "scope_mismatch",
        # One program may read `scope`, another `permissions`. Both must find the same actions.
        "AuthSec",
        lambda case: _actions_of(case.claims["scope"]) == sorted(case.claims["permissions"]),
        "The token's scope and permissions name different actions.",
        _ONE_OF_OURS,
    ),
)

# These checks run last, and for every request, even with a cached token.
VALIDITY_CHECKS: Final[tuple[Check[Validity], ...]] = (
    Check(
        "token_expired",
        "RFC 7519 §4.1.4",
        lambda case: case.now < case.ends + case.expected.leeway,
        "The token has expired.",
        _A_NEW_ONE,
    ),
    Check(
        "token_not_yet_valid",
        "RFC 7519 §4.1.5, §4.1.6",
        lambda case: case.begins <= case.now + case.expected.leeway,
        "The token is not valid yet.",
        "Wait, or synchronise the clocks of the authority and the API.",
        retryable=True,
    ),
    Check(
        "token_revoked",
        # The agent, the delegation or another subject of the token was revoked.
        "RFC 7009 §2, §3",
        lambda case: not case.revoked,
        "The token has been revoked.",
        f"This token will not be accepted again. {_A_NEW_ONE} If the authority issues no token, an administrator "
        "has revoked this agent's access.",
    ),
)


def _listed(audience: str | list[str]) -> list[str]:
    return [audience] if isinstance(audience, str) else audience


def audiences_of(claims: Mapping[str, Any]) -> str:
    """Return the audiences of a token in one line. Use it only after the authority's signature is verified."""
    return plain(", ".join(_listed(claims["aud"])), _MOST_OF_AUDIENCES)


def _actions_of(scope: str) -> list[str]:
    return sorted(scope.split(" ")) if scope else []
