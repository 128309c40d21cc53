"""Make links for sign-in without a password, for the operator at the server's machine only.

The operator can read the data folder and therefore already controls the authority. An admin key may not
make such a link: the holder of the key must not sign in as a person.
"""

from __future__ import annotations

from authsec_server.accounts import administrators, links
from authsec_server.accounts.lookup import find_administrator
from authsec_server.accounts.model.administrators import Administrator
from authsec_server.accounts.model.links import FROM_THE_MACHINE, LinkPurpose, NewLink
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind
from authsec_server.db import Tx
from authsec_server.failures import Conflict, NotPermitted
from authsec_server.principal import Act, PrincipalKind


def for_the_first(tx: Tx, act: Act) -> NewLink:
    """Make the link that creates the first administrator. Call only inside a `change`.

    Raises `Conflict` if an administrator exists.
    """
    _require_operator(act)
    if administrators.has_any(tx):
        raise Conflict(
            "An administrator already exists, and this link is only for the first administrator.",
            "To set a new password for an administrator: authsec admin setup-url --email ADDRESS. To see all "
            "administrators: authsec admin list. To add an administrator: authsec admin invite ADDRESS --name NAME "
            "--role admin",
        )
    return _make(tx, act, LinkPurpose.FIRST_ADMINISTRATOR, None)


def for_a_password(tx: Tx, act: Act, reference: str) -> NewLink:
    """Make a link to choose a new password. The old password stops working at once. Call only inside a `change`."""
    _require_operator(act)
    return administrators.reset(tx, act, reference)[1]


def for_a_sign_in(tx: Tx, act: Act, reference: str) -> NewLink:
    """Make a link by which one administrator signs in once. Call only inside a `change`."""
    _require_operator(act)
    whose = find_administrator(tx, reference, suggests=False)
    whose.require_enabled()
    return _make(tx, act, LinkPurpose.SIGN_IN, whose)


def _require_operator(act: Act) -> None:
    if act.principal.kind is not PrincipalKind.LOCAL_OPERATOR:
        raise NotPermitted(
            "This kind of link can only be created on the server's machine.",
            "On that machine, run: authsec admin setup-url --data DIR",
        )


def _make(tx: Tx, act: Act, purpose: LinkPurpose, whose: Administrator | None) -> NewLink:
    made = links.make(tx, act, purpose, whose, FROM_THE_MACHINE)
    subject = administrators.named(whose) if whose else None
    until = made.link.expires_at
    audit.record_act(tx, act, EventKind.LINK_MADE, subject=subject, expires_at=until, detail={"purpose": purpose})
    return made
