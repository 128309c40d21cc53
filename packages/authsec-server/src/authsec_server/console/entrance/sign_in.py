"""Sign in with e-mail and password, and sign out."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.accounts import administrators, sessions
from authsec_server.accounts.session_auth import cookie_name
from authsec_server.console.entrance.cookies import caller, drop, start_session
from authsec_server.console.guard import local_path
from authsec_server.console.site import Console, PageRequest, PublicRequest
from authsec_server.failures import Failure, Invalid, seconds_text
from authsec_server.web.errors import TooOften, Unauthenticated

HOME = "/console"


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of sign-in and sign-out."""
    return [
        console.open_page("/sign-in", show, post=enter),
        console.page("/sign-out", post=leave),
    ]


async def show(guest: PublicRequest, problem: Failure | None = None) -> Response:
    """Show the sign-in form, with a link to single sign-on if it is configured."""
    asked = guest.sent
    open_id = guest.console.open_id
    return guest.render(
        "entrance/sign_in.html",
        title="Sign in",
        problem=problem,
        email=asked.text("email"),
        going_on=local_path(asked.text("next"), HOME),
        label=open_id.label if open_id else "",
        ended="ended" in guest.request.query_params and problem is None,
        first=not await guest.console.site.read(administrators.has_any),
    )


async def enter(guest: PublicRequest) -> Response:
    """Verify the password and sign the person in."""
    email, password = guest.form.text("email"), guest.form.exact("password")
    try:
        new = await run_in_threadpool(guest.console.sign_in.by_password, email, password, caller(guest))
    except Unauthenticated as refused:
        return await show(guest, RefusedForm("password", refused.message))
    except TooOften as refused:
        wait = f"Try again in {seconds_text(refused.retry_after)}."
        return await show(guest, RefusedForm("password", refused.message, wait))
    return start_session(guest, new, local_path(guest.form.text("next"), HOME))


async def leave(visit: PageRequest) -> Response:
    """End this session and delete its cookie."""
    await visit.change(lambda tx, act: sessions.end(tx, act, act.principal.session_id))
    response = visit.redirect("/console/sign-in", done="signed_out")
    drop(response, visit.console, cookie_name(visit.console.settings.issuer))
    return response


class RefusedForm(Invalid):
    """A refused sign-in, shown at the form field.

    The message does not say whether the e-mail address or the password was wrong.
    """
