"""All delegations made by one administrator or admin key: list them, and revoke them together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.routing import BaseRoute

from authsec_server.accounts import admin_keys, administrators
from authsec_server.console.confirm import Confirmation, Question, once
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import consequences
from authsec_server.delegations.grants import Hand, given_by, of_admin_key, of_administrator, revoke_given_by
from authsec_server.delegations.resolve import standings
from authsec_server.principal import Act, Role

LIST = ("Administrators", "/console/administrators")


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """The administrator or admin key that delegated. `stands` is true while this principal can authenticate.

    `stop` is the path of the page that disables the administrator or revokes the key.
    """

    hand: Hand
    name: str
    trail: Sequence[tuple[str, str]]
    stands: bool
    stop: str
    stop_label: str


def routes(console: Console) -> list[BaseRoute]:
    """Return two routes: one for administrators, one for admin keys."""
    return [
        _revocation("/administrators/keys/{whose}/grants", _key).route(console),
        _revocation("/administrators/{whose}/grants", _person).route(console),
    ]


def _revocation(path: str, find: Callable[[Tx, Act, str], Whose]) -> Confirmation[Whose]:
    def look(tx: Tx, visit: PageRequest) -> Question:
        whose, also = find(tx, visit.act, visit.named("whose")), _also_changed_since(visit)
        given, terms, now = given_by(tx, visit.act, whose.hand), visit.console.terms, visit.act.now
        given = given.with_changed() if also else given
        return Question(
            name=whose.name,
            trail=whose.trail,
            ids={"whose": whose.hand.id},
            possible=bool(given.held),
            shown={
                "whose": whose,
                "held": standings(tx, given.held, terms, now),
                "changed_since": standings(tx, given.changed_since, terms, now),
                "also": also,
                "what": consequences.of_many(tx, visit.act, given.held, terms),
            },
        )

    def revoke(tx: Tx, act: Act, visit: PageRequest) -> Whose:
        whose = find(tx, act, visit.named("whose"))
        revoke_given_by(tx, act, whose.hand, visit.console.terms, also_changed_since=_also_changed_since(visit))
        return whose

    return Confirmation(
        path=path,
        template="administrators/grants.html",
        heading="Revoke everything that {} delegated?",
        button="Revoke",
        least=Role.ADMIN,
        look=look,
        change=once(revoke),
        after=lambda visit, whose: visit.redirect(whose.trail[-1][1], done="grants_revoked"),
    )


def _also_changed_since(visit: PageRequest) -> bool:
    """Whether to include delegations that somebody else has changed since. The form keeps this query parameter."""
    return visit.query.ticked("also_changed_since")


def _person(tx: Tx, act: Act, reference: str) -> Whose:
    found = administrators.get(tx, act, reference)
    home = f"/console/administrators/{found.id}"
    return Whose(
        hand=of_administrator(found),
        name=found.name,
        trail=[LIST, (found.name, home)],
        stands=found.enabled,
        stop=f"{home}/disable",
        stop_label="Disable them",
    )


def _key(tx: Tx, act: Act, key_id: str) -> Whose:
    found = admin_keys.get(tx, act, key_id)
    return Whose(
        hand=of_admin_key(found),
        name=found.name,
        trail=[LIST],
        stands=found.refusal(act.now) is None,
        stop=f"/console/administrators/keys/{found.id}/revoke",
        stop_label="Revoke the key",
    )
