"""Admin API operations for trusted issuers. `clients` updates the proofs that name a trusted issuer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from pydantic import Field
from starlette.concurrency import run_in_threadpool
from typing_extensions import TypedDict  # as in `web.paging`

from authsec_server import naming
from authsec_server.db import Tx
from authsec_server.issuers import model, service
from authsec_server.issuers.cluster_client import ClusterApis, require_answers
from authsec_server.issuers.model import KeysFrom, TrustedIssuer, TrustedIssuerKind, looks_up_pods, provable
from authsec_server.principal import Act, Role
from authsec_server.web.bodies import LEFT_OUT, Body, Changes
from authsec_server.web.instants import rfc3339
from authsec_server.web.operations import API, AnyOperation, Call, NoBody, Operation, Parameter
from authsec_server.web.paging import PAGING, Page, paged


class TrustedIssuerShown(TypedDict):
    """A trusted issuer as the admin API returns it. `token_audience` is the audience that its tokens must have."""

    id: str
    slug: str
    name: str
    kind: TrustedIssuerKind
    issuer: str
    keys_from: KeysFrom
    keys_url: str | None
    given_keys: dict[str, Any] | None
    ca: str | None
    audience: str | None
    token_audience: str
    claims: dict[str, str]
    api_server: str | None
    api_ca: str | None
    credentials: str | None
    token_review: bool
    pod_lookup: bool
    proves: list[str]
    enabled: bool
    created_at: str
    revision: int
    changed_at: str | None
    changed_by: str | None


def as_json(trusted_issuer: TrustedIssuer, issuer: str) -> TrustedIssuerShown:
    """Convert the trusted issuer to JSON. `issuer` is this authority's own issuer."""
    return {
        "id": trusted_issuer.id,
        "slug": trusted_issuer.slug,
        "name": trusted_issuer.name,
        "kind": trusted_issuer.kind,
        "issuer": trusted_issuer.issuer,
        "keys_from": trusted_issuer.keys_from,
        "keys_url": trusted_issuer.keys_url or None,
        "given_keys": dict(trusted_issuer.given_keys) if trusted_issuer.given_keys else None,
        "ca": trusted_issuer.ca or None,
        "audience": trusted_issuer.audience or None,
        "token_audience": trusted_issuer.audience or issuer,
        "claims": dict(trusted_issuer.claims),
        "api_server": trusted_issuer.cluster.url if trusted_issuer.cluster else None,
        "api_ca": (trusted_issuer.cluster.ca if trusted_issuer.cluster else "") or None,
        "credentials": trusted_issuer.cluster.credentials if trusted_issuer.cluster else None,
        "token_review": trusted_issuer.cluster is not None and trusted_issuer.cluster.reviews,
        "pod_lookup": looks_up_pods(trusted_issuer),
        "proves": list(provable(trusted_issuer)),
        "enabled": trusted_issuer.enabled,
        "created_at": rfc3339(trusted_issuer.created_at),
        "revision": trusted_issuer.revision,
        "changed_at": rfc3339(trusted_issuer.changed_at),
        "changed_by": trusted_issuer.changed_by or None,
    }


PATH = f"{API}/issuers"
Verb = Callable[[Tx, Act, str], TrustedIssuer]


class EditTrustedIssuer(Protocol):
    """A function that edits a trusted issuer and updates its proofs."""

    def __call__(
        self,
        tx: Tx,
        act: Act,
        id_or_slug: str,
        /,
        *,
        revision: int,
        changes: model.TrustedIssuerEdit,
        may_look_up: bool,
    ) -> TrustedIssuer: ...


class NewTrustedIssuer(Body):
    """Request to register a trusted issuer."""

    name: str
    kind: str
    issuer: str
    keys_from: str
    slug: str | None = None
    keys_url: str = ""
    given_keys: dict[str, Any] | None = Field(default=None, repr=False)  # somebody will paste private ones
    ca: str = ""
    audience: str = ""
    claims: dict[str, str] = Field(default_factory=dict)
    preset: str = ""
    api_server: str = ""
    api_ca: str = ""
    credentials: str = ""
    token_review: bool = False
    pod_lookup: bool = False


class TrustedIssuerChanges(Changes):
    """Changes to a trusted issuer. `anyway` turns look-ups on even if the cluster does not answer."""

    name: str = LEFT_OUT
    issuer: str = LEFT_OUT
    keys_from: str = LEFT_OUT
    keys_url: str = LEFT_OUT
    given_keys: dict[str, Any] = LEFT_OUT
    ca: str = LEFT_OUT
    audience: str = LEFT_OUT
    claims: dict[str, str] = LEFT_OUT
    api_server: str = LEFT_OUT
    api_ca: str = LEFT_OUT
    credentials: str = LEFT_OUT
    token_review: bool = LEFT_OUT
    pod_lookup: bool = LEFT_OUT
    anyway: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedIssuers:
    """Handlers of the operations. `issuer` is this authority's own, the default audience of trusted issuers.

    `edit_it`, `disable` and `enable` are functions of `clients`, which also update the proofs.
    """

    cluster_apis: ClusterApis
    issuer: str
    edit_it: EditTrustedIssuer
    disable: Verb
    enable: Verb

    async def page(self, call: Call[NoBody]) -> Page[TrustedIssuerShown]:
        """List trusted issuers in slug order."""
        load = partial(service.page, text=call.query("text") or "")
        return await paged(call, naming.is_slug, load, lambda trusted_issuer: as_json(trusted_issuer, self.issuer))

    async def create(self, call: Call[NewTrustedIssuer]) -> TrustedIssuerShown:
        """Register a trusted issuer."""
        asked, may = model.ProposedTrustedIssuer(**dict(call.body)), self.cluster_apis.possible
        trusted_issuer = await call.change(lambda tx, act: service.create(tx, act, asked, may_look_up=may))
        return as_json(trusted_issuer, self.issuer)

    async def show(self, call: Call[NoBody]) -> TrustedIssuerShown:
        """Return one trusted issuer."""
        return as_json(await call.read(lambda tx, act: service.get(tx, act, call.of("trusted_issuer"))), self.issuer)

    async def edit(self, call: Call[TrustedIssuerChanges]) -> TrustedIssuerShown:
        """Change the fields that the request contains. Before look-ups are turned on, the cluster is asked."""
        changes = model.TrustedIssuerEdit(
            **{name: value for name, value in call.body.given().items() if name != "anyway"}
        )
        if not call.body.anyway:
            before = await call.read(lambda tx, act: service.to_refresh(tx, act, call.of("trusted_issuer")))
            revision = before.revision if call.expected is None else call.expected.revision
            await run_in_threadpool(require_answers, self.cluster_apis, before, revision=revision, changes=changes)

        def work(tx: Tx, act: Act) -> TrustedIssuer:
            trusted_issuer = service.get(tx, act, call.of("trusted_issuer"))
            return self.edit_it(
                tx,
                act,
                trusted_issuer.id,
                revision=call.matched(trusted_issuer, "This trusted issuer"),
                changes=changes,
                may_look_up=self.cluster_apis.possible,
            )

        return as_json(await call.change(work), self.issuer)

    def turning(self, verb: Verb) -> Callable[[Call[NoBody]], Awaitable[TrustedIssuerShown]]:
        """Return a handler that applies `verb` to the trusted issuer."""

        async def turn(call: Call[NoBody]) -> TrustedIssuerShown:
            return as_json(await call.change(lambda tx, act: verb(tx, act, call.of("trusted_issuer"))), self.issuer)

        return turn


def operations(
    cluster_apis: ClusterApis, *, issuer: str, edit: EditTrustedIssuer, disable: Verb, enable: Verb
) -> list[AnyOperation]:
    """Return the operations on trusted issuers."""
    its = TrustedIssuers(cluster_apis=cluster_apis, issuer=issuer, edit_it=edit, disable=disable, enable=enable)
    return [
        Operation(
            method="GET",
            path=PATH,
            operation_id="listTrustedIssuers",
            summary="List trusted issuers by slug",
            query=(
                Parameter(name="text", description="Part of the name, slug or issuer, or how the id begins."),
                *PAGING,
            ),
            handler=its.page,
            answer=Page[TrustedIssuerShown],
        ),
        Operation(
            method="POST",
            path=PATH,
            operation_id="createTrustedIssuer",
            summary="Register a trusted issuer",
            least=Role.ADMIN,
            body=NewTrustedIssuer,
            handler=its.create,
            answer=TrustedIssuerShown,
            status=201,
            location=PATH + "/{id}",
            revised=True,
        ),
        Operation(
            method="GET",
            path=PATH + "/{trusted_issuer}",
            operation_id="showTrustedIssuer",
            summary="Get a trusted issuer",
            handler=its.show,
            answer=TrustedIssuerShown,
            revised=True,
        ),
        Operation(
            method="PATCH",
            path=PATH + "/{trusted_issuer}",
            operation_id="editTrustedIssuer",
            summary="Edit a trusted issuer",
            description="An edit that reduces trust revokes the tokens that rest on it. A cluster is asked once before "
            "look-ups in it are turned on; if it does not answer, nothing is saved. With anyway it is not asked.",
            least=Role.ADMIN,
            body=TrustedIssuerChanges,
            handler=its.edit,
            answer=TrustedIssuerShown,
            revised=True,
        ),
        *_turns(its),
    ]


def _turns(its: TrustedIssuers) -> list[AnyOperation]:
    turns: tuple[tuple[str, str, Verb], ...] = (
        ("disable", "Disable a trusted issuer, and revoke the tokens that rest on it", its.disable),
        ("enable", "Enable a trusted issuer; revoked tokens stay revoked", its.enable),
    )
    return [
        Operation(
            method="POST",
            path=f"{PATH}/{{trusted_issuer}}/{word}",
            operation_id=f"{word}TrustedIssuer",
            summary=summary,
            least=Role.ADMIN,
            handler=its.turning(verb),
            answer=TrustedIssuerShown,
            revised=True,
        )
        for word, summary, verb in turns
    ]
