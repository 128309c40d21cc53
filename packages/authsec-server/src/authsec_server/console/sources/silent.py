"""Trust sources that cannot tell at present: for the pages of whoever rests on them. As this server sees it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from starlette.concurrency import run_in_threadpool

from authsec_server.console.site import Console, PageRequest
from authsec_server.sources import service as sources
from authsec_server.sources.key_cache import Condition
from authsec_server.sources.model import KeysUnavailable, Lookup, LookupUnavailable, TrustSource

LOOKED_AT = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSilence:
    """What cannot be had of a source: `what` begins a sentence, `failure` is why, in a clause; since the last try.

    `some`: only those need it whose selectors are of a pod, beyond what the token says.
    """

    source: TrustSource
    what: str
    failure: str
    failed_at: datetime | None
    some: bool = False


async def silent_ones(visit: PageRequest) -> Sequence[SourceSilence]:
    """Of all enabled sources, as far as a page goes."""
    found, _ = await visit.read(lambda tx: sources.page(tx, visit.act, limit=LOOKED_AT))
    return [*(await _silent(visit, found)).values()]


async def silent_among(visit: PageRequest, ids: Collection[str]) -> Mapping[str, SourceSilence]:
    """Of the sources with these ids, by id."""
    if not ids:
        return {}
    found = await visit.read(lambda tx: sources.by_ids(tx, ids))
    return await _silent(visit, [*found.values()])


async def _silent(visit: PageRequest, found: Sequence[TrustSource]) -> Mapping[str, SourceSilence]:
    """Asks no other server, but the database: never inside a transaction."""
    told = await run_in_threadpool(lambda: [_silence(visit.console, source) for source in found if source.enabled])
    return {each.source.id: each for each in told if each is not None}


def _silence(console: Console, source: TrustSource) -> SourceSilence | None:
    try:
        keys = console.key_sets.state(source)
        lookups = console.cluster_apis.state(source)
    except (KeysUnavailable, LookupUnavailable):  # changed a moment ago: nothing is known of it yet
        return None
    if keys.condition is Condition.DEAD or (keys.condition is Condition.NONE and keys.failure):
        what = f"The keys of {source.name} cannot be had"
        return SourceSilence(source=source, what=what, failure=keys.failure, failed_at=keys.failed_at)
    for lookup, state in lookups.items():  # reviews, of which every token needs one, come first
        if state.failing:
            return SourceSilence(
                source=source,
                what=f"{source.name} cannot be asked",
                failure=state.failure,
                failed_at=state.failed_at,
                some=lookup is Lookup.POD_LOOKUP,
            )
    return None
