"""What is done to a trust source: its keys fetched, waiting proofs bound, off, on and away; each says what it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.clients import bindings
from authsec_server.clients.bindings import Users
from authsec_server.console.site import Console, PageRequest
from authsec_server.console.sources.pages import detail
from authsec_server.db import Tx
from authsec_server.delegations import consequences
from authsec_server.delegations.consequences import Consequences
from authsec_server.failures import Conflict, Invalid, Unavailable
from authsec_server.principal import Act, Role
from authsec_server.sources import service as sources
from authsec_server.sources.model import KeysUnavailable, LookupUnavailable, TrustSource


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTurn:
    """One of the acts that are asked about first. `key` is its address, `done` the notice afterwards; `change` gets the
    trust domain of the clients' SPIFFE IDs last.

    `again` says of what one change brought about whether it takes another: more than one may hold are not left half.
    """

    key: str
    heading: str
    button: str
    done: str
    change: Callable[[Tx, Act, str, str], Any]
    again: Callable[[Any], bool] = lambda _: False


TURNS = (
    SourceTurn(
        key="disable",
        heading="Disable {}?",
        button="Disable",
        done="source_disabled",
        change=lambda tx, act, source, _: bindings.disable_source(tx, act, source),
    ),
    SourceTurn(
        key="enable",
        heading="Enable {}?",
        button="Enable",
        done="source_enabled",
        change=lambda tx, act, source, domain: bindings.enable_source(tx, act, source, trust_domain=domain),
    ),
    SourceTurn(
        key="remove",
        heading="Remove {}?",
        button="Remove",
        done="source_removed",
        change=lambda tx, act, source, _: bindings.remove_source(tx, act, source, with_proofs=True),
        again=lambda removed: removed.left > 0,
    ),
)


def routes(console: Console) -> list[BaseRoute]:
    """The pages and buttons."""
    asked = [
        console.page(f"/sources/{{source}}/{turn.key}", partial(ask, turn), post=partial(do, turn), least=Role.ADMIN)
        for turn in TURNS
    ]
    return [
        *asked,
        console.page("/sources/{source}/refresh", post=refresh, least=Role.ADMIN),
        console.page("/sources/{source}/check", post=check, least=Role.ADMIN),
        console.page("/sources/{source}/bind", post=bind, least=Role.OPERATOR),
    ]


async def ask(turn: SourceTurn, visit: PageRequest) -> Response:
    """What it brings about."""

    def load(tx: Tx) -> tuple[TrustSource, Users, Consequences]:
        source = sources.get(tx, visit.act, visit.request.path_params["source"])
        return source, bindings.users_of(tx, visit.act, source), consequences.of_source(tx, visit.act, source.id)

    source, users, stops = await visit.read(load)
    title = turn.heading.format(source.name)
    return visit.render("sources/turn.html", title=title, turn=turn, source=source, users=users, stops=stops)


async def do(turn: SourceTurn, visit: PageRequest) -> Response:
    """Do it."""
    reference, domain = visit.request.path_params["source"], visit.console.settings.trust_domain
    while turn.again(await visit.change(lambda tx, act: turn.change(tx, act, reference, domain))):
        pass
    gone = turn.key == "remove"
    return visit.redirect("/console/sources" if gone else f"/console/sources/{reference}", done=turn.done)


async def refresh(visit: PageRequest) -> Response:
    """Fetch its keys now. Whether that worked, the page shows."""
    return await _asked(visit, visit.console.key_sets.refresh)


async def check(visit: PageRequest) -> Response:
    """Ask its cluster now. How that went, the page shows."""
    return await _asked(visit, visit.console.cluster_apis.check)


async def _asked(visit: PageRequest, ask: Callable[[TrustSource], object]) -> Response:
    reference = visit.request.path_params["source"]
    source = await visit.read(lambda tx: sources.to_refresh(tx, visit.act, reference))
    try:
        await run_in_threadpool(ask, source)
    except (KeysUnavailable, LookupUnavailable) as error:
        raise Unavailable(error.sentence) from None
    return visit.redirect(f"/console/sources/{source.slug}")


async def bind(visit: PageRequest) -> Response:
    """Have the chosen proofs rest on it from now on."""
    reference, chosen = visit.request.path_params["source"], visit.form.all("proof")
    domain = visit.console.settings.trust_domain
    if not chosen:
        return visit.redirect(f"/console/sources/{reference}", done="unchanged")
    try:
        await visit.change(lambda tx, act: bindings.bind(tx, act, reference, chosen, trust_domain=domain))
    except (Invalid, Conflict) as failure:
        return await detail(visit, failure)
    return visit.redirect(f"/console/sources/{reference}", done="proofs_bound")
