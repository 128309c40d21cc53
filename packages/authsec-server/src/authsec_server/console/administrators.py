"""Administrators: people, their sessions, the delegations that each of them made, and admin keys for programs.

An invitation and a password reset show a one-time link, once. A new admin key is shown once, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.accounts import admin_keys, administrators, sessions
from authsec_server.accounts.model.administrators import Administrator, NewLink, read_email
from authsec_server.audit import service as audit
from authsec_server.console.activity import text
from authsec_server.console.client_status import statuses_of
from authsec_server.console.confirm import Confirmation, Question, already_is, once, redirect_to
from authsec_server.console.forms import stored_meanwhile
from authsec_server.console.site import Console, Page, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import impact
from authsec_server.delegations.grants import Grantor, grants_of, of_admin_key, of_administrator, revoke_grants_of
from authsec_server.delegations.resolve import resolve_all
from authsec_server.failures import Conflict, Failure, Invalid, Outdated
from authsec_server.principal import Act, PrincipalKind, Role

PAGE = 50
PATH = "/administrators/{administrator}"
KEYS = "/administrators/keys"
LIST = ("Administrators", "/console/administrators")


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of administrators. Fixed paths come before paths with an id."""
    return [
        console.page(f"{KEYS}/new", admin_key_form, post=create_admin_key, least=Role.ADMIN),
        REVOKE.route(console),
        _revocation(f"{KEYS}/{{principal}}/grants", _key).route(console),
        _revocation("/administrators/{principal}/grants", _person).route(console),
        console.page("/administrators/invite", invitation_form, post=invite, least=Role.ADMIN),
        RESET.route(console),
        console.page("/administrators", listing),
        console.page(PATH, detail, post=edit),
        DISABLE.route(console),
        console.page(
            f"{PATH}/enable", post=set_enabled(administrators.enable, "administrator_enabled"), least=Role.ADMIN
        ),
        END_SESSIONS.route(console),
    ]


async def listing(visit: PageRequest) -> Response:
    """List the administrators and the admin keys."""
    after = visit.query.text("cursor")
    (people, following), (keys, more_keys) = await visit.read(
        lambda tx: (
            administrators.page(tx, visit.act, after=after, limit=PAGE),
            admin_keys.page(tx, visit.act, limit=200),
        )
    )
    return visit.render(
        "administrators/list.html",
        title="Administrators",
        people=people,
        following=following,
        cursor=after,
        keys=keys,
        more_keys=more_keys is not None,
    )


async def detail(visit: PageRequest, problem: Failure | None = None) -> Response:
    """Show one administrator."""

    def load(tx: Tx) -> dict[str, Any]:
        person = administrators.get(tx, visit.act, visit.named("administrator"))
        mine = person.id == visit.act.principal.id
        see = visit.may("admin") or mine
        terms = visit.console.session_terms
        return {
            "person": person,
            "mine": mine,
            "sessions": sessions.of(tx, visit.act, person.id, terms=terms) if see else [],
            "acts": audit.principal_acts(tx, visit.act.principal, PrincipalKind.ADMINISTRATOR, person.id),
        }

    found = await visit.read(load)
    person = found["person"]
    stored = {"email": person.email, "name": person.name, "role": person.role.name.lower()}
    typed = {name: visit.form.text(name) or value for name, value in stored.items()}
    return visit.render(
        "administrators/detail.html",
        title=person.name,
        problem=problem,
        typed=typed,
        known=stored_meanwhile(problem, stored, typed),
        revision=visit.revision_of(person, problem),
        stories=text,
        **found,
    )


async def edit(visit: PageRequest) -> Response:
    """Change an administrator's email, name or role."""
    reference, form = visit.named("administrator"), visit.form

    def work(tx: Tx, act: Act) -> Administrator:
        read = form.number("revision")
        person = administrators.rename(tx, act, reference, form.text("name"), revision=read)
        email = form.text("email")
        if email and (
            person.revision == read or read_email(email) != person.email
        ):  # else the new name's event is enough
            person = administrators.change_email(tx, act, reference, email, revision=person.revision)
        role = Role.__members__.get(form.text("role").upper())
        if role is None:
            raise Invalid("role", "Choose a role from the list.")
        if role is person.role and (person.has_identity or person.revision > read):
            return person  # the OpenID provider sets the role, or the event of another field covers the row
        return administrators.change_role(tx, act, reference, role, revision=person.revision)

    try:
        person = await visit.change(work)
    except (Invalid, Conflict, Outdated) as failure:
        return await detail(visit, failure)
    return visit.redirect(f"/console/administrators/{person.id}", done="saved")


def set_enabled(verb: Callable[[Tx, Act, str], object], done: str) -> Page:
    """Return the handler of a button on an administrator's page.

    `verb` makes the change. `done` is the key of the notice after the change.
    """

    async def turn(visit: PageRequest) -> Response:
        reference = visit.named("administrator")
        try:
            await visit.change(lambda tx, act: verb(tx, act, reference))
        except Conflict as failure:
            return await detail(visit, failure)
        return visit.redirect(f"/console/administrators/{reference}", done=done)

    return turn


def about(person: Administrator, *, possible: bool = True, **shown: object) -> Question:
    """Return the confirmation question for a change of this administrator."""
    return Question(
        name=person.name,
        trail=[("Administrators", "/console/administrators"), (person.name, f"/console/administrators/{person.id}")],
        ids={"administrator": person.id},
        possible=possible,
        shown={"person": person, **shown},
    )


def _look(tx: Tx, visit: PageRequest) -> Question:
    person = administrators.get(tx, visit.act, visit.named("administrator"))
    return about(person, sessions=_sessions(tx, visit, person))


def _look_for_another(tx: Tx, visit: PageRequest) -> Question:
    """Look at the administrator. If nobody else with the role admin can sign in, the change is not possible."""
    person = administrators.get(tx, visit.act, visit.named("administrator"))
    possible = not administrators.is_last_admin(tx, person)
    return about(person, possible=possible, sessions=_sessions(tx, visit, person))


def _sessions(tx: Tx, visit: PageRequest, person: Administrator) -> int:
    return len(sessions.of(tx, visit.act, person.id, terms=visit.console.session_terms))


def _already_disabled(tx: Tx, visit: PageRequest) -> str:
    person = administrators.get(tx, visit.act, visit.named("administrator"))
    return already_is(f"{person.name} was already disabled", person.disabled_at) if person.disabled_at else ""


def _already_signed_out(tx: Tx, visit: PageRequest) -> str:
    asked = _look(tx, visit)
    return "" if asked.shown["sessions"] else already_is(f"{asked.name} has no sessions")


DISABLE = Confirmation(
    path=f"{PATH}/disable",
    template="administrators/disable.html",
    heading="Disable {}?",
    button="Disable",
    least=Role.ADMIN,
    look=_look_for_another,
    already=_already_disabled,
    change=once(lambda tx, act, visit: administrators.disable(tx, act, visit.named("administrator"))),
    after=redirect_to(f"/console{PATH}", done="administrator_disabled"),
)


END_SESSIONS = Confirmation(
    path=f"{PATH}/end-sessions",
    template="administrators/end_sessions.html",
    heading="End all sessions of {}?",
    button="End all sessions",
    least=Role.ADMIN,
    look=_look,
    already=_already_signed_out,
    repeats=False,
    change=once(lambda tx, act, visit: sessions.end_all(tx, act, visit.named("administrator"))),
    after=redirect_to(f"/console{PATH}", done="sessions_ended"),
)


async def invitation_form(visit: PageRequest, problem: Failure | None = None) -> Response:
    """Show the invitation form."""
    return visit.render(
        "administrators/invite.html",
        title="Invite administrator",
        problem=problem,
        email=visit.form.text("email"),
        name=visit.form.text("name"),
        role=visit.form.text("role", "operator"),
    )


async def invite(visit: PageRequest) -> Response:
    """Invite the administrator and show the one-time link.

    The person who invites must send the link to the new administrator.
    """
    typed = visit.form
    try:
        role = Role.__members__.get(typed.text("role").upper())
        if role is None:
            raise Invalid("role", "Choose a role from the list.")
        person, link = await visit.change(
            lambda tx, act: administrators.invite(
                tx, act, email=typed.text("email"), name=typed.text("name"), role=role
            )
        )
    except (Invalid, Conflict) as failure:
        return await invitation_form(visit, failure)
    return _shown(visit, person, link, "Invitation")


def _shown(visit: PageRequest, person: Administrator, link: NewLink, title: str) -> Response:
    address = visit.console.settings.console_address + link.path
    return visit.render("administrators/link.html", title=title, person=person, link=link.link, address=address)


RESET = Confirmation(
    path="/administrators/{administrator}/reset",
    template="administrators/reset.html",
    heading="Reset password",
    button="Reset password",
    least=Role.ADMIN,
    look=_look_for_another,
    change=once(lambda tx, act, visit: administrators.reset(tx, act, visit.named("administrator"))),
    after=lambda visit, made: _shown(visit, *made, "New password"),
)
"""The old password and all sessions end; a one-time link sets the new password."""


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


def _revocation(path: str, find: Callable[[Tx, Act, str], GrantsPage]) -> Confirmation[GrantsPage]:
    def look(tx: Tx, visit: PageRequest) -> Question:
        page, also = find(tx, visit.act, visit.named("principal")), _also_changed_since(visit)
        given, terms, now = grants_of(tx, visit.act, page.grantor), visit.console.terms, visit.act.now
        given = given.with_changed() if also else given
        held, changed = (resolve_all(tx, each, terms, now) for each in (given.held, given.changed_since))
        return Question(
            name=page.name,
            trail=page.trail,
            ids={"principal": page.grantor.id},
            heading="" if given.held else f"Trust delegations of {page.name}",
            possible=bool(given.held),
            shown={
                "page": page,
                "held": held,
                "changed_since": changed,
                "statuses": statuses_of(tx, [each.client for each in (*held, *changed)], now),
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
        disable_label="Disable the administrator",
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


async def admin_key_form(visit: PageRequest, problem: Failure | None = None) -> Response:
    """Show the form for a new admin key."""
    return visit.render(
        "administrators/new_key.html",
        title="Create admin key",
        problem=problem,
        name=visit.form.text("name"),
        role=visit.form.text("role", "operator"),
        days=visit.form.text("days", "90"),
    )


async def create_admin_key(visit: PageRequest) -> Response:
    """Create the admin key and show it once."""
    typed = visit.form
    try:
        role = Role.__members__.get(typed.text("role").upper())
        if role is None:
            raise Invalid("role", "Choose a role from the list.")
        life = timedelta(days=min(typed.number("days"), 100_000)) if typed.text("days") else None
        key, text = await visit.change(
            lambda tx, act: admin_keys.create(tx, act, name=typed.text("name"), role=role, life=life)
        )
    except (Invalid, Conflict) as failure:
        if isinstance(failure, Invalid) and failure.field == "expires_in":
            failure = Invalid(
                "days", "An admin key can be valid for 1 to 3650 days.", "Leave the field empty for no expiry."
            )
        return await admin_key_form(visit, failure)
    return visit.render("administrators/key.html", title="Admin key", key=key, text=text)


def _look_at_admin_key(tx: Tx, visit: PageRequest) -> Question:
    key = admin_keys.get(tx, visit.act, visit.named("key"))
    return Question(name=key.name, trail=[LIST], ids={"key": key.id}, shown={"key": key})


def _already_revoked(tx: Tx, visit: PageRequest) -> str:
    key = admin_keys.get(tx, visit.act, visit.named("key"))
    return already_is(f"The admin key {key.name} was already revoked", key.revoked_at) if key.revoked_at else ""


REVOKE = Confirmation(
    path=f"{KEYS}/{{key}}/revoke",
    template="administrators/revoke_key.html",
    heading='Revoke the admin key "{}"?',
    button="Revoke",
    least=Role.ADMIN,
    look=_look_at_admin_key,
    already=_already_revoked,
    change=once(lambda tx, act, visit: admin_keys.revoke(tx, act, visit.named("key"))),
    after=redirect_to("/console/administrators", done="admin_key_revoked"),
)
