"""All delegations made by one administrator or admin key: list them, and revoke them together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.accounts import admin_keys, administrators
from authsec_server.console.forms import query_of
from authsec_server.console.site import Console, Page, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import consequences
from authsec_server.delegations.consequences import Consequences
from authsec_server.delegations.grants import Hand, given_by, of_admin_key, of_administrator, revoke_given_by
from authsec_server.delegations.model import Standing
from authsec_server.delegations.resolve import standings
from authsec_server.principal import Act, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """The administrator or admin key that delegated. `stands` is true while it can still sign in.

    `stop` is the path of the page that disables the administrator or revokes the key.
    """

    hand: Hand
    name: str
    home: str
    stands: bool
    stop: str
    stop_label: str


Found = Callable[[Tx, Act, str], Whose]


def routes(console: Console) -> list[BaseRoute]:
    """Return two routes: one for administrators, one for admin keys."""
    return [
        console.page(f"/administrators/{path}/grants", _asking(find), post=_revoking(find), least=Role.ADMIN)
        for path, find in (("keys/{whose}", _key), ("{whose}", _person))
    ]


def _asking(find: Found) -> Page:
    async def ask(visit: PageRequest) -> Response:
        def look(tx: Tx) -> tuple[Whose, list[Standing], list[Standing], Consequences]:
            its = find(tx, visit.act, visit.request.path_params["whose"])
            given, terms, now = given_by(tx, visit.act, its.hand), visit.console.terms, visit.act.now
            given = given.with_changed() if _also_changed_since(visit) else given
            stops = consequences.of_many(tx, visit.act, given.held, terms)
            return its, standings(tx, given.held, terms, now), standings(tx, given.changed_since, terms, now), stops

        its, held, changed_since, what = await visit.read(look)
        return visit.render(
            "administrators/grants.html",
            title=f"Revoke all that {its.name} delegated?",
            whose=its.name,
            home=its.home,
            stands=its.stands,
            stop=its.stop,
            stop_label=its.stop_label,
            held=held,
            changed_since=changed_since,
            also=_also_changed_since(visit),
            what=what,
            by=f"{its.hand.kind.value}:{its.hand.id}",
        )

    return ask


def _revoking(find: Found) -> Page:
    async def revoke(visit: PageRequest) -> Response:
        def work(tx: Tx, act: Act) -> Whose:
            its = find(tx, act, visit.request.path_params["whose"])
            also = _also_changed_since(visit)
            revoke_given_by(tx, act, its.hand, visit.console.terms, also_changed_since=also)
            return its

        its = await visit.change(work)
        return visit.redirect(its.home, done="grants_revoked")

    return revoke


def _also_changed_since(visit: PageRequest) -> bool:
    """Whether to include delegations that others changed later. The form keeps this query parameter."""
    return query_of(visit.request).ticked("also_changed_since")


def _person(tx: Tx, act: Act, reference: str) -> Whose:
    found = administrators.get(tx, act, reference)
    home = f"/console/administrators/{found.id}"
    return Whose(
        hand=of_administrator(found),
        name=found.name,
        home=home,
        stands=found.enabled,
        stop=f"{home}/disable",
        stop_label="Disable them",
    )


def _key(tx: Tx, act: Act, key_id: str) -> Whose:
    found = admin_keys.get(tx, act, key_id)
    return Whose(
        hand=of_admin_key(found),
        name=found.name,
        home="/console/administrators",
        stands=found.refusal(act.now) is None,
        stop=f"/console/administrators/keys/{found.id}/revoke",
        stop_label="Revoke the key",
    )
