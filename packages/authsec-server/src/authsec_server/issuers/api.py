"""The JSON of trusted issuers and the admin API operations for them, their keys and look-ups.

`clients` updates the proofs of an issuer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, cast

from pydantic import Field
from starlette.concurrency import run_in_threadpool
from typing_extensions import TypedDict  # required by pydantic before Python 3.12

from authsec_server import naming
from authsec_server.db import Tx
from authsec_server.failures import Unavailable
from authsec_server.issuers import service
from authsec_server.issuers.cluster_client import ClusterApis, require_answers
from authsec_server.issuers.key_cache import Condition, KeysState
from authsec_server.issuers.key_sets import KeySets
from authsec_server.issuers.model import (
    KeysFrom,
    KeysUnavailable,
    Lookup,
    LookupState,
    LookupUnavailable,
    ProposedTrustedIssuer,
    TrustedIssuer,
    TrustedIssuerKind,
    plain_terms,
    provable,
)
from authsec_server.principal import Act, Role
from authsec_server.web.bodies import Body, Changes, changes_of
from authsec_server.web.instants import rfc3339
from authsec_server.web.operations import API, AnyOperation, Call, NoBody, Parameter, declared, operation
from authsec_server.web.paging import PAGING, Page, paged


class TrustedIssuerTermsShown(TypedDict):
    """The terms of a trusted issuer, in a response."""

    name: str
    kind: TrustedIssuerKind
    issuer: str
    keys_from: KeysFrom
    keys_url: str | None
    given_keys: dict[str, Any] | None
    ca: str | None
    audience: str | None
    claims: dict[str, str]
    api_server: str | None
    api_ca: str | None
    credentials: str | None
    token_review: bool
    pod_lookup: bool


class TrustedIssuerTermsBody(Body):
    """The terms of a trusted issuer, in a request or a document."""

    name: str | None = Field(default=None, description="The name that people see; default: the slug.")
    kind: str
    issuer: str = Field(description="The exact `iss` of its tokens; for SPIFFE, the trust domain.")
    keys_from: str
    keys_url: str = ""
    given_keys: dict[str, Any] | None = Field(  # somebody will paste private ones
        default=None, repr=False, description="A JWK Set of public keys."
    )
    ca: str = Field(
        default="",
        description="Certificates (PEM). When AuthSec fetches the issuer's keys, it trusts only these certificates.",
    )
    audience: str = ""
    claims: dict[str, str] = Field(
        default_factory=dict,
        description="Only for an OpenID Connect issuer: for each selector, the claim that proves the selector.",
    )
    preset: str = Field(
        default="", description="The claims of a well-known issuer, by its name: github, gitlab, google or azure."
    )
    api_server: str = ""
    api_ca: str = ""
    credentials: str = Field(
        default="", description="The name of a token file on the server. Never send the token itself."
    )
    token_review: bool = False
    pod_lookup: bool = False


@changes_of(TrustedIssuerTermsBody, without=("kind", "preset"))
class TrustedIssuerTermsChanges(Changes):
    """Changes to the terms of a trusted issuer."""


class TrustedIssuerChanges(TrustedIssuerTermsChanges):
    """Changes to a trusted issuer. `anyway` turns look-ups on even if the cluster does not answer."""

    anyway: bool = False


class TrustedIssuerShown(TrustedIssuerTermsShown):
    """A trusted issuer as the admin API returns it. `token_audience` is the audience that its tokens must have."""

    id: str
    slug: str
    token_audience: str
    proves: list[str]
    enabled: bool
    created_at: str
    revision: int
    changed_at: str | None
    changed_by: str | None


def as_json(trusted_issuer: TrustedIssuer, issuer: str) -> TrustedIssuerShown:
    """Convert the trusted issuer to JSON. `issuer` is this authority's own issuer."""
    terms = {name: None if value == "" else value for name, value in plain_terms(trusted_issuer).items()}
    return {
        "id": trusted_issuer.id,
        "slug": trusted_issuer.slug,
        **cast("TrustedIssuerTermsShown", terms),
        "token_audience": trusted_issuer.audience or issuer,
        "proves": list(provable(trusted_issuer)),
        "enabled": trusted_issuer.enabled,
        "created_at": rfc3339(trusted_issuer.created_at),
        "revision": trusted_issuer.revision,
        "changed_at": rfc3339(trusted_issuer.changed_at),
        "changed_by": trusted_issuer.changed_by or None,
    }


PATH = f"{API}/issuers"
ONE = PATH + "/{trusted_issuer}"
TEXT = Parameter(
    name="text",
    description="Only trusted issuers whose name, slug or issuer contains this text, or whose id begins with it.",
)
Verb = Callable[[Tx, Act, str], TrustedIssuer]


class EditTrustedIssuer(Protocol):
    """A function that edits a trusted issuer and updates the proofs that name it."""

    def __call__(
        self,
        tx: Tx,
        act: Act,
        id_or_slug: str,
        /,
        *,
        revision: int,
        changes: Mapping[str, object],
        may_look_up: bool,
    ) -> TrustedIssuer: ...


class NewTrustedIssuer(TrustedIssuerTermsBody):
    """Request to add a trusted issuer."""

    name: str
    slug: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedIssuerOperations:
    """The operations on trusted issuers.

    `issuer` is this authority's own issuer, which is the default audience of the trusted issuers' tokens.
    `edit_issuer`, `disable_issuer` and `enable_issuer` are functions of `clients`, which also update the proofs
    that name the trusted issuer. The operations on keys and look-ups change no settings of the authority, so they have
    no dry run.
    """

    cluster_apis: ClusterApis
    key_sets: KeySets
    issuer: str
    edit_issuer: EditTrustedIssuer
    disable_issuer: Verb
    enable_issuer: Verb

    @operation("GET", PATH, "listTrustedIssuers", query=(TEXT, *PAGING))
    async def page(self, call: Call[NoBody]) -> Page[TrustedIssuerShown]:
        """List trusted issuers by slug."""
        load = partial(service.page, text=call.query("text") or "")
        return await paged(call, naming.is_slug, load, self._shown)

    @operation("POST", PATH, "createTrustedIssuer", least=Role.ADMIN, status=201, location=PATH + "/{id}", revised=True)
    async def create(self, call: Call[NewTrustedIssuer]) -> TrustedIssuerShown:
        """Add a trusted issuer."""
        asked, may = ProposedTrustedIssuer(**dict(call.body)), self.cluster_apis.possible
        return self._shown(await call.change(lambda tx, act: service.create(tx, act, asked, may_look_up=may)))

    @operation("GET", ONE, "showTrustedIssuer", revised=True)
    async def show(self, call: Call[NoBody]) -> TrustedIssuerShown:
        """Get a trusted issuer."""
        return self._shown(await call.read(lambda tx, act: service.get(tx, act, call.of("trusted_issuer"))))

    @operation("PATCH", ONE, "editTrustedIssuer", least=Role.ADMIN, revised=True)
    async def edit(self, call: Call[TrustedIssuerChanges]) -> TrustedIssuerShown:
        """Edit a trusted issuer.

        An edit that reduces trust revokes the affected tokens. Before an edit turns look-ups on, the server sends
        test requests to the cluster. If the cluster does not answer, nothing is saved. With `anyway`, the server
        does not ask the cluster.
        """
        changes = {name: value for name, value in call.body.given().items() if name != "anyway"}
        if not call.body.anyway:
            before = await call.read(lambda tx, act: service.to_refresh(tx, act, call.of("trusted_issuer")))
            revision = before.revision if call.expected is None else call.expected.revision
            await run_in_threadpool(require_answers, self.cluster_apis, before, revision=revision, changes=changes)

        def work(tx: Tx, act: Act) -> TrustedIssuer:
            trusted_issuer = service.get(tx, act, call.of("trusted_issuer"))
            return self.edit_issuer(
                tx,
                act,
                trusted_issuer.id,
                revision=call.matched(trusted_issuer, "This trusted issuer"),
                changes=changes,
                may_look_up=self.cluster_apis.possible,
            )

        return self._shown(await call.change(work))

    @operation("POST", ONE + "/disable", "disableTrustedIssuer", least=Role.ADMIN, revised=True)
    async def disable(self, call: Call[NoBody]) -> TrustedIssuerShown:
        """Disable a trusted issuer, and revoke the tokens that were issued on its proofs."""
        return self._shown(await call.change(lambda tx, act: self.disable_issuer(tx, act, call.of("trusted_issuer"))))

    @operation("POST", ONE + "/enable", "enableTrustedIssuer", least=Role.ADMIN, revised=True)
    async def enable(self, call: Call[NoBody]) -> TrustedIssuerShown:
        """Enable a trusted issuer.

        Revoked tokens stay revoked.
        """
        return self._shown(await call.change(lambda tx, act: self.enable_issuer(tx, act, call.of("trusted_issuer"))))

    def _shown(self, trusted_issuer: TrustedIssuer) -> TrustedIssuerShown:
        return as_json(trusted_issuer, self.issuer)

    @operation("GET", ONE + "/lookups", "showLookups")
    async def lookups(self, call: Call[NoBody]) -> LookupsShown:
        """Get the results of the last look-ups in a cluster."""
        return await _lookups(call, service.get, self.cluster_apis.state)

    @operation("POST", ONE + "/lookups", "checkLookups", least=Role.ADMIN, question=True)
    async def check_lookups(self, call: Call[NoBody]) -> LookupsShown:
        """Test the look-ups at a cluster's API server now."""
        return await _lookups(call, service.to_refresh, self.cluster_apis.check)

    @operation("GET", ONE + "/keys", "showKeysOfTrustedIssuer")
    async def keys(self, call: Call[NoBody]) -> KeysShown:
        """Get the state of a trusted issuer's key set."""
        return await _keys(call, service.get, self.key_sets.state)

    @operation("POST", ONE + "/refresh", "refreshKeysOfTrustedIssuer", least=Role.ADMIN, question=True)
    async def refresh_keys(self, call: Call[NoBody]) -> KeysShown:
        """Fetch the key set of a trusted issuer now."""
        return await _keys(call, service.to_refresh, self.key_sets.refresh)


def operations(
    cluster_apis: ClusterApis,
    key_sets: KeySets,
    *,
    issuer: str,
    edit: EditTrustedIssuer,
    disable: Verb,
    enable: Verb,
) -> list[AnyOperation]:
    """Return the operations on trusted issuers; see `TrustedIssuerOperations`."""
    its = TrustedIssuerOperations(
        cluster_apis=cluster_apis,
        key_sets=key_sets,
        issuer=issuer,
        edit_issuer=edit,
        disable_issuer=disable,
        enable_issuer=enable,
    )
    return declared(
        its.page,
        its.create,
        its.show,
        its.edit,
        its.disable,
        its.enable,
        its.lookups,
        its.check_lookups,
        its.keys,
        its.refresh_keys,
    )


Find = Callable[[Tx, Act, str], TrustedIssuer]


class KeyShown(TypedDict):
    """A key with which the trusted issuer signs."""

    kid: str
    kty: str
    algorithms: list[str]
    thumbprint: str


class KeysShown(TypedDict):
    """The state of a trusted issuer's keys."""

    condition: Condition
    keys: list[KeyShown]
    fetched_at: str | None
    fresh_until: str | None
    usable_until: str | None
    failed_at: str | None
    failure: str | None


class LookupShown(TypedDict):
    """The last result of a look-up in the server process that sends this response."""

    answered_at: str | None
    failed_at: str | None
    failure: str | None


class LookupsShown(TypedDict, total=False):
    """The last results of the look-ups that are turned on."""

    token_review: LookupShown
    pod_lookup: LookupShown


async def _keys(call: Call[NoBody], find: Find, look: Callable[[TrustedIssuer], KeysState]) -> KeysShown:
    """Return the keys of the trusted issuer. `look` is called outside of any transaction. Raises `Unavailable`."""
    trusted_issuer = await call.read(lambda tx, act: find(tx, act, call.of("trusted_issuer")))
    try:
        return keys_json(await run_in_threadpool(look, trusted_issuer))
    except KeysUnavailable as error:
        raise Unavailable(error.sentence) from None


async def _lookups(
    call: Call[NoBody], find: Find, look: Callable[[TrustedIssuer], Mapping[Lookup, LookupState]]
) -> LookupsShown:
    """Return the look-ups of the trusted issuer. `look` is called outside of any transaction. Raises `Unavailable`."""
    trusted_issuer = await call.read(lambda tx, act: find(tx, act, call.of("trusted_issuer")))
    try:
        states = await run_in_threadpool(look, trusted_issuer)
    except LookupUnavailable as error:
        raise Unavailable(error.sentence) from None
    shown: LookupsShown = {}
    if Lookup.TOKEN_REVIEW in states:
        shown["token_review"] = lookup_json(states[Lookup.TOKEN_REVIEW])
    if Lookup.POD_LOOKUP in states:
        shown["pod_lookup"] = lookup_json(states[Lookup.POD_LOOKUP])
    return shown


def keys_json(state: KeysState) -> KeysShown:
    """Convert the state of the keys to JSON."""
    return {
        "condition": state.condition,
        "keys": [
            {"kid": kid, "kty": key.kind, "algorithms": sorted(key.algorithms), "thumbprint": key.thumbprint()}
            for kid, key in state.keys.items()
        ],
        "fetched_at": rfc3339(state.fetched_at),
        "fresh_until": rfc3339(state.fresh_until),
        "usable_until": rfc3339(state.usable_until),
        "failed_at": rfc3339(state.failed_at),
        "failure": state.failure or None,
    }


def lookup_json(state: LookupState) -> LookupShown:
    """Convert the result of the look-up to JSON."""
    return {
        "answered_at": rfc3339(state.answered_at),
        "failed_at": rfc3339(state.failed_at),
        "failure": state.failure or None,
    }
