"""The cookies of sign-in (RFC 6265bis): the session cookie, and the cookie of an unfinished single sign-on."""

from __future__ import annotations

from starlette.responses import Response

from authsec_server.accounts.model import BrowserCaller, NewSession
from authsec_server.accounts.session_auth import caller_of, cookie_name
from authsec_server.console.site import Console, PublicRequest


def caller(guest: PublicRequest) -> BrowserCaller:
    """Return the caller, with the session cookie if the browser has one."""
    return caller_of(guest.request, cookie_name(guest.console.settings.issuer))


def start_session(guest: PublicRequest, new: NewSession, path: str, **query: object) -> Response:
    """Set the session cookie and redirect to `path`.

    The browser deletes the cookie when it closes. The session ends when the server ends it.
    """
    response = guest.redirect(path, **query)
    put(response, guest.console, cookie_name(guest.console.settings.issuer), new.cookie)
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
    return console.settings.issuer.startswith("https:")
