"""The page of the signed-in person's own account."""

from __future__ import annotations

from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.accounts import administrators, sessions
from authsec_server.accounts.model.administrators import Administrator
from authsec_server.accounts.model.sessions import Session
from authsec_server.console.confirm import Confirmation, Question, once, redirect_to
from authsec_server.console.sign_in import caller
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.failures import Failure, Invalid
from authsec_server.principal import PrincipalKind, Role
from authsec_server.web.errors import TooOften, Unauthenticated


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of the account page and its forms."""
    return [
        console.page("/account", show),
        console.page("/account/password", show, post=change_password),
        console.page("/account/sessions/{session}/end", post=end_session),
        END_OTHERS.route(console),
    ]


async def show(visit: PageRequest, problem: Failure | None = None) -> Response:
    """Show the person's account, the password form and the open sessions."""

    def load(tx: Tx) -> tuple[Administrator | None, list[Session]]:
        if visit.act.principal.kind is not PrincipalKind.ADMINISTRATOR:
            return None, []  # the local operator has no account and no sessions
        person = administrators.get(tx, visit.act, visit.act.principal.id)
        return person, sessions.own(tx, visit.act, terms=visit.console.session_terms)

    person, held = await visit.read(load)
    return visit.render(
        "account/show.html",
        title="Your account",
        problem=problem,
        person=person,
        sessions=held,
        terms=visit.console.session_terms,
    )


async def change_password(visit: PageRequest) -> Response:
    """Change the person's password after verifying the current one. All other sessions end."""
    form = visit.form
    try:
        if form.exact("again") != form.exact("new"):
            raise Invalid("again", "The two passwords differ.", "Type the same password twice.")
        work = partial(
            visit.console.sign_in.change_password,
            visit.act.principal,
            current=form.exact("current"),
            new=form.exact("new"),
            caller=caller(visit),
        )
        await run_in_threadpool(work)
    except Invalid as failure:
        field = "new" if failure.field == "password" else failure.field
        return await show(visit, Invalid(field, failure.message, failure.remedy))
    except Unauthenticated as failure:
        return await show(visit, Invalid("current", failure.message))
    except TooOften as failure:
        return await show(visit, Invalid("current", failure.message, "Try again later."))
    return visit.redirect("/console/account", done="password_changed")


async def end_session(visit: PageRequest) -> Response:
    """End one of the person's sessions."""
    await visit.change(lambda tx, act: sessions.end(tx, act, visit.named("session")))
    return visit.redirect("/console/account", done="session_ended")


def _look_at_others(tx: Tx, visit: PageRequest) -> Question:
    person = administrators.get(tx, visit.act, visit.act.principal.id)
    held = sessions.own(tx, visit.act, terms=visit.console.session_terms)
    others = [each for each in held if each.id != visit.act.principal.session_id]
    return Question(
        trail=[("Your account", "/console/account")],
        possible=bool(others),
        shown={"person": person, "others": others},
    )


END_OTHERS = Confirmation(
    path="/account/sessions/end-others",
    template="account/end_others.html",
    heading="End your other sessions?",
    button="End other sessions",
    least=Role.VIEWER,
    look=_look_at_others,
    change=once(lambda tx, act, _: sessions.end_others(tx, act)),
    after=redirect_to("/console/account", done="sessions_ended"),
)
