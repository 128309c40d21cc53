"""Single sign-on with the company's OpenID Connect provider: the redirect to the provider and the callback."""

from __future__ import annotations

from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from authsec_server.accounts.model import NewSession
from authsec_server.accounts.oidc import TRANSACTION_SECONDS, OpenIdSignIn, SignInRefused
from authsec_server.console import guard
from authsec_server.console.entrance.cookies import caller, drop, is_secure, put, start_session
from authsec_server.console.guard import local_path
from authsec_server.console.site import Console, PublicRequest
from authsec_server.web.errors import Unauthenticated


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of single sign-on.

    Sign-on starts with a link, not a form. The policy `form-action 'self'` blocks a form that leads to the
    provider.
    """
    return [
        console.open_page("/sign-in/open-id", begin),
        console.open_page("/sign-in/callback", finish),
    ]


async def begin(guest: PublicRequest) -> Response:
    """Redirect to the provider. A cookie stores the sign-on transaction, which the callback needs."""
    open_id = _open_id(guest)
    try:
        begun = await run_in_threadpool(open_id.begin, local_path(guest.query.text("next"), "/console"))
    except SignInRefused as refused:
        return await _refuse(guest, refused)
    response = RedirectResponse(begun.url, 303, dict(guard.HEADERS))
    put(response, guest.console, _cookie(guest.console), begun.transaction, seconds=TRANSACTION_SECONDS)
    return response


async def finish(guest: PublicRequest) -> Response:
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
        response = _page(guest, 403, refused.message, "Ask an administrator.")
    else:
        response = start_session(guest, new, done.next)
    drop(response, guest.console, _cookie(guest.console))
    return response


async def _refuse(guest: PublicRequest, refused: SignInRefused) -> Response:
    count = partial(guest.console.sign_in.refuse_identity, refused.code, caller(guest), whom=refused.whom)
    await run_in_threadpool(count)
    return _page(guest, 503 if refused.retryable else 403, refused.message, refused.remedy)


def _page(guest: PublicRequest, status: int, message: str, remedy: str) -> Response:
    title = "You were not signed in"
    return guest.render("entrance/refused.html", title=title, status=status, message=message, remedy=remedy)


def _open_id(guest: PublicRequest) -> OpenIdSignIn:
    if guest.console.open_id is None:
        raise HTTPException(404)
    return guest.console.open_id


def _cookie(console: Console) -> str:
    return "__Host-authsec-sign-in" if is_secure(console) else "authsec-sign-in"
