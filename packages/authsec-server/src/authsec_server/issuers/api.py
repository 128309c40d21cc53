"""Admin API operations for trusted issuers. `clients` updates the proofs that name a trusted issuer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol, cast

from starlette.concurrency import run_in_threadpool

from authsec_server import naming
from authsec_server.db import Tx
from authsec_server.issuers import service
from authsec_server.issuers.cluster_client import ClusterApis, require_answers
from authsec_server.issuers.model import ProposedTrustedIssuer, TrustedIssuer, plain_terms, provable
from authsec_server.issuers.shapes import TrustedIssuerChanges, TrustedIssuerTermsBody, TrustedIssuerTermsShown
from authsec_server.principal import Act, Role
from authsec_server.web.instants import rfc3339
from authsec_server.web.operations import API, AnyOperation, Call, NoBody, Operation, Parameter
from authsec_server.web.paging import PAGING, Page, paged


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
        changes: Mapping[str, object],
        may_look_up: bool,
    ) -> TrustedIssuer: ...


class NewTrustedIssuer(TrustedIssuerTermsBody):
    """Request to register a trusted issuer."""

    name: str
    slug: str | None = None


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
        asked, may = ProposedTrustedIssuer(**dict(call.body)), self.cluster_apis.possible
        trusted_issuer = await call.change(lambda tx, act: service.create(tx, act, asked, may_look_up=may))
        return as_json(trusted_issuer, self.issuer)

    async def show(self, call: Call[NoBody]) -> TrustedIssuerShown:
        """Return one trusted issuer."""
        return as_json(await call.read(lambda tx, act: service.get(tx, act, call.of("trusted_issuer"))), self.issuer)

    async def edit(self, call: Call[TrustedIssuerChanges]) -> TrustedIssuerShown:
        """Change the fields that the request contains. Before look-ups are turned on, the cluster is asked."""
        changes = {name: value for name, value in call.body.given().items() if name != "anyway"}
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
