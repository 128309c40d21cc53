"""Disable, enable or revoke a trust delegation. A page shows the impact and asks for confirmation first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.console.site import Console, Page, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import consequences
from authsec_server.delegations import service as delegations
from authsec_server.delegations.consequences import Consequences
from authsec_server.delegations.model import Standing, Terms
from authsec_server.principal import Act, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegationTurn:
    """One of the three changes: its question, button label, notice and service function."""

    key: str
    question: str
    button: str
    done: str
    verb: Callable[[Tx, Act, str, Terms], Standing]


TURNS = (
    DelegationTurn(
        key="disable",
        question="Disable this trust delegation?",
        button="Disable",
        done="delegation_disabled",
        verb=delegations.disable,
    ),
    DelegationTurn(
        key="enable",
        question="Enable this trust delegation?",
        button="Enable",
        done="delegation_enabled",
        verb=delegations.enable,
    ),
    DelegationTurn(
        key="revoke",
        question="Revoke this trust delegation for good?",
        button="Revoke for good",
        done="delegation_revoked",
        verb=delegations.revoke,
    ),
)


def routes(console: Console) -> list[BaseRoute]:
    """Return one route for each change."""
    return [
        console.page(f"/delegations/{{delegation}}/{turn.key}", _asking(turn), post=_doing(turn), least=Role.OPERATOR)
        for turn in TURNS
    ]


def _asking(turn: DelegationTurn) -> Page:
    async def ask(visit: PageRequest) -> Response:
        def look(tx: Tx) -> tuple[Standing, Consequences]:
            found = visit.request.path_params["delegation"], visit.console.terms
            return delegations.get(tx, visit.act, *found), consequences.of_delegation(tx, visit.act, *found)

        standing, what = await visit.read(look)
        return visit.render(
            "delegations/turn.html",
            title=turn.question,
            turn=turn,
            standing=standing,
            what=what,
            terms=visit.console.terms,
        )

    return ask


def _doing(turn: DelegationTurn) -> Page:
    async def do(visit: PageRequest) -> Response:
        delegation_id = visit.request.path_params["delegation"]
        await visit.change(lambda tx, act: turn.verb(tx, act, delegation_id, visit.console.terms))
        return visit.redirect(f"/console/delegations/{delegation_id}", done=turn.done)

    return do
