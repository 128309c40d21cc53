"""Admin API operations for trusted issuers. `clients` updates the proofs that name a trusted issuer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from authsec_server.web.operations import API, AnyOperation, Call, NoBody, Parameter, declared, operation
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
    """Request to register a trusted issuer."""

    name: str
    slug: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedIssuerOperations:
    """The operations on trusted issuers.

    `issuer` is this authority's own issuer, which is the default audience of the trusted issuers' tokens.
    `edit_issuer`, `disable_issuer` and `enable_issuer` are functions of `clients`, which also update the proofs
    that name the trusted issuer.
    """

    cluster_apis: ClusterApis
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
        """Register a trusted issuer."""
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


def operations(
    cluster_apis: ClusterApis, *, issuer: str, edit: EditTrustedIssuer, disable: Verb, enable: Verb
) -> list[AnyOperation]:
    """Return the operations on trusted issuers; see `TrustedIssuerOperations`."""
    its = TrustedIssuerOperations(
        cluster_apis=cluster_apis, issuer=issuer, edit_issuer=edit, disable_issuer=disable, enable_issuer=enable
    )
    return declared(its.page, its.create, its.show, its.edit, its.disable, its.enable)
