"""Disable, enable or delete a client, or revoke its tokens. A page shows the impact; a POST makes the change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.clients import service as clients
from authsec_server.clients.model import Client
from authsec_server.console.clients.found import found, home
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import consequences, search, service
from authsec_server.delegations.consequences import Consequences
from authsec_server.delegations.effective import Effective, effective
from authsec_server.delegations.model import Standing, Terms
from authsec_server.principal import Act, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class EndingPage:
    """One of these changes. `key` is its path segment and its name in the template, `done` the key of the notice."""

    key: str
    heading: str
    button: str
    done: str
    change: Callable[[Tx, Act, str, Terms], Client]


ENDINGS = (
    EndingPage(
        key="disable",
        heading="Disable {}?",
        button="Disable",
        done="client_disabled",
        change=lambda tx, act, client_id, _: clients.disable(tx, act, client_id),
    ),
    EndingPage(
        key="enable",
        heading="Enable {}?",
        button="Enable",
        done="client_enabled",
        change=lambda tx, act, client_id, _: clients.enable(tx, act, client_id),
    ),
    EndingPage(
        key="revoke",
        heading="Revoke the tokens of {}?",
        button="Revoke tokens",
        done="client_tokens_revoked",
        change=lambda tx, act, client_id, _: clients.revoke_tokens(tx, act, client_id),
    ),
    EndingPage(
        key="delete", heading="Delete {}?", button="Delete", done="client_deleted", change=service.delete_client
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stake:
    """The impact of the change, read from one snapshot."""

    client: Client
    stops: Consequences
    may: list[Effective]
    delegations: list[Standing]


def routes(console: Console) -> list[BaseRoute]:
    """Return one route for each change."""
    return [
        console.page(
            f"/clients/{{client}}/{ending.key}", partial(ask, ending), post=partial(do, ending), least=Role.OPERATOR
        )
        for ending in ENDINGS
    ]


async def ask(ending: EndingPage, visit: PageRequest) -> Response:
    """Show the impact: what stops, and until when tokens can still be used. Ask for confirmation."""
    stake = await visit.read(lambda tx: _stake(tx, visit))
    return visit.render(
        "clients/ending.html",
        title=ending.heading.format(stake.client.name),
        ending=ending,
        stake=stake,
        client=stake.client,
    )


async def do(ending: EndingPage, visit: PageRequest) -> Response:
    """Make the change."""
    asked, terms = visit.request.path_params["client"], visit.console.terms
    client = await visit.change(lambda tx, act: ending.change(tx, act, asked, terms))
    return visit.redirect("/console/clients" if ending.key == "delete" else home(client), done=ending.done)


def _stake(tx: Tx, visit: PageRequest) -> Stake:
    client = found(tx, visit)
    act, terms = visit.act, visit.console.terms
    return Stake(
        client=client,
        stops=consequences.of_client(tx, act, client.id, terms),
        may=effective(tx, act, client.id, terms),
        delegations=search.of_client(tx, act, client.id, terms),
    )
