"""Registering a trust source and editing it."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.clients import bindings
from authsec_server.clients.bindings import Users
from authsec_server.console.site import Console, PageRequest
from authsec_server.console.sources.typed import TypedSource
from authsec_server.db import Tx
from authsec_server.failures import Conflict, Failure, Invalid, Outdated
from authsec_server.principal import Act, Role
from authsec_server.sources import service as sources
from authsec_server.sources.claims import PRESETS
from authsec_server.sources.cluster_client import require_answers
from authsec_server.sources.model import SourceKind, TrustSource


def routes(console: Console) -> list[BaseRoute]:
    """The pages."""
    return [
        console.page("/sources/new", form, post=create, least=Role.ADMIN),
        console.page("/sources/{source}/edit", edit_form, post=edit, least=Role.ADMIN),
    ]


async def form(visit: PageRequest, problem: Failure | None = None) -> Response:
    """Which kind of source; once that is chosen, what is to be known of it."""
    kind = visit.form.text("kind") or visit.query.text("kind")
    if kind not in set(SourceKind):
        return visit.render("sources/kinds.html", title="New trust source", kinds=list(SourceKind), problem=problem)
    return _form(visit, TypedSource.read(visit.form, kind), None, f"New {SourceKind(kind).shown}", problem)


async def create(visit: PageRequest) -> Response:
    """Register it."""
    typed = TypedSource.read(visit.form, visit.form.text("kind"))
    try:
        asked = typed.asked
        source = await visit.change(lambda tx, act: sources.create(tx, act, asked, may_look_up=_may_look_up(visit)))
    except (Invalid, Conflict) as failure:
        return await form(visit, failure)
    return visit.redirect(f"/console/sources/{source.slug}", done="source_registered")


async def edit_form(visit: PageRequest, problem: Failure | None = None) -> Response:
    """What is stored, to be changed; after a problem, what was typed."""

    def load(tx: Tx) -> tuple[TrustSource, Users]:
        source = sources.get(tx, visit.act, visit.request.path_params["source"])
        return source, bindings.users_of(tx, visit.act, source)

    source, users = await visit.read(load)
    posted = visit.request.method == "POST"
    typed = TypedSource.read(visit.form, source.kind) if posted else TypedSource.of(source)
    return _form(visit, typed, source, f"Edit {source.name}", problem, users)


async def edit(visit: PageRequest) -> Response:
    """Store what was typed, unless somebody else was first."""
    reference, read = visit.request.path_params["source"], visit.form.number("revision")
    source = await visit.read(lambda tx: sources.get(tx, visit.act, reference))
    typed, anyway = TypedSource.read(visit.form, source.kind), visit.form.ticked("anyway")

    def work(tx: Tx, act: Act) -> TrustSource:
        return bindings.edit_source(
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
            await run_in_threadpool(require_answers, apis, source, revision=read, changes=typed.changes)
        edited = await visit.change(work)
    except (Invalid, Conflict, Outdated) as failure:
        return await edit_form(visit, failure)
    return visit.redirect(f"/console/sources/{edited.slug}", done="saved" if edited.revision > read else "unchanged")


def _may_look_up(visit: PageRequest) -> bool:
    return visit.console.settings.credentials_dir is not None


def _form(
    visit: PageRequest,
    typed: TypedSource,
    source: TrustSource | None,
    title: str,
    problem: Failure | None,
    users: Users | None = None,
) -> Response:
    posted = visit.request.method == "POST"
    # After a conflict the person has seen what changed: the next try counts from there.
    counts_anew = source is not None and (isinstance(problem, Outdated) or not posted)
    return visit.render(
        "sources/form.html",
        title=title,
        problem=problem,
        typed=typed,
        source=source,
        users=users,
        stored=TypedSource.of(source) if source else None,
        presets=sorted(PRESETS),
        may_look_up=_may_look_up(visit),
        revision=source.revision if source and counts_anew else visit.form.number("revision") if source else 0,
    )
