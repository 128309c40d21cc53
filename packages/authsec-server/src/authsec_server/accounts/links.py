"""Make, look up and use one-time links.

A look-up does not use a link, because mail scanners and link previews open every link. Only a POST request
uses a link, and only once.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from authsec_server.accounts import store
from authsec_server.accounts.model import secret
from authsec_server.accounts.model.administrators import (
    Administrator,
    Link,
    LinkPurpose,
    LinkState,
    LinkStatus,
    NewLink,
)
from authsec_server.db import Tx
from authsec_server.principal import Act

KEPT_FOR = timedelta(days=7)  # until then, the page of an expired link says why the link does not work


def make(tx: Tx, act: Act, purpose: LinkPurpose, administrator: Administrator | None, life: timedelta) -> NewLink:
    """Make a link. Older links for the same purpose and administrator become void. Call only inside a `change`.

    This function checks no permission: the caller checks whether the principal may make this link.
    """
    code = secret.text_of(act.token_bytes(secret.SECRET_BYTES))
    link = Link(
        id=act.new_id(),
        purpose=purpose,
        administrator_id=administrator.id if administrator else "",
        created_at=act.now,
        expires_at=act.now + life,
    )
    store.void_links(tx.connection, link.administrator_id, purpose, act.now)
    store.add_link(tx.connection, link, secret.hashed(code))
    return NewLink(link=link, code=code)


def find_link(tx: Tx, now: datetime, code: str) -> LinkState:
    """Return the state of the link with this code."""
    link = store.link_by_hash(tx.connection, secret.hashed(code)) if secret.is_secret(code) else None
    if link is None:
        return LinkState(status=LinkStatus.UNKNOWN)
    administrator = store.administrator_by_id(tx.connection, link.administrator_id) if link.administrator_id else None
    status = link.status(now)
    if status is LinkStatus.OPEN and not _possible(tx, link, administrator):
        status = LinkStatus.TOO_LATE
    return LinkState(status=status, link=link, administrator=administrator)


def use(tx: Tx, now: datetime, code: str, purpose: LinkPurpose) -> LinkState:
    """Mark the link as used if it is open and has this purpose. Call only inside a `change`.

    The state in the result is open only for the first use.
    """
    state = find_link(tx, now, code)
    if state.link is None or state.purpose is not purpose:
        return LinkState(status=LinkStatus.UNKNOWN)
    if state.open and not store.use_link(tx.connection, state.link.id, now):
        return LinkState(status=LinkStatus.USED, link=state.link, administrator=state.administrator)
    return state


def void_all_of(tx: Tx, now: datetime, administrator: Administrator) -> None:
    """Void every unused link of this administrator."""
    store.void_links(tx.connection, administrator.id, None, now)


def void_all(tx: Tx, now: datetime) -> None:
    """Void every unused link after a restore.

    The restored database does not show which links were used after the backup.
    """
    store.void_all_links(tx.connection, now)


def forget(tx: Tx, now: datetime) -> None:
    """Delete links that expired more than seven days ago."""
    store.forget_links(tx.connection, now - KEPT_FOR)


def _possible(tx: Tx, link: Link, administrator: Administrator | None) -> bool:
    """Return whether the link is still useful.

    A link for the first administrator is useful only while no administrator exists. Every other link needs an
    enabled administrator.
    """
    if link.purpose is LinkPurpose.FIRST_ADMINISTRATOR:
        # Otherwise, a stranger who finds an old URL could become a second administrator.
        return not store.has_administrators(tx.connection)
    return administrator is not None and administrator.enabled
