"""The slugs of trust delegations: what people, files and addresses call them by.

A slug is chosen, or made of client and role: `customer-support-support`. Where that is another's, the API is added, as
in `customer-support-support-crm`, or else a number. It names one delegation, never two. What is over, revoked or ended
by itself, is found by its slug until a later one takes that; from then on by its id alone. So after a revocation the
same can be delegated anew under the same name, and whoever says the name means what lives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count

from authsec_server import naming
from authsec_server.audit.model import EventKind
from authsec_server.db import Tx
from authsec_server.db.batches import in_batches
from authsec_server.delegations import store
from authsec_server.delegations.by_slug import by_slugs
from authsec_server.delegations.model import OVER, Delegation, Terms, state
from authsec_server.delegations.standing import record, standings
from authsec_server.failures import Conflict
from authsec_server.principal import Act
from authsec_server.revisions import changed, edit_detail

_LONGEST = 63
_AT_ONCE = 20  # that are looked up: who has made many of one client and role holds the lock meanwhile


def chosen(tx: Tx, act: Act, given: str) -> str:
    """The slug that was given. Raises `Invalid`, or `Conflict` where it is another's that is not over."""
    slug = naming.slug("slug", given)
    if held := _held(tx, act, slug):
        raise Conflict(
            f"The slug {slug} belongs to another trust delegation: {held.id}.",
            "Give this one another slug; or revoke that one first.",
            field="slug",
        )
    return slug


def offered(tx: Tx, act: Act, *, client: str, role: str, api: str = "") -> str:
    """The slug for who chose none, made of those of client and role; `api` is that of its only API."""
    return made(client, role, lambda slugs: _free(tx, act, slugs), api=api)


def made(client: str, role: str, free: Callable[[Sequence[str]], Iterable[str]], *, api: str = "") -> str:
    """The first slug of these that is free, with a number where others have them. `free` is asked about some. Pure."""
    series = in_batches(filter(naming.is_slug, _series(f"{client}-{role}", api)), _AT_ONCE)
    return next(slug for some in series for slug in free(some))


def take(tx: Tx, act: Act, slug: str, terms: Terms) -> None:
    """Have the delegation that is over give up the slug, if one has it; before another is stored under it."""
    held = store.find(tx.connection, slug)
    if held is None:
        return
    without = changed(held, act, slug="")
    store.save(tx.connection, without)
    detail = edit_detail(without.revision, {"slug": slug}, {"slug": None})
    record(tx, act, EventKind.DELEGATION_EDITED, standings(tx, [held], terms, act.now)[0], **detail, ended=[])


def _held(tx: Tx, act: Act, slug: str) -> Delegation | None:
    """The delegation that has the slug and gives it up to nobody, since it is not over."""
    found = store.find(tx.connection, slug)
    return None if found is None or state(found, act.now) in OVER else found


def _free(tx: Tx, act: Act, slugs: Sequence[str]) -> list[str]:
    """Those of these slugs that a new one can have."""
    known = by_slugs(tx, slugs)
    return [slug for slug in slugs if slug not in known or state(known[slug], act.now) in OVER]


def _series(stem: str, api: str) -> Iterator[str]:
    yield stem[:_LONGEST].rstrip("-")
    if api and len(f"{stem}-{api}") <= _LONGEST:
        stem = f"{stem}-{api}"
        yield stem
    for number in count(2):
        yield f"{stem[: _LONGEST - len(f'-{number}')].rstrip('-')}-{number}"
