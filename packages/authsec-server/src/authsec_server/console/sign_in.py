"""Sign-in by password, by one-time link and by single sign-on; sign-out; the cookies of all of them (RFC 6265bis).

Opening the page of a one-time link does not use up the link. Single sign-on starts with a link, not a form: the
policy `form-action 'self'` blocks a form that leads to the provider.
"""

from __future__ import annotations

from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from authsec_server.accounts import administrators, sessions
from authsec_server.accounts.authentication import caller_of, cookie_name
from authsec_server.accounts.model.administrators import LinkPurpose, LinkState
from authsec_server.accounts.model.second_factor import STEP_LIFE
from authsec_server.accounts.model.sessions import BrowserCaller, NewSession
from authsec_server.accounts.oidc import TRANSACTION_SECONDS, OpenIdSignIn, SignInRefused
from authsec_server.accounts.second_factor import SecondStep
from authsec_server.accounts.second_step import StepEnded
from authsec_server.console.errors import FailedPage
from authsec_server.console.forms import Form
from authsec_server.console.guard import HEADERS, local_path
from authsec_server.console.site import Console, PageRequest, PublicRequest
from authsec_server.failures import Conflict, Failure, Invalid, seconds_text
from authsec_server.web.errors import TooOften, Unauthenticated
from authsec_server.web.request_context import context_of

HOME = "/console"
LINK_TITLES = {
    LinkPurpose.FIRST_ADMINISTRATOR: "Set up AuthSec",
    LinkPurpose.SET_PASSWORD: "Choose a password",
    LinkPurpose.SIGN_IN: "Sign in",
}


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of sign-in, sign-out and one-time links."""
    return [
        console.open_page("/sign-in", show, post=enter),
        console.open_page("/sign-in/code", show_code, post=enter_code),
        console.page("/sign-out", post=leave),
        console.open_page("/set-up", show_link, post=use_link),
        console.open_page("/sign-in/open-id", begin_at_provider),
        console.open_page("/sign-in/callback", finish_at_provider),
    ]


async def show(guest: PublicRequest, problem: Failure | None = None) -> Response:
    """Show the sign-in form, with a link to single sign-on if it is configured."""
    asked = guest.sent
    open_id = guest.console.open_id
    return guest.render(
        "sign_in/password.html",
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
    return enter_or_ask(guest, new, local_path(guest.form.text("next"), HOME))


async def show_code(guest: PublicRequest, problem: Failure | None = None) -> Response:
    """Show the form for the code. Without a sign-in that waits in this browser, redirect to the sign-in page."""
    cookie = guest.request.cookies.get(_step_cookie(guest.console), "")
    if not await run_in_threadpool(guest.console.second_steps.is_waiting, cookie, caller(guest)):
        return guest.redirect("/console/sign-in", next=local_path(guest.sent.text("next"), ""))
    return guest.render(
        "sign_in/code.html",
        title="Enter your code",
        problem=problem,
        recovery=guest.sent.ticked("recovery"),
        going_on=local_path(guest.sent.text("next"), HOME),
    )


async def enter_code(guest: PublicRequest) -> Response:
    """Verify the code and sign the person in."""
    cookie = guest.request.cookies.get(_step_cookie(guest.console), "")
    going_on = local_path(guest.form.text("next"), HOME)
    try:
        new = await run_in_threadpool(
            guest.console.second_steps.by_code, cookie, guest.form.text("code"), caller(guest)
        )
    except StepEnded as ended:
        response = await show(guest, RefusedForm("password", ended.message))
    except Invalid as refused:
        return await show_code(guest, refused)
    except TooOften as refused:
        wait = f"Try again in {seconds_text(refused.retry_after)}, or use a recovery code."
        return await show_code(guest, RefusedForm("code", refused.message, wait))
    else:
        response = start_session(guest, new, going_on)
    drop(response, guest.console, _step_cookie(guest.console))
    return response


async def leave(visit: PageRequest) -> Response:
    """End this session and delete its cookie."""
    await visit.change(lambda tx, act: sessions.end(tx, act, act.principal.session_id))
    response = visit.redirect("/console/sign-in", done="signed_out")
    drop(response, visit.console, cookie_name(visit.console.settings.console_address))
    return response


class RefusedForm(Invalid):
    """A refused sign-in, shown at the form field.

    The message does not say whether the e-mail address or the password was wrong.
    """


async def show_link(guest: PublicRequest, problem: Failure | None = None) -> Response:
    """Show the form of the link. For an invalid link, the page says why it is invalid and how to get another link."""
    form = guest.sent
    state: LinkState = await run_in_threadpool(guest.console.sign_in.find_link, form.text("code"))
    if not state.open or state.purpose is None:
        return guest.render(
            "sign_in/dead_link.html", title="This link does not work", status=410, link_status=state.status
        )
    return guest.render(
        "sign_in/set_up.html",
        title=LINK_TITLES[state.purpose],
        problem=problem,
        code=form.text("code"),
        link=state,
        purpose=state.purpose.value,
        email=form.text("email"),
        name=form.text("name"),
    )


async def use_link(guest: PublicRequest) -> Response:
    """Use the link up and sign the person in."""
    state: LinkState = await run_in_threadpool(guest.console.sign_in.find_link, guest.form.text("code"))
    try:
        new = await run_in_threadpool(partial(_enter_by_link, guest, state))
    except (Invalid, Conflict) as failure:
        return await show_link(guest, failure)
    return enter_or_ask(guest, new, HOME, done="welcome")


def _enter_by_link(guest: PublicRequest, state: LinkState) -> NewSession | SecondStep:
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


async def begin_at_provider(guest: PublicRequest) -> Response:
    """Redirect to the provider. A cookie stores the sign-on transaction, which the callback needs."""
    open_id = _open_id(guest)
    try:
        begun = await run_in_threadpool(open_id.begin, local_path(guest.query.text("next"), HOME))
    except SignInRefused as refused:
        return await _refuse(guest, refused)
    response = RedirectResponse(begun.url, 303, dict(HEADERS))
    put(response, guest.console, _cookie(guest.console), begun.transaction, seconds=TRANSACTION_SECONDS)
    return response


async def finish_at_provider(guest: PublicRequest) -> Response:
    """Handle the provider's callback, and sign the person in.

    The provider reports the person's identity and role. The transaction cookie is always deleted, even if
    sign-in fails.
    """
    open_id = _open_id(guest)
    await run_in_threadpool(guest.console.sign_in.before_the_provider, caller(guest))
    brought = guest.request.cookies.get(_cookie(guest.console), "")
    try:
        done = await run_in_threadpool(open_id.finish, brought, guest.request.query_params.multi_items())
        i = done.identity
        enter = partial(
            guest.console.sign_in.by_identity,
            issuer=i.issuer,
            subject=i.subject,
            email=i.email,
            name=i.name,
            role=i.role,
            caller=caller(guest),
        )
        new: NewSession = await run_in_threadpool(enter)
    except SignInRefused as refused:
        response = await _refuse(guest, refused)
    except Unauthenticated as refused:
        response = _refused_page(guest, 403, refused.message, "Ask an administrator.")
    else:
        response = start_session(guest, new, done.next)
    drop(response, guest.console, _cookie(guest.console))
    return response


async def _refuse(guest: PublicRequest, refused: SignInRefused) -> Response:
    count = partial(guest.console.sign_in.refuse_identity, refused.code, caller(guest), whom=refused.whom)
    await run_in_threadpool(count)
    return _refused_page(guest, 503 if refused.retryable else 403, refused.message, refused.remedy)


def _refused_page(guest: PublicRequest, status: int, message: str, remedy: str) -> Response:
    title = "You were not signed in"
    return guest.render("sign_in/refused.html", title=title, status=status, message=message, remedy=remedy)


def _open_id(guest: PublicRequest) -> OpenIdSignIn:
    if guest.console.open_id is None:
        raise HTTPException(404)
    return guest.console.open_id


def _cookie(console: Console) -> str:
    return "__Host-authsec-sign-in" if is_secure(console) else "authsec-sign-in"


def caller(guest: PublicRequest) -> BrowserCaller:
    """Return the caller, with the session cookie if the browser has one."""
    return caller_of(guest.request, cookie_name(guest.console.settings.console_address))


def _step_cookie(console: Console) -> str:
    return "__Host-authsec-second-step" if is_secure(console) else "authsec-second-step"


def enter_or_ask(guest: PublicRequest, new: NewSession | SecondStep, path: str, **query: object) -> Response:
    """Start the session, or lead to the form for the code. A cookie binds the second step to this browser."""
    if isinstance(new, NewSession):
        return start_session(guest, new, path, **query)
    response = guest.redirect("/console/sign-in/code", next=path if path != HOME else "")
    seconds = int(STEP_LIFE.total_seconds())
    put(response, guest.console, _step_cookie(guest.console), new.cookie, seconds=seconds)
    return response


def start_session(guest: PublicRequest, new: NewSession, path: str, **query: object) -> Response:
    """Set the session cookie and redirect to `path`.

    The browser deletes the cookie when it closes. The session ends when the server ends it.
    """
    response = guest.redirect(path, **query)
    put(response, guest.console, cookie_name(guest.console.settings.console_address), new.cookie)
    return response


def put(response: Response, console: Console, name: str, value: str, *, seconds: int | None = None) -> None:
    """Set a cookie. Scripts cannot read the cookie, and forms of other sites do not send it."""
    response.set_cookie(
        name, value, max_age=seconds, path="/", secure=is_secure(console), httponly=True, samesite="lax"
    )


def drop(response: Response, console: Console, name: str) -> None:
    """Delete a cookie in the browser."""
    response.delete_cookie(name, path="/", secure=is_secure(console), httponly=True, samesite="lax")


def is_secure(console: Console) -> bool:
    """Whether the console is served over https. A console without https has a loopback address."""
    return console.settings.console_address.startswith("https:")


_APP_REFUSED = FailedPage(
    status=400,
    message="An app sent you here to sign in with OAuth. This authority does not support that yet.",
    remedy="Nothing was granted. You can close this page.",
)


def authorization_page(console: Console, request: Request) -> Response:
    """Return the page for a browser that an app sent to the authorization endpoint."""
    return PublicRequest(console=console, request=request, form=Form()).render(
        "failure.html",
        title="This app can't sign you in here",
        status=_APP_REFUSED.status,
        failed=_APP_REFUSED,
        request_id=context_of(request.scope).request_id,
    )
