"""`TokenRequest` and `DelegationToken`: an agent's request and the authority's response.

The agent does not verify its own token; the API does (`authsec.TokenVerifier`). This module only checks the
format of the response, so that the agent sends only tokens to an API.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, Self

from authsec.errors import ConfigError, InvalidResponse
from authsec.http_answer import http_date

_ACTION = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}:[a-z0-9][a-z0-9._-]{0,62}")
_COMPACT_JWS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_LONGEST_LIFE = 366 * 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """The requested actions (`scope`) and APIs (`resource`, RFC 8707). None means all that are delegated."""

    scope: str | None = None
    resource: tuple[str, ...] | None = None

    @classmethod
    def of(cls, scope: str | Sequence[str] | None, resource: str | Sequence[str] | None) -> TokenRequest:
        """Build a request. Order and repetition do not matter.

        Raises `ConfigError` for actions or APIs that can never be granted.
        """
        return cls(scope=_scope(scope), resource=_resource(resource))

    @property
    def query(self) -> list[tuple[str, str]]:
        scope = [] if self.scope is None else [("scope", self.scope)]
        return scope + [("resource", name) for name in self.resource or ()]


class HiddenText(str):
    """A `str` that works as usual, but whose repr does not show the text.

    Other programs show the repr of local variables, arguments and headers.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'[hidden]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegationToken:
    """A delegation token, and the authority's facts about it.

    `value` is the secret. No repr shows it, and pickling raises `TypeError`. In a token from the authority,
    `value` is a `HiddenText`, because error trackers record local variables.

    `expires_at` is a time on the authority's clock. `expires_in` is the token's life in seconds, from the moment
    of issue. If an older authority does not send a field, the field is empty.

    `token_type` is the scheme of the Authorization header. A token of the type `DPoP` is bound to a key: each request
    also needs a proof of this key (RFC 9449). `AuthSecClient.headers` makes both headers.
    """

    value: str = field(repr=False)
    expires_at: datetime
    expires_in: int
    permissions: tuple[str, ...] = ()
    audience: tuple[str, ...] = ()
    spiffe_id: str | None = None
    token_type: str = "Bearer"  # noqa: S105 - a scheme

    @property
    def is_bound(self) -> bool:
        """Whether the token is bound to a key."""
        return self.token_type != "Bearer"  # noqa: S105 - a scheme

    def __reduce__(self) -> NoReturn:
        raise TypeError("a DelegationToken cannot be pickled, so that it is never stored or queued")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return the token itself, because it never changes.

        So frameworks can deep-copy a state that contains the token.
        """
        return self


def token_from_answer(answer: dict[str, Any], *, client_id: str, date: str | None, now: datetime) -> DelegationToken:
    """Read the 200 response of the delegation-token endpoint. Raises `InvalidResponse` for any other content.

    `date` is the response's Date header. If the authority sends no `expires_in`, the token's life is computed
    from `expires_at` and `date`. Both are times on the authority's clock; this machine's clock may be wrong by
    hours.
    """
    value = answer.get("token")
    if not isinstance(value, str) or not _COMPACT_JWS.fullmatch(value):
        raise _not_a_token("it has no signed token")
    if answer.get("client_id", client_id) != client_id:
        raise _not_a_token("it is for another agent")
    life, expires_at = _life(answer, date, now)
    spiffe_id = answer.get("spiffe_id")
    return DelegationToken(
        value=HiddenText(value),
        expires_at=expires_at,
        expires_in=life,
        permissions=_names(answer, "permissions"),
        audience=_names(answer, "audience"),
        spiffe_id=spiffe_id if isinstance(spiffe_id, str) else None,
    )


def bound_token_from_answer(
    answer: dict[str, Any], *, client_id: str, thumbprint: str, date: str | None, now: datetime
) -> DelegationToken:
    """Read the 200 response of the OAuth token endpoint to a request with a DPoP proof.

    The token must be bound to the key with this `thumbprint` (RFC 9449 §5). Raises `InvalidResponse` for any other
    content.
    """
    kind, value = answer.get("token_type"), answer.get("access_token")
    if not isinstance(kind, str) or kind.lower() != "dpop":
        # The attack: with a bearer token, a thief would need no key.
        raise _not_a_token("its token_type is not DPoP, so its token is not bound to a key")
    if not isinstance(value, str) or not _COMPACT_JWS.fullmatch(value):
        raise _not_a_token("it has no signed token")
    claims = _claims(value)
    if claims.get("client_id", client_id) != client_id:
        raise _not_a_token("it is for another agent")
    if claims.get("cnf") != {"jkt": thumbprint}:
        raise _not_a_token("its token is bound to another key")
    life, expires_at = _life({"expires_in": answer.get("expires_in")}, date, now)
    spiffe_id = claims.get("sub")
    return DelegationToken(
        value=HiddenText(value),
        expires_at=expires_at,
        expires_in=life,
        permissions=_names(claims, "permissions"),
        audience=_names(claims, "aud"),
        spiffe_id=spiffe_id if isinstance(spiffe_id, str) else None,
        token_type="DPoP",  # noqa: S106 - a type
    )


def _claims(token: str) -> Mapping[str, Any]:
    """Return the claims of the token, which are not verified. The API verifies them."""
    from authsec.jose import JoseError, parse_compact  # only agents with a key have the packages for it

    try:
        return parse_compact(token).claims
    except JoseError:
        raise _not_a_token("its token is not a signed JWT") from None


def _life(answer: dict[str, Any], date: str | None, now: datetime) -> tuple[int, datetime]:
    expires_at = _instant(answer["expires_at"]) if "expires_at" in answer else None
    if "expires_in" in answer:
        life = answer["expires_in"]
        if type(life) is not int:
            raise _not_a_token("its expires_in is not a whole number of seconds")
    elif expires_at is not None and (sent := http_date(date)) is not None:
        life = int((expires_at - sent).total_seconds())
    else:
        raise _not_a_token("it does not say how long the token is valid")
    if not 0 < life <= _LONGEST_LIFE:
        raise _not_a_token("its token has already expired, or is valid for years")
    return life, expires_at or now + timedelta(seconds=life)


def _instant(value: object) -> datetime:
    try:
        instant = datetime.fromisoformat(str(value))
    except ValueError:
        raise _not_a_token("its expires_at is not an RFC 3339 time") from None
    if instant.tzinfo is None:
        raise _not_a_token("its expires_at has no time zone")
    return instant.astimezone(UTC)


def _names(answer: Mapping[str, Any], member: str) -> tuple[str, ...]:
    names = answer.get(member, ())
    if isinstance(names, str):
        return (names,)
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise _not_a_token(f"its {member} is not a list of names")
    return tuple(names)


def _not_a_token(what: str) -> InvalidResponse:
    return InvalidResponse(
        f"The authority's answer is not a delegation token: {what}. The authority may have another version than "
        "this package, or a proxy may change its answers.",
        reason="invalid_response",
    )


def _scope(scope: str | Sequence[str] | None) -> str | None:
    if scope is None:
        return None
    actions = sorted({action for text in _listed(scope) for action in text.split(" ") if action})
    if not actions:
        raise ConfigError(
            "scope is empty. Name actions, as in scope='customers:read', or leave scope out to get all delegated "
            "actions.",
            reason="invalid_scope",
        )
    for action in actions:
        if not _ACTION.fullmatch(action):
            raise ConfigError(
                f"{action[:130]!r} is not an action. An action has the form resource:action in lower case, as in "
                "'customers:read'; wildcards are not supported.",
                reason="invalid_scope",
            )
    return " ".join(actions)


def _resource(resource: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if resource is None:
        return None
    names = tuple(sorted(set(_listed(resource))))
    if not names or any(not name or not name.isprintable() or " " in name for name in names):
        raise ConfigError(
            "resource must name APIs by URL or registered name, as in resource='https://crm.example.com'; leave "
            "resource out if the delegation has one audience.",
            reason="invalid_target",
        )
    return names


def _listed(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value
