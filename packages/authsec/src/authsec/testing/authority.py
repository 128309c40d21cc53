"""`ThrowawayAuthority` issues real tokens for tests. No verifier outside the tests accepts these tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, Final, Self

from authsec.cache import forget
from authsec.client import AuthSecClient
from authsec.errors import ConfigError
from authsec.grant_url import grant_page
from authsec.jose import JoseError, parse_compact
from authsec.testing.bound_tokens import bound, proof_at
from authsec.testing.endpoint import Endpoint, HttpAnswer, denial
from authsec.testing.substitution import (
    InMemoryRevocations,
    TokenUser,
    client_for,
    dpop_settings_of,
    in_place_of,
    settings_of,
    verifier_for,
)
from authsec.testing.tokens import CLIENT_ID, ISSUER, key_set, mint
from authsec.tokens import DelegationToken, TokenRequest
from authsec.verifier import SeveralAuthorities, TokenVerifier

_ACTIONS: Final = ("tests:run",)  # the actions of a token if the test sets none
_AUDIENCE: Final = "authsec-api"  # the default audience of a real authority
_MOST_BYTES: Final = 16_384
_LIFE: Final = 600
_ARGUMENTS: Final = ("permissions", "audience", "expires_in")
_ALIKE: Final = 0.8  # similarity from which a name is treated as misspelt


class ThrowawayAuthority:
    """An authority that runs from its creation to `close`; also a context manager. See docs/testing.md.

    Agents get every action that they request, until `delegate` or `deny` limits them. `asked` lists the token
    requests of the agents.
    """

    issuer = ISSUER
    client_id = CLIENT_ID

    def __init__(self) -> None:
        self.asked: list[TokenRequest] = []
        self._delegated: tuple[str, ...] | None = None
        self._denial: tuple[str, str | None] | None = None
        self._given: list[str] = []
        self._audiences: list[str] = []
        self._revocations = InMemoryRevocations()
        self._places = ExitStack()
        self._endpoint = Endpoint(self._answer)
        self.base_url = self._endpoint.base_url

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that make `AuthSecClient()` use this authority.

        AUTHSEC_ISSUER is this authority's address, and not the issuer in its tokens: a `TokenVerifier` of an API under
        test refuses that issuer. Use `stand_in_for` to make the API's verifier accept the tokens.
        """
        return {
            "AUTHSEC_BASE_URL": self.base_url,
            "AUTHSEC_AGENT_CLIENT_ID": self.client_id,
            "AUTHSEC_ISSUER": self.base_url,
        }

    def verifier(self, audience: str, *, dpop_origin: str | None = None, dpop_required: bool = False) -> TokenVerifier:
        """Make a verifier that accepts this authority's tokens for `audience`, with all usual checks.

        The audience also becomes the default audience of `issue_token`, if there is only one. `dpop_origin` and
        `dpop_required` are settings of `TokenVerifier`.
        """
        settings = {"dpop_origin": dpop_origin, "dpop_required": dpop_required}
        return self._known(verifier_for(audience, self._revocations, **settings))

    def client(self) -> AuthSecClient:
        """Make a client that requests tokens from this authority."""
        return client_for(self.base_url)

    def stand_in_for(self, thing: TokenUser) -> None:
        """Make a program's own verifier or client use this authority, until this authority is closed."""
        self._places.enter_context(in_place_of(thing, self._counterpart(thing)))

    def delegate(self, *permissions: str | Sequence[str]) -> None:
        """Set the actions that agents get. Without arguments, agents get no action.

        Raises `ConfigError` for an invalid action.
        """
        self._delegated = tuple(action for some in permissions for action in _actions(some))

    def deny(self, reason: str, details: str | None = None) -> None:
        """Refuse every token request with this `reason`, until `allow` is called.

        Clients in this process drop their cached tokens, so their next request is refused. A token that was already
        sent to an API stays valid until `revoke`.
        """
        denial(reason)  # raises for an unknown reason
        self._denial = reason, details
        forget(self._given)

    def allow(self) -> None:
        """End the effect of `deny`."""
        self._denial = None

    def issue_token(
        self,
        permissions: str | Sequence[str] | None = None,
        audience: str | Sequence[str] | None = None,
        *,
        expires_in: int = _LIFE,
        **claims: Any,
    ) -> str:
        """Issue a token without a token request.

        Each of `claims` replaces a claim of the token; the value None removes the claim. Raises `ConfigError` for a
        permission that is not an action. Raises `TypeError` for a claim whose name looks like a misspelt argument.
        """
        for name in claims:
            if meant := get_close_matches(name, _ARGUMENTS, n=1, cutoff=_ALIKE):
                raise TypeError(f"issue_token has no argument {name!r}, and tokens have no such claim: {meant[0]}=…")
        return mint(
            permissions=(self._delegated or _ACTIONS) if permissions is None else _actions(permissions),
            audience=self._usual_audience() if audience is None else _listed(audience),
            client_id=claims.get("client_id") or self.client_id,
            expires_in=expires_in,
            version=self._revocations.version,
            claims=claims,
        )

    def revoke(self, token: str | DelegationToken) -> None:
        """Revoke this token at once, for all verifiers of this authority."""
        value = token.value if isinstance(token, DelegationToken) else token
        self._revocations.end(("token", parse_compact(value, max_bytes=_MOST_BYTES).claims["jti"]))

    def close(self) -> None:
        """Restore all verifiers and clients that were replaced, and stop the endpoint."""
        self._places.close()
        self._endpoint.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _counterpart(self, thing: TokenUser) -> TokenUser:
        """Make a verifier or client of the same type and settings as `thing` that uses this authority."""
        match thing:
            case AuthSecClient():
                return client_for(self.base_url, thing.config)
            case TokenVerifier():
                return self._known(verifier_for(thing.audience, self._revocations, **settings_of(thing)))
            case SeveralAuthorities():  # None of its verifiers accepts the issuer of a test's tokens.
                return SeveralAuthorities(self.verifier(thing.audience, **dpop_settings_of(thing.verifiers)))
        raise TypeError(f"expected a TokenVerifier or an AuthSecClient, not {type(thing)}")

    def _known(self, verifier: TokenVerifier) -> TokenVerifier:
        if verifier.audience not in self._audiences:
            self._audiences.append(verifier.audience)
        return verifier

    def _usual_audience(self) -> list[str]:
        if len(self._audiences) > 1:
            raise ValueError(f"there are several APIs: set audience= to one of {self._audiences}")
        return self._audiences or [_AUDIENCE]

    def _answer(self, method: str, path: str, sent: Mapping[str, Sequence[str]], proofs: Sequence[str]) -> HttpAnswer:
        match method, path.removeprefix("/authsec"):
            case "GET", "/.well-known/oauth-authorization-server":
                return HttpAnswer(body={"issuer": self.issuer, "jwks_uri": f"{self.base_url}/.well-known/jwks.json"})
            case "GET", "/.well-known/jwks.json":
                return HttpAnswer(body=key_set())
            case "GET", "/uflow/sdk/delegation-token":
                return self._asked_for_token(sent)
            case "POST", "/oauth/token":
                return self._asked_for_bound_token(sent, proofs)
            case "POST", "/v1/revoke":
                with suppress(JoseError, KeyError):  # An invalid token is no error (RFC 7009 §2.2).
                    self.revoke("".join(sent.get("token", ())))
                return HttpAnswer(body={})
        return HttpAnswer(status=404, body={"error": "The test authority has nothing at this address."})

    def _asked_for_bound_token(self, sent: Mapping[str, Sequence[str]], proofs: Sequence[str]) -> HttpAnswer:
        """Answer a request of an agent with `dpop` at the OAuth token endpoint. The assertion is not verified."""
        found = proof_at((self.issuer, self.base_url), proofs)
        if isinstance(found, HttpAnswer):
            return found
        answer = self._asked_for_token(sent, cnf={"jkt": found.thumbprint})
        return answer if answer.status != 200 else bound(answer)

    def _asked_for_token(self, sent: Mapping[str, Sequence[str]], **claims: Any) -> HttpAnswer:
        try:
            request = TokenRequest.of(sent.get("scope"), sent.get("resource"))
        except ConfigError as error:
            return denial(error.reason)
        self.asked.append(request)
        client_id = "".join(sent.get("client_id", [CLIENT_ID]))
        scope = request.scope.split() if request.scope else []
        refused = self._refused(client_id, scope, request.resource or ())
        if refused is not None:
            return refused
        if request.resource is None and len(self._audiences) > 1:
            return denial("invalid_target", f"Request one of these resources: {', or '.join(self._audiences)}.")
        return self._granted(scope or list(self._delegated or _ACTIONS), request.resource, client_id, claims)

    def _refused(self, client_id: str, scope: Sequence[str], resource: Sequence[str]) -> HttpAnswer | None:
        """Return the denial for a token request, or None if the request is allowed.

        A request is denied after `deny`, or if it asks for more than `delegate` permits.
        """
        delegated = scope if self._delegated is None else self._delegated
        missing = [action for action in scope if action not in delegated]
        grant_at = grant_page(self.base_url, client_id, actions=missing or scope, audiences=resource)
        if self._denial is not None:
            return denial(*self._denial, grant_at=grant_at)
        if self._delegated == ():
            return denial("no_delegation", grant_at=grant_at)
        if not missing:
            return None
        allowed = [action for action in scope if action in delegated]
        details = f"The test delegates {' '.join(delegated)}."
        return denial("action_not_allowed", details, grant_at=grant_at, missing=missing, allowed=allowed)

    def _granted(
        self, permissions: Sequence[str], resource: Sequence[str] | None, client_id: str, changes: Mapping[str, Any]
    ) -> HttpAnswer:
        audience = self._usual_audience() if resource is None else list(resource)
        token = self.issue_token(permissions, audience, client_id=client_id, **changes)
        self._given.append(token)
        claims = parse_compact(token, max_bytes=_MOST_BYTES).claims
        moments = {name: datetime.fromtimestamp(claims[claim], UTC) for name, claim in _MOMENTS.items()}
        return HttpAnswer(
            body={
                "token": token,
                "expires_in": _LIFE,
                "token_type": "Bearer",
                "client_id": client_id,
                "spiffe_id": claims["sub"],
                "permissions": list(permissions),
                "scope": claims["scope"],
                "audience": audience,
                "status": "active",
                **{name: moment.strftime("%Y-%m-%dT%H:%M:%SZ") for name, moment in moments.items()},
            }
        )


_MOMENTS: Final = {"issued_at": "iat", "expires_at": "exp"}


def _actions(permissions: str | Sequence[str]) -> Sequence[str]:
    """Split `permissions` into actions.

    Raises `ConfigError` for a text that is not an action. Otherwise a verifier would refuse the token later,
    without a clear reason.
    """
    actions = [action for some in _listed(permissions) for action in some.split()]
    TokenRequest.of(actions or None, None)
    return actions


def _listed(names: str | Sequence[str]) -> Sequence[str]:
    return [names] if isinstance(names, str) else names
