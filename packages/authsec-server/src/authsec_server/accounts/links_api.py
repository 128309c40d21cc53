"""Admin API operation to make a one-time link, for the operator at the server's machine only.

The response shows the link only once.
"""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict  # as in `web.paging`

from authsec_server.accounts import local_links
from authsec_server.accounts.model import LinkPurpose, NewLink
from authsec_server.db import Tx
from authsec_server.failures import Invalid
from authsec_server.principal import Act, Role
from authsec_server.web.bodies import Body
from authsec_server.web.instants import rfc3339
from authsec_server.web.operations import API, AnyOperation, Call, declared, operation

PATH = f"{API}/setup-links"


class NewSetupLink(Body):
    """Request to make a link for the administrator `email`; `email` is null for the first administrator."""

    purpose: Literal["first_administrator", "set_password", "sign_in"]
    email: str | None = None


class LinkShown(TypedDict):
    """A new link with its secret, which is shown only once.

    `url` contains the console address in the settings. Use `path` if your browser reaches the console at
    another address.
    """

    purpose: str
    url: str
    path: str
    expires_at: str


def operations(*, issuer: str) -> list[AnyOperation]:
    """Return the operation that makes a link. Links point to the console at `issuer`."""

    @operation("POST", PATH, "makeSetupLink", least=Role.ADMIN, status=201, secrets=("url", "path"))
    async def make_link(call: Call[NewSetupLink]) -> LinkShown:
        """Create a one-time sign-in link, valid for 15 minutes.

        Only the operator at the server's machine may create a link (`authsec admin setup-url`); an admin key may not.
        """
        return link_json(await call.change(lambda tx, act: _make(tx, act, call.body)), issuer)

    return declared(make_link)


def link_json(made: NewLink, issuer: str) -> LinkShown:
    """Return the link, with its secret, as the admin API shows it."""
    return {
        "purpose": made.link.purpose,
        "url": issuer + made.path,
        "path": made.path,
        "expires_at": rfc3339(made.link.expires_at),
    }


def _make(tx: Tx, act: Act, asked: NewSetupLink) -> NewLink:
    purpose = LinkPurpose(asked.purpose)
    if purpose is LinkPurpose.FIRST_ADMINISTRATOR:
        if asked.email is not None:
            raise Invalid(
                "email", "Do not give an address: the first administrator chooses it on the page.", "Leave out email."
            )
        return local_links.for_the_first(tx, act)
    if asked.email is None:
        raise Invalid("email", "email is missing: say which administrator the link is for.")
    if purpose is LinkPurpose.SET_PASSWORD:
        return local_links.for_a_password(tx, act, asked.email)
    return local_links.for_a_sign_in(tx, act, asked.email)
