"""Register and edit a trusted issuer."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.clients import bindings
from authsec_server.clients.bindings import Users
from authsec_server.console.issuers.typed import TypedTrustedIssuer
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.failures import Conflict, Failure, Invalid, Outdated
from authsec_server.issuers import service as issuers
from authsec_server.issuers.claims import PRESETS
from authsec_server.issuers.cluster_client import require_answers
from authsec_server.issuers.model import TrustedIssuer, TrustedIssuerKind
from authsec_server.principal import Act, Role


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes that register and edit a trusted issuer."""
    return [
        console.page("/issuers/new", form, post=create, least=Role.ADMIN),
        console.page("/issuers/{trusted_issuer}/edit", edit_form, post=edit, least=Role.ADMIN),
    ]


async def form(visit: PageRequest, problem: Failure | None = None) -> Response:
    """Show the choice of a kind of issuer; after the choice, show the form of that kind."""
    kind = visit.form.text("kind") or visit.query.text("kind")
    if kind not in set(TrustedIssuerKind):
        return visit.render(
            "issuers/kinds.html", title="New trusted issuer", kinds=list(TrustedIssuerKind), problem=problem
        )
    return _form(
        visit, TypedTrustedIssuer.read(visit.form, kind), None, f"New {TrustedIssuerKind(kind).shown}", problem
    )


async def create(visit: PageRequest) -> Response:
    """Register the trusted issuer."""
    typed = TypedTrustedIssuer.read(visit.form, visit.form.text("kind"))
    try:
        asked = typed.asked
        trusted_issuer = await visit.change(
            lambda tx, act: issuers.create(tx, act, asked, may_look_up=_may_look_up(visit))
        )
    except (Invalid, Conflict) as failure:
        return await form(visit, failure)
    return visit.redirect(f"/console/issuers/{trusted_issuer.slug}", done="trusted_issuer_registered")


async def edit_form(visit: PageRequest, problem: Failure | None = None) -> Response:
    """Show the edit form with the stored values; after a problem, with the typed values."""

    def load(tx: Tx) -> tuple[TrustedIssuer, Users]:
        trusted_issuer = issuers.get(tx, visit.act, visit.request.path_params["trusted_issuer"])
        return trusted_issuer, bindings.users_of(tx, visit.act, trusted_issuer)

    trusted_issuer, users = await visit.read(load)
    posted = visit.request.method == "POST"
    typed = (
        TypedTrustedIssuer.read(visit.form, trusted_issuer.kind) if posted else TypedTrustedIssuer.of(trusted_issuer)
    )
    return _form(visit, typed, trusted_issuer, f"Edit {trusted_issuer.name}", problem, users)


async def edit(visit: PageRequest) -> Response:
    """Save the typed values, unless somebody else has changed the issuer since."""
    reference, read = visit.request.path_params["trusted_issuer"], visit.form.number("revision")
    trusted_issuer = await visit.read(lambda tx: issuers.get(tx, visit.act, reference))
    typed, anyway = TypedTrustedIssuer.read(visit.form, trusted_issuer.kind), visit.form.ticked("anyway")

    def work(tx: Tx, act: Act) -> TrustedIssuer:
        return bindings.edit_trusted_issuer(
            tx,
            act,
            reference,
            revision=read,
            changes=typed.changes,
            trust_domain=visit.console.settings.trust_domain,
            may_look_up=_may_look_up(visit),
        )

    try:
        if not anyway:
            apis = visit.console.cluster_apis
            await run_in_threadpool(require_answers, apis, trusted_issuer, revision=read, changes=typed.changes)
        edited = await visit.change(work)
    except (Invalid, Conflict, Outdated) as failure:
        return await edit_form(visit, failure)
    return visit.redirect(f"/console/issuers/{edited.slug}", done="saved" if edited.revision > read else "unchanged")


def _may_look_up(visit: PageRequest) -> bool:
    return visit.console.settings.credentials_dir is not None


def _form(
    visit: PageRequest,
    typed: TypedTrustedIssuer,
    trusted_issuer: TrustedIssuer | None,
    title: str,
    problem: Failure | None,
    users: Users | None = None,
) -> Response:
    posted = visit.request.method == "POST"
    # After a conflict the person has seen what changed: the next try counts from there.
    counts_anew = trusted_issuer is not None and (isinstance(problem, Outdated) or not posted)
    return visit.render(
        "issuers/form.html",
        title=title,
        problem=problem,
        typed=typed,
        trusted_issuer=trusted_issuer,
        users=users,
        stored=TypedTrustedIssuer.of(trusted_issuer) if trusted_issuer else None,
        presets=sorted(PRESETS),
        may_look_up=_may_look_up(visit),
        revision=trusted_issuer.revision
        if trusted_issuer and counts_anew
        else visit.form.number("revision")
        if trusted_issuer
        else 0,
    )
