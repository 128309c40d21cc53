"""Warnings about unavailable trusted issuers, for the pages of clients that need these issuers.

The warnings show only what this server has seen.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from starlette.concurrency import run_in_threadpool

from authsec_server.console.site import Console, PageRequest
from authsec_server.issuers import service as issuers
from authsec_server.issuers.key_cache import Condition
from authsec_server.issuers.model import KeysUnavailable, Lookup, LookupUnavailable, TrustedIssuer
from authsec_server.principal import Role

LOOKED_AT = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class UnavailableIssuer:
    """One unavailable trusted issuer: its keys cannot be fetched, or its cluster does not answer.

    `what` is the beginning of the warning's sentence, and `failure` is the reason as a clause. `failed_at` is
    the time of the last failure. `some` is true if only some proofs are affected: those with pod selectors that
    the token does not contain.
    """

    trusted_issuer: TrustedIssuer
    what: str
    failure: str
    failed_at: datetime | None
    some: bool = False


async def unavailable_issuers(visit: PageRequest) -> Sequence[UnavailableIssuer]:
    """Return the enabled trusted issuers that are unavailable. Only the first page of the issuers' list is checked."""
    found, _ = await visit.read(lambda tx: issuers.page(tx, visit.act, limit=LOOKED_AT))
    return [*(await _unavailable(visit, found)).values()]


async def outages(visit: PageRequest) -> Mapping[str, str]:
    """Return what `outages_among` returns for the trusted issuers that are unavailable now."""
    return outages_among(await unavailable_issuers(visit))


def outages_among(silent: Sequence[UnavailableIssuer]) -> Mapping[str, str]:
    """Return a sentence about each unavailable trusted issuer, by its id. The badges of clients show the sentence.

    Issuers that are unavailable for some proofs only are left out.
    """
    return {each.trusted_issuer.id: f"{each.what}." for each in silent if not each.some}


async def unavailable_among(visit: PageRequest, ids: Collection[str]) -> Mapping[str, UnavailableIssuer]:
    """Return the unavailable trusted issuers that have one of these ids, by id."""
    if not ids:
        return {}
    found = await visit.read(lambda tx: issuers.by_ids(tx, ids))
    return await _unavailable(visit, [*found.values()])


async def ask_now(visit: PageRequest, trusted_issuers: Collection[TrustedIssuer]) -> None:
    """Fetch the keys of these issuers and check their clusters. The pages then show the results.

    Never call this inside a transaction. The person must be an admin: only admins decide when this server sends
    such requests.
    """
    visit.act.principal.require(Role.ADMIN)
    for trusted_issuer in trusted_issuers:
        with suppress(KeysUnavailable, LookupUnavailable):  # the issuer has just changed
            await run_in_threadpool(visit.console.key_sets.refresh, trusted_issuer)
            await run_in_threadpool(visit.console.cluster_apis.check, trusted_issuer)


async def _unavailable(visit: PageRequest, found: Sequence[TrustedIssuer]) -> Mapping[str, UnavailableIssuer]:
    """Return the unavailable issuers among `found`, by id. Never call this inside a transaction.

    The state comes from memory and the database. No other server is asked.
    """
    told = await run_in_threadpool(
        lambda: [
            _unavailable_issuer(visit.console, trusted_issuer) for trusted_issuer in found if trusted_issuer.enabled
        ]
    )
    return {each.trusted_issuer.id: each for each in told if each is not None}


def _unavailable_issuer(console: Console, trusted_issuer: TrustedIssuer) -> UnavailableIssuer | None:
    try:
        keys = console.key_sets.state(trusted_issuer)
        lookups = console.cluster_apis.state(trusted_issuer)
    except (KeysUnavailable, LookupUnavailable):  # the issuer has just changed, so its state is not known yet
        return None
    if keys.condition is Condition.DEAD or (keys.condition is Condition.NONE and keys.failure):
        what = f"The keys of {trusted_issuer.name} are unavailable"
        return UnavailableIssuer(
            trusted_issuer=trusted_issuer, what=what, failure=keys.failure, failed_at=keys.failed_at
        )
    for lookup, state in lookups.items():  # token reviews come first: every token needs one
        if state.failing:
            return UnavailableIssuer(
                trusted_issuer=trusted_issuer,
                what=f"{trusted_issuer.name} does not answer look-ups",
                failure=state.failure,
                failed_at=state.failed_at,
                some=lookup is Lookup.POD_LOOKUP,
            )
    return None
