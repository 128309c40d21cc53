"""Protection of pages against other sites: security headers, and checks of where a request comes from."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.requests import Request

from authsec_server.console.addresses import REMEDY, is_plain_http
from authsec_server.failures import NotPermitted

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
"""Content Security Policy Level 3: only resources of this server, and nothing inline."""

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    # With `no-referrer`, browsers would send `Origin: null` even with the console's own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def refuse_plain_http(address: str) -> None:
    """Raise `NotPermitted` for plain http, except at a loopback address.

    Over plain http, others on the network could read the sign-in.
    """
    if is_plain_http(address):
        raise NotPermitted(
            "The console does not work over plain http, because others on the network could read your password.",
            REMEDY,
        )


def refuse_other_sites(request: Request, address: str) -> None:
    """Raise `NotPermitted` if the request comes from no page of the console at `address` (cross-site request forgery).

    Browsers report the sender of a request in `Sec-Fetch-Site` (Fetch Metadata) and `Origin` (RFC 6454). Pages
    cannot set either header. If both headers are sent, both must name this console. If neither is sent, the
    request is refused.
    """
    fetched = request.headers.getlist("sec-fetch-site")
    origins = request.headers.getlist("origin")
    # The Host header may have another name of this server. The scheme is that of `address`, because behind a TLS proxy
    # every request looks like http. The attack: somebody on the network serves a page at http://<this server>, which
    # posts.
    ours = {_origin(address), f"{urlsplit(address).scheme}://{request.headers.get('host', '')}".lower()}
    if (
        not (fetched or origins)
        or any(each != "same-origin" for each in fetched)
        or any(o not in ours for o in origins)
    ):
        raise NotPermitted(
            "The request did not come from this console, so it was refused.",
            "Open the page in this console and try again.",
        )


def local_path(text: str, default: str) -> str:
    """Return `text` if it is a path of the console. Otherwise return `default`.

    The check stops redirects to other sites (open redirect).
    """
    safe = text.isascii() and text.isprintable() and "\\" not in text and len(text) <= 2000
    try:
        parts = urlsplit(text)
    except ValueError:  # malformed, for example `//[`
        return default
    own = (
        not parts.scheme and not parts.netloc and (parts.path + "/").startswith("/console/") and "//" not in parts.path
    )
    return text if safe and own and ".." not in parts.path else default


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()
