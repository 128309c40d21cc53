"""Register, edit, disable, enable and remove a trusted issuer. Fetch its keys, check its cluster, and bind proofs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.clients import bindings
from authsec_server.clients.bindings import Users
from authsec_server.console.confirm import Confirmation, Question, once, redirect_to
from authsec_server.console.edit_form import revision_of, saved, stored_meanwhile
from authsec_server.console.issuers.pages import detail
from authsec_server.console.issuers.typed import TypedTrustedIssuer
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import impact
from authsec_server.failures import Conflict, Failure, Invalid, Outdated, Unavailable
from authsec_server.issuers import service as issuers
from authsec_server.issuers.claims import PRESETS
from authsec_server.issuers.cluster_client import require_answers
from authsec_server.issuers.model import KeysUnavailable, LookupUnavailable, TrustedIssuer, TrustedIssuerKind
from authsec_server.principal import Act, Role


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of all changes."""
    return [
        console.page("/issuers/new", form, post=create, least=Role.ADMIN),
        console.page("/issuers/{trusted_issuer}/edit", edit_form, post=edit, least=Role.ADMIN),
        *(ending.route(console) for ending in CONFIRMATIONS),
        console.page("/issuers/{trusted_issuer}/refresh", post=refresh, least=Role.ADMIN),
        console.page("/issuers/{trusted_issuer}/check", post=check, least=Role.ADMIN),
        console.page("/issuers/{trusted_issuer}/bind", post=bind, least=Role.OPERATOR),
    ]


async def form(visit: PageRequest, problem: Failure | None = None) -> Response:
    """Show the choice of a kind of issuer. After the choice, show the form of that kind."""
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
    """Show the edit form with the stored values. After a problem, show the typed values instead."""

    def load(tx: Tx) -> tuple[TrustedIssuer, Users]:
        trusted_issuer = issuers.get(tx, visit.act, visit.named("trusted_issuer"))
        return trusted_issuer, bindings.users_of(tx, visit.act, trusted_issuer)

    trusted_issuer, users = await visit.read(load)
    posted = visit.posted
    typed = (
        TypedTrustedIssuer.read(visit.form, trusted_issuer.kind) if posted else TypedTrustedIssuer.of(trusted_issuer)
    )
    return _form(visit, typed, trusted_issuer, f"Edit {trusted_issuer.name}", problem, users)


async def edit(visit: PageRequest) -> Response:
    """Save the typed values. The edit fails if somebody else has changed the issuer since."""
    reference, read = visit.named("trusted_issuer"), visit.form.number("revision")
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
    return saved(visit, f"/console/issuers/{edited.slug}", edited, read)


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
    stored = TypedTrustedIssuer.of(trusted_issuer) if trusted_issuer else typed
    return visit.render(
        "issuers/form.html",
        title=title,
        problem=problem,
        typed=typed,
        trusted_issuer=trusted_issuer,
        users=users,
        known=stored_meanwhile(problem, stored.texts, typed.texts),
        presets=sorted(PRESETS),
        may_look_up=_may_look_up(visit),
        revision=revision_of(visit, trusted_issuer, problem) if trusted_issuer else 0,
    )


def _look(tx: Tx, visit: PageRequest) -> Question:
    trusted_issuer = issuers.get(tx, visit.act, visit.named("trusted_issuer"))
    home = f"/console/issuers/{trusted_issuer.slug}"
    return Question(
        name=trusted_issuer.name,
        trail=[("Trusted issuers", "/console/issuers"), (trusted_issuer.name, home)],
        ids={"trusted_issuer": trusted_issuer.slug},
        shown={
            "trusted_issuer": trusted_issuer,
            "users": bindings.users_of(tx, visit.act, trusted_issuer),
            "stops": impact.of_trusted_issuer(tx, visit.act, trusted_issuer.id),
        },
    )


def _enable(tx: Tx, act: Act, visit: PageRequest) -> object:
    domain = visit.console.settings.trust_domain
    return bindings.enable_trusted_issuer(tx, act, visit.named("trusted_issuer"), trust_domain=domain)


async def _remove(visit: PageRequest) -> None:
    """Remove the issuer with its proofs. Many proofs take several transactions; this function runs all of them."""
    reference, left = visit.named("trusted_issuer"), True
    while left:
        removed = await visit.change(
            lambda tx, act: bindings.remove_trusted_issuer(tx, act, reference, with_proofs=True)
        )
        left = removed.left > 0


_confirmation = partial(Confirmation, template="issuers/ending.html", look=_look, least=Role.ADMIN)
CONFIRMATIONS = (
    _confirmation(
        path="/issuers/{trusted_issuer}/disable",
        heading="Disable {}?",
        button="Disable",
        change=once(lambda tx, act, visit: bindings.disable_trusted_issuer(tx, act, visit.named("trusted_issuer"))),
        after=redirect_to("/console/issuers/{trusted_issuer}", done="trusted_issuer_disabled"),
    ),
    _confirmation(
        path="/issuers/{trusted_issuer}/enable",
        heading="Enable {}?",
        button="Enable",
        danger=False,
        change=once(_enable),
        after=redirect_to("/console/issuers/{trusted_issuer}", done="trusted_issuer_enabled"),
    ),
    _confirmation(
        path="/issuers/{trusted_issuer}/remove",
        heading="Remove {}?",
        button="Remove",
        change=_remove,
        after=redirect_to("/console/issuers", done="trusted_issuer_removed"),
    ),
)


async def refresh(visit: PageRequest) -> Response:
    """Fetch the issuer's keys now. The issuer's page shows the result."""
    return await _asked(visit, visit.console.key_sets.refresh)


async def check(visit: PageRequest) -> Response:
    """Query the issuer's cluster now. The issuer's page shows the result."""
    return await _asked(visit, visit.console.cluster_apis.check)


async def _asked(visit: PageRequest, ask: Callable[[TrustedIssuer], object]) -> Response:
    reference = visit.named("trusted_issuer")
    trusted_issuer = await visit.read(lambda tx: issuers.to_refresh(tx, visit.act, reference))
    try:
        await run_in_threadpool(ask, trusted_issuer)
    except (KeysUnavailable, LookupUnavailable) as error:
        raise Unavailable(error.sentence) from None
    return visit.redirect(f"/console/issuers/{trusted_issuer.slug}")


async def bind(visit: PageRequest) -> Response:
    """Bind the chosen proofs to this trusted issuer."""
    reference, chosen = visit.named("trusted_issuer"), visit.form.all("proof")
    domain = visit.console.settings.trust_domain
    if not chosen:
        return visit.redirect(f"/console/issuers/{reference}", done="unchanged")
    try:
        await visit.change(lambda tx, act: bindings.bind(tx, act, reference, chosen, trust_domain=domain))
    except (Invalid, Conflict) as failure:
        return await detail(visit, failure)
    return visit.redirect(f"/console/issuers/{reference}", done="proofs_bound")
