"""The cookies of the entrance (RFC 6265bis): the session's, and that of a single sign-on under way."""

from __future__ import annotations

from starlette.responses import Response

from authsec_server.accounts.model import BrowserCaller, NewSession
from authsec_server.accounts.session_auth import caller_of, cookie_name
from authsec_server.console.site import Console, PublicRequest


def caller(guest: PublicRequest) -> BrowserCaller:
    """Who knocks, with the session that their browser may still have."""
    return caller_of(guest.request, cookie_name(guest.console.settings.issuer))


def let_in(guest: PublicRequest, new: NewSession, path: str, **query: object) -> Response:
    """Go on to `path` with the new session. The cookie ends with the browser, the session when the server says."""
    response = guest.redirect(path, **query)
    put(response, guest.console, cookie_name(guest.console.settings.issuer), new.cookie)
    return response


def put(response: Response, console: Console, name: str, value: str, *, seconds: int | None = None) -> None:
    """Set a cookie that no script reads and no other site's form sends along."""
    response.set_cookie(
        name, value, max_age=seconds, path="/", secure=is_secure(console), httponly=True, samesite="lax"
    )


def drop(response: Response, console: Console, name: str) -> None:
    """Have the browser forget a cookie."""
    response.delete_cookie(name, path="/", secure=is_secure(console), httponly=True, samesite="lax")


def is_secure(console: Console) -> bool:
    """Whether people reach the console over https; else it is loopback."""
    return console.settings.issuer.startswith("https:")
