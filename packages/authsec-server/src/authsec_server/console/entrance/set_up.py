"""The page of one-time links: for the first administrator, an invitation, a new password, or sign-in.

Opening the page does not use up the link.
"""

from __future__ import annotations

from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.accounts.model import LinkPurpose, LinkState, NewSession
from authsec_server.console.entrance.cookies import caller, start_session
from authsec_server.console.site import Console, PublicRequest
from authsec_server.failures import Conflict, Failure, Invalid

TITLES = {
    LinkPurpose.FIRST_ADMINISTRATOR: "Set up AuthSec",
    LinkPurpose.SET_PASSWORD: "Choose a password",
    LinkPurpose.SIGN_IN: "Sign in",
}


def routes(console: Console) -> list[BaseRoute]:
    """Return the route of one-time links."""
    return [console.open_page("/set-up", show, post=use)]


async def show(guest: PublicRequest, problem: Failure | None = None) -> Response:
    """Show the form of the link. For an invalid link, the page says why it is invalid and how to get another link."""
    form = guest.sent
    state: LinkState = await run_in_threadpool(guest.console.sign_in.find_link, form.text("code"))
    if not state.open or state.purpose is None:
        return guest.render(
            "entrance/dead_link.html", title="This link does not work", status=410, link_status=state.status
        )
    return guest.render(
        "entrance/set_up.html",
        title=TITLES[state.purpose],
        problem=problem,
        code=form.text("code"),
        link=state,
        purpose=state.purpose.value,
        email=form.text("email"),
        name=form.text("name"),
    )


async def use(guest: PublicRequest) -> Response:
    """Use the link up and sign the person in."""
    state: LinkState = await run_in_threadpool(guest.console.sign_in.find_link, guest.form.text("code"))
    try:
        new = await run_in_threadpool(partial(_enter, guest, state))
    except (Invalid, Conflict) as failure:
        return await show(guest, failure)
    return start_session(guest, new, "/console", done="welcome")


def _enter(guest: PublicRequest, state: LinkState) -> NewSession:
    form, sign_in = guest.form, guest.console.sign_in
    code = form.text("code")
    if state.purpose is LinkPurpose.SIGN_IN:
        return sign_in.by_link(code, caller(guest))
    password = form.exact("password")
    if form.exact("again") != password:
        raise Invalid("again", "The two passwords differ.", "Type the same password twice.")
    if state.purpose is LinkPurpose.SET_PASSWORD:
        return sign_in.set_password(code, password=password, caller=caller(guest))
    return sign_in.set_up_first(
        code, email=form.text("email"), name=form.text("name"), password=password, caller=caller(guest)
    )
