"""The OpenID provider: its discovery document, its key set, and this server as its client."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote_plus

from authsec.jose import PublicKey
from authsec.safe_text import plain
from authsec.verifier.key_set import usable_keys

from authsec_server.accounts.oidc.identity import OpenIdRefusal, SignInRefused
from authsec_server.outbound import Outbound, OutboundFailed

_LONGEST_SECRET = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class RelyingParty:
    """This server as a client that is registered at the provider `issuer`.

    Without `secret_file`, the client is a public client: only PKCE protects its codes.
    """

    issuer: str
    client_id: str
    secret_file: Path | None
    redirect_uri: str
    scopes: str

    def authentication(self, methods: Collection[str]) -> tuple[dict[str, str], dict[str, str]]:
        """Return the form fields and headers that authenticate the client at the token endpoint.

        `methods` are the authentication methods that the endpoint accepts. Raises `SignInRefused` if the client
        secret cannot be read, or if this server supports none of the methods.
        """
        if self.secret_file is None:  # does not check `methods` for `none`: Keycloak accepts `none` but never lists it
            return {"client_id": self.client_id}, {}
        secret = self.secret()
        if "client_secret_basic" in methods:  # RFC 6749 section 2.3.1: form-encode id and secret
            pair = f"{quote_plus(self.client_id)}:{quote_plus(secret)}"
            return {}, {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        if "client_secret_post" in methods:
            return {"client_id": self.client_id, "client_secret": secret}, {}
        raise SignInRefused(
            OpenIdRefusal.MISCONFIGURED, "the provider supports neither client_secret_basic nor client_secret_post"
        )

    def secret(self) -> str:
        """Read the client secret from its file. Raises `SignInRefused`.

        Each call reads the file, so a new secret needs no restart.
        """
        assert self.secret_file is not None
        try:
            secret = self.secret_file.read_text("utf-8")[:_LONGEST_SECRET].strip()
        except (OSError, UnicodeDecodeError):
            secret = ""
        if not secret:
            raise SignInRefused(OpenIdRefusal.MISCONFIGURED, f"there is no client secret in {self.secret_file}")
        return secret


_SUFFIX = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """The endpoints and capabilities of a provider.

    `names_itself` says that the provider's authorization responses contain `iss` (RFC 9207).
    """

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    auth_methods: frozenset[str]
    names_itself: bool


def discovery_url(issuer: str) -> str:
    """Return the URL of the provider's discovery document."""
    return issuer.rstrip("/") + _SUFFIX


def read_provider(document: Mapping[str, Any], issuer: str, outbound: Outbound) -> Provider:
    """Check the discovery document and return its provider.

    Raises `SignInRefused`; the `note` of the exception names the wrong member of `document`.
    """
    named = document.get("issuer")
    if named != issuer:  # section 4.3 requires equality: stops one provider from posing as another
        raise _unfit(f"it names the issuer {plain(str(named), 200)!r}, but the setting is {issuer!r}")
    if "code" not in _texts(document, "response_types_supported"):
        raise _unfit("it does not support the authorization code flow")
    if "S256" not in _texts(document, "code_challenge_methods_supported", absent="S256"):
        raise _unfit("it does not support PKCE with S256")
    has_userinfo = "userinfo_endpoint" in document
    return Provider(
        issuer=issuer,
        authorization_endpoint=_endpoint(document, "authorization_endpoint", outbound),
        token_endpoint=_endpoint(document, "token_endpoint", outbound),
        jwks_uri=_endpoint(document, "jwks_uri", outbound),
        userinfo_endpoint=_endpoint(document, "userinfo_endpoint", outbound) if has_userinfo else None,
        auth_methods=_texts(document, "token_endpoint_auth_methods_supported", absent="client_secret_basic"),
        names_itself=document.get("authorization_response_iss_parameter_supported") is True,
    )


def _endpoint(document: Mapping[str, Any], name: str, outbound: Outbound) -> str:
    url = document.get(name)
    if not isinstance(url, str):
        raise _unfit(f"it has no {name}")
    try:
        outbound.check_url(url)  # browsers open the authorization endpoint: refuses `javascript:` URLs
    except OutboundFailed as error:
        raise _unfit(f"{name}: {error}") from None
    return url


def _texts(document: Mapping[str, Any], name: str, *, absent: str = "") -> frozenset[str]:
    """Return the list of strings under `name`; if the member is absent, return the default `absent`."""
    values = document.get(name, [absent])
    return frozenset(value for value in values if isinstance(value, str)) if isinstance(values, list) else frozenset()


def _unfit(what: str) -> SignInRefused:
    return SignInRefused(OpenIdRefusal.MISCONFIGURED, f"the provider's discovery document cannot be used: {what}")


FRESH_SECONDS = 3600.0
UNKNOWN_KEY_PAUSE = 60.0  # seconds between fetches for unknown `kid` values, which attackers can invent
RETRY_PAUSE = 5.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _KeptDocument(Generic[T]):
    value: T
    at: float


class Directory:
    """Cache of one provider's discovery document and key set. Thread-safe; one fetch at a time.

    After a failed fetch, callers get the same failure at once for five seconds. Otherwise these callers would
    occupy threads that other requests need.
    """

    def __init__(self, issuer: str, outbound: Outbound, monotonic: Callable[[], float]) -> None:
        self._issuer = issuer
        self._outbound = outbound
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._provider: _KeptDocument[Provider] | None = None
        self._keys: _KeptDocument[Mapping[str, PublicKey]] | None = None
        self._failed: _KeptDocument[str] | None = None

    def provider(self) -> Provider:
        """Return the provider. Raises `SignInRefused`."""
        with self._lock:
            return self._current_provider()

    def key(self, kid: str) -> PublicKey | None:
        """Return the provider's key with this `kid`; None if the provider has no such key. Raises `SignInRefused`."""
        with self._lock:
            kept = self._keys
            if kept is None or self._age(kept) >= (FRESH_SECONDS if kid in kept.value else UNKNOWN_KEY_PAUSE):
                kept = self._keys = self._fetch_keys()
            return kept.value.get(kid)

    def _current_provider(self) -> Provider:
        kept = self._provider
        if kept is None or self._age(kept) >= FRESH_SECONDS:
            document = self._fetch(discovery_url(self._issuer))
            kept = self._provider = _KeptDocument(
                read_provider(document, self._issuer, self._outbound), self._monotonic()
            )
        return kept.value

    def _fetch_keys(self) -> _KeptDocument[Mapping[str, PublicKey]]:
        keys = usable_keys(self._fetch(self._current_provider().jwks_uri), alg_required=False)
        return _KeptDocument(keys, self._monotonic())

    def _fetch(self, url: str) -> Mapping[str, Any]:
        if self._failed is not None and self._age(self._failed) < RETRY_PAUSE:
            raise SignInRefused(OpenIdRefusal.UNAVAILABLE, self._failed.value)
        try:
            answer = self._outbound.get(url)
            if answer.status == 200:
                return answer.json_object()
            failure = f"{answer.source} answered {answer.status}"
        except OutboundFailed as error:
            failure = str(error)
        self._failed = _KeptDocument(failure, self._monotonic())
        raise SignInRefused(OpenIdRefusal.UNAVAILABLE, failure)

    def _age(self, kept: _KeptDocument[Any]) -> float:
        return self._monotonic() - kept.at
