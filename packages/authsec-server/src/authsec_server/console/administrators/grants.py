"""All delegations made by one administrator or admin key: list them, and revoke them together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.routing import BaseRoute

from authsec_server.accounts import admin_keys, administrators
from authsec_server.console.confirm import Confirmation, Question, once
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import impact
from authsec_server.delegations.grants import Grantor, grants_of, of_admin_key, of_administrator, revoke_grants_of
from authsec_server.delegations.resolve import resolve_all
from authsec_server.principal import Act, Role

LIST = ("Administrators", "/console/administrators")


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantsPage:
    """The administrator or admin key that delegated. `is_active` is true while this principal can authenticate.

    `disable_path` is the path of the page that disables the administrator or revokes the key.
    """

    grantor: Grantor
    name: str
    trail: Sequence[tuple[str, str]]
    is_active: bool
    disable_path: str
    disable_label: str


def routes(console: Console) -> list[BaseRoute]:
    """Return two routes: one for administrators, one for admin keys."""
    return [
        _revocation("/administrators/keys/{principal}/grants", _key).route(console),
        _revocation("/administrators/{principal}/grants", _person).route(console),
    ]


def _revocation(path: str, find: Callable[[Tx, Act, str], GrantsPage]) -> Confirmation[GrantsPage]:
    def look(tx: Tx, visit: PageRequest) -> Question:
        page, also = find(tx, visit.act, visit.named("principal")), _also_changed_since(visit)
        given, terms, now = grants_of(tx, visit.act, page.grantor), visit.console.terms, visit.act.now
        given = given.with_changed() if also else given
        return Question(
            name=page.name,
            trail=page.trail,
            ids={"principal": page.grantor.id},
            possible=bool(given.held),
            shown={
                "page": page,
                "held": resolve_all(tx, given.held, terms, now),
                "changed_since": resolve_all(tx, given.changed_since, terms, now),
                "also": also,
                "what": impact.of_many(tx, visit.act, given.held, terms),
            },
        )

    def revoke(tx: Tx, act: Act, visit: PageRequest) -> GrantsPage:
        page = find(tx, act, visit.named("principal"))
        revoke_grants_of(tx, act, page.grantor, visit.console.terms, also_changed_since=_also_changed_since(visit))
        return page

    return Confirmation(
        path=path,
        template="administrators/grants.html",
        heading="Revoke everything that {} delegated?",
        button="Revoke",
        least=Role.ADMIN,
        look=look,
        change=once(revoke),
        after=lambda visit, page: visit.redirect(page.trail[-1][1], done="grants_revoked"),
    )


def _also_changed_since(visit: PageRequest) -> bool:
    """Whether to include delegations that somebody else has changed since. The form keeps this query parameter."""
    return visit.query.ticked("also_changed_since")


def _person(tx: Tx, act: Act, reference: str) -> GrantsPage:
    found = administrators.get(tx, act, reference)
    home = f"/console/administrators/{found.id}"
    return GrantsPage(
        grantor=of_administrator(found),
        name=found.name,
        trail=[LIST, (found.name, home)],
        is_active=found.enabled,
        disable_path=f"{home}/disable",
        disable_label="Disable them",
    )


def _key(tx: Tx, act: Act, key_id: str) -> GrantsPage:
    found = admin_keys.get(tx, act, key_id)
    return GrantsPage(
        grantor=of_admin_key(found),
        name=found.name,
        trail=[LIST],
        is_active=found.refusal(act.now) is None,
        disable_path=f"/console/administrators/keys/{found.id}/revoke",
        disable_label="Revoke the key",
    )
