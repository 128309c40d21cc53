"""`OpenIdSignIn`: send a browser to the provider, redeem the code, and return the person's identity."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import structlog
from authsec.safe_text import plain

from authsec_server.accounts.oidc.id_token import Expected, verified_claims
from authsec_server.accounts.oidc.identity import (
    OpenIdRefusal,
    RoleRule,
    SignInRefused,
    VerifiedIdentity,
    is_complete,
    read_identity,
)
from authsec_server.accounts.oidc.provider import Directory, Provider, RelyingParty
from authsec_server.accounts.oidc.transaction import HOME, SpentStates, Transaction
from authsec_server.failures import StartupRefused
from authsec_server.outbound import Answer, Outbound, OutboundFailed
from authsec_server.principal import Role
from authsec_server.settings import ENV_PREFIX, Settings

_CLIENT_ERRORS = frozenset({"invalid_client", "unauthorized_client"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """The tokens that the provider returned for the code. They are not verified yet, and they are not stored."""

    id_token: str = field(repr=False)
    access_token: str = field(repr=False)


def redeem(outbound: Outbound, provider: Provider, client: RelyingParty, transaction: Transaction, code: str) -> Tokens:
    """Exchange the code for tokens. Raises `SignInRefused`.

    See OpenID Connect Core section 3.1.3 and RFC 7636 section 4.5.
    """
    fields, headers = client.authentication(provider.auth_methods)
    fields |= {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": client.redirect_uri,
        "code_verifier": transaction.verifier,
    }
    try:
        answer = outbound.post_form(provider.token_endpoint, fields, headers=headers)
        if answer.status != 200:
            raise _refused(answer)
        body = answer.json_object()
    except OutboundFailed as error:
        raise SignInRefused(OpenIdRefusal.UNAVAILABLE, str(error)) from None
    id_token, access_token, kind = (body.get(name) for name in ("id_token", "access_token", "token_type"))
    if not (isinstance(id_token, str) and isinstance(access_token, str) and str(kind).lower() == "bearer"):
        raise SignInRefused(
            OpenIdRefusal.TOKEN_INVALID, "the answer of the token endpoint has no ID token, or no bearer token"
        )
    return Tokens(id_token=id_token, access_token=access_token)


def userinfo(outbound: Outbound, provider: Provider, tokens: Tokens, subject: str) -> Mapping[str, Any]:
    """Fetch the claims that are not in the ID token (OpenID Connect Core sections 5.3 and 5.4).

    Return an empty mapping if the provider has no userinfo endpoint. Raises `SignInRefused` if the fetch fails.
    Raises `SignInRefused` also if the claims are about another subject, which stops token substitution.
    """
    if provider.userinfo_endpoint is None:
        return {}
    try:
        answer = outbound.get(provider.userinfo_endpoint, headers={"Authorization": f"Bearer {tokens.access_token}"})
        if answer.status != 200:
            raise _unusable(answer)
        claims = answer.json_object()
    except OutboundFailed as error:
        raise SignInRefused(OpenIdRefusal.UNAVAILABLE, str(error)) from None
    if claims.get("sub") != subject:  # section 5.3.2: stops the claims of another person (token substitution)
        raise SignInRefused(OpenIdRefusal.TOKEN_INVALID, "userinfo and the ID token have different subjects")
    return claims


def _refused(answer: Answer) -> SignInRefused:
    if answer.status >= 500 or answer.status == 429:
        return _unusable(answer)
    try:
        error = answer.json_object().get("error")
    except OutboundFailed:
        error = None
    known = error if isinstance(error, str) else ""
    code = OpenIdRefusal.CLIENT_REFUSED if known in _CLIENT_ERRORS else OpenIdRefusal.CODE_REFUSED
    return SignInRefused(code, f"{answer.source} answered {answer.status} {plain(known, 60)}".rstrip())


def _unusable(answer: Answer) -> SignInRefused:
    away = answer.status >= 500 or answer.status == 429
    code = OpenIdRefusal.UNAVAILABLE if away else OpenIdRefusal.TOKEN_INVALID
    return SignInRefused(code, f"{answer.source} answered {answer.status}")


log = structlog.get_logger(__name__)

CALLBACK_PATH = "/console/sign-in/callback"
AT_ONCE = 8  # limits the threads that a slow provider can block: agents need threads, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """The URL to send the browser to, and the transaction to set in an HttpOnly cookie."""

    url: str = field(repr=False)
    transaction: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The person's verified identity, and the local path to open next."""

    identity: VerifiedIdentity
    next: str


class OpenIdSignIn:
    """Sign-in through one provider. Thread-safe; the methods block their thread.

    `label` is the text of the sign-in button.
    """

    def __init__(
        self,
        *,
        client: RelyingParty,
        rule: RoleRule,
        label: str,
        outbound: Outbound,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        token_bytes: Callable[[int], bytes],
    ) -> None:
        self.label = label
        self._client = client
        self._rule = rule
        self._outbound = outbound
        self._now = now
        self._token_bytes = token_bytes
        self._directory = Directory(client.issuer, outbound, monotonic)
        self._spent = SpentStates()
        self._places = threading.BoundedSemaphore(AT_ONCE)

    def begin(self, next: str = HOME) -> Begun:  # noqa: A002 - same name as the query parameter
        """Begin a sign-in, after which the browser opens the local path `next`. Raises `SignInRefused`."""
        with self._place():
            provider = self._directory.provider()
        transaction = Transaction.begin(next, self._now(), self._token_bytes)
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self._client.client_id,
                "redirect_uri": self._client.redirect_uri,
                "scope": self._client.scopes,
                "state": transaction.state,
                "nonce": transaction.nonce,
                "code_challenge": transaction.challenge,
                "code_challenge_method": "S256",
            }
        )
        joint = "&" if "?" in provider.authorization_endpoint else "?"
        return Begun(url=f"{provider.authorization_endpoint}{joint}{query}", transaction=transaction.cookie())

    def finish(self, transaction: str, query: Iterable[tuple[str, str]]) -> Finished:
        """Finish the sign-in of the browser with the cookie `transaction`.

        `query` has the parameters of the provider's authorization response. Raises `SignInRefused`. The caller
        deletes the cookie even after an exception, because each transaction is used once.
        """
        with self._place():
            its = self._read_transaction(transaction)
            code = self._code(its, query)
            return Finished(identity=self._identity(its, code), next=its.next)

    def _read_transaction(self, cookie: str) -> Transaction:
        transaction = Transaction.read(cookie)
        if transaction is None:
            raise SignInRefused(OpenIdRefusal.NOT_BEGUN)
        if not transaction.is_valid(self._now()):
            raise SignInRefused(OpenIdRefusal.EXPIRED)
        return transaction

    def _code(self, transaction: Transaction, query: Iterable[tuple[str, str]]) -> str:
        """Return the code in the provider's authorization response. Raises `SignInRefused`.

        The response must belong to this transaction, and each transaction is accepted once.
        """
        pairs = list(query)
        answer = dict(pairs)
        if len(answer) != len(pairs):  # RFC 6749 section 3.1: programs differ in which value they use
            raise SignInRefused(OpenIdRefusal.ANSWER_INVALID, "a parameter occurs twice in the answer")
        if not transaction.is_answered_by(answer.get("state", "")):
            raise SignInRefused(OpenIdRefusal.STATE_MISMATCH)
        if not self._spent.spend(transaction, self._now()):
            raise SignInRefused(OpenIdRefusal.USED)
        _check_issuer(answer, self._directory.provider())
        if "error" in answer:
            declined = answer["error"] == "access_denied"
            code = OpenIdRefusal.DECLINED if declined else OpenIdRefusal.PROVIDER_ERROR
            raise SignInRefused(code, f"the provider answered {plain(answer['error'], 60)}")
        if not answer.get("code"):
            raise SignInRefused(OpenIdRefusal.ANSWER_INVALID, "the answer has no code")
        return answer["code"]

    def _identity(self, transaction: Transaction, code: str) -> VerifiedIdentity:
        provider = self._directory.provider()
        tokens = redeem(self._outbound, provider, self._client, transaction, code)
        expected = Expected(
            issuer=self._client.issuer,
            client_id=self._client.client_id,
            nonce=transaction.nonce,
            access_token=tokens.access_token,
            begun=transaction.begun,
            now=self._now().timestamp(),
        )
        claims: Mapping[str, Any] = verified_claims(tokens.id_token, self._directory.key, expected)
        if not is_complete(claims, self._rule):
            claims = {**userinfo(self._outbound, provider, tokens, claims["sub"]), **claims}
        return read_identity(claims, self._rule)

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Limit the number of concurrent sign-ins, and log each refused sign-in.

        Raises `SignInRefused` if the limit is reached.
        """
        try:
            if not self._places.acquire(blocking=False):
                raise SignInRefused(OpenIdRefusal.BUSY)
            try:
                yield
            finally:
                self._places.release()
        except SignInRefused as refused:
            log.warning("sign-in through the OpenID provider refused", code=refused.code.value, note=refused.note)
            raise


def sign_in_of(
    settings: Settings,
    outbound: Outbound,
    *,
    now: Callable[[], datetime],
    monotonic: Callable[[], float],
    token_bytes: Callable[[int], bytes],
) -> OpenIdSignIn | None:
    """Build the sign-in through the provider in the settings. Raises `StartupRefused`.

    Return None if the settings name no provider. This function sends no request to the provider, because a
    server must start even while its provider is down.
    """
    if not settings.oidc_issuer:
        return None
    _check_settings(settings, outbound)
    client = RelyingParty(
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        secret_file=settings.oidc_client_secret_file,
        redirect_uri=settings.console_address + CALLBACK_PATH,
        scopes=settings.oidc_scopes,
    )
    rule = RoleRule(
        claim=settings.oidc_role_claim,
        values={
            Role.ADMIN: frozenset(settings.oidc_admin_values),
            Role.OPERATOR: frozenset(settings.oidc_operator_values),
            Role.VIEWER: frozenset(settings.oidc_viewer_values),
        },
    )
    return OpenIdSignIn(
        client=client,
        rule=rule,
        label=settings.oidc_label,
        outbound=outbound,
        now=now,
        monotonic=monotonic,
        token_bytes=token_bytes,
    )


def _check_settings(settings: Settings, outbound: Outbound) -> None:
    try:
        outbound.check_url(settings.oidc_issuer)
    except OutboundFailed as error:
        raise StartupRefused(
            f"{ENV_PREFIX}OIDC_ISSUER: {error}.", "Set the issuer exactly as the provider names it."
        ) from None
    file = settings.oidc_client_secret_file
    if file is not None and not file.is_file():
        raise StartupRefused(
            f"{ENV_PREFIX}OIDC_CLIENT_SECRET_FILE names {file}, and that file does not exist.",
            "Write the client secret into the file, or remove the setting for a public client.",
        )


def _check_issuer(answer: Mapping[str, str], provider: Provider) -> None:
    """Refuse an authorization response from another provider. Raises `SignInRefused`.

    This stops the mix-up attack (RFC 9207 section 2.4).
    """
    if answer.get("iss", provider.issuer) != provider.issuer or (provider.names_itself and "iss" not in answer):
        raise SignInRefused(OpenIdRefusal.ISSUER_MISMATCH)
