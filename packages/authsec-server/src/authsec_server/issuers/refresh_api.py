"""Admin API operations that show the keys and look-ups of a trusted issuer, or fetch and test them now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from typing_extensions import TypedDict  # as in `web.paging`

from authsec_server.db import Tx
from authsec_server.failures import Unavailable
from authsec_server.issuers import service
from authsec_server.issuers.api import ONE
from authsec_server.issuers.cluster_client import ClusterApis
from authsec_server.issuers.key_cache import Condition, KeysState
from authsec_server.issuers.key_sets import KeySets
from authsec_server.issuers.model import KeysUnavailable, Lookup, LookupState, LookupUnavailable, TrustedIssuer
from authsec_server.principal import Act, Role
from authsec_server.web.instants import rfc3339
from authsec_server.web.operations import AnyOperation, Call, NoBody, declared, operation

Find = Callable[[Tx, Act, str], TrustedIssuer]


class KeyShown(TypedDict):
    """A key with which the trusted issuer signs."""

    kid: str
    kty: str
    algorithms: list[str]
    thumbprint: str


class KeysShown(TypedDict):
    """The state of a trusted issuer's keys."""

    condition: Condition
    keys: list[KeyShown]
    fetched_at: str | None
    fresh_until: str | None
    usable_until: str | None
    failed_at: str | None
    failure: str | None


class LookupShown(TypedDict):
    """The last result of a look-up in the server process that sends this response."""

    answered_at: str | None
    failed_at: str | None
    failure: str | None


class LookupsShown(TypedDict, total=False):
    """The last results of the look-ups that are turned on."""

    token_review: LookupShown
    pod_lookup: LookupShown


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshOperations:
    """The operations on keys and look-ups.

    The operations change no settings of the authority, so they have no dry run.
    """

    key_sets: KeySets
    cluster_apis: ClusterApis

    @operation("GET", ONE + "/lookups", "showLookups")
    async def lookups(self, call: Call[NoBody]) -> LookupsShown:
        """Get the results of the last look-ups in a cluster."""
        return await _lookups(call, service.get, self.cluster_apis.state)

    @operation("POST", ONE + "/lookups", "checkLookups", least=Role.ADMIN, question=True)
    async def check_lookups(self, call: Call[NoBody]) -> LookupsShown:
        """Test the look-ups at a cluster's API server now."""
        return await _lookups(call, service.to_refresh, self.cluster_apis.check)

    @operation("GET", ONE + "/keys", "showKeysOfTrustedIssuer")
    async def keys(self, call: Call[NoBody]) -> KeysShown:
        """Get the state of a trusted issuer's key set."""
        return await _keys(call, service.get, self.key_sets.state)

    @operation("POST", ONE + "/refresh", "refreshKeysOfTrustedIssuer", least=Role.ADMIN, question=True)
    async def refresh_keys(self, call: Call[NoBody]) -> KeysShown:
        """Fetch the key set of a trusted issuer now."""
        return await _keys(call, service.to_refresh, self.key_sets.refresh)


def operations(key_sets: KeySets, cluster_apis: ClusterApis) -> list[AnyOperation]:
    """Return the operations on keys and look-ups; see `RefreshOperations`."""
    its = RefreshOperations(key_sets=key_sets, cluster_apis=cluster_apis)
    return declared(its.lookups, its.check_lookups, its.keys, its.refresh_keys)


async def _keys(call: Call[NoBody], find: Find, look: Callable[[TrustedIssuer], KeysState]) -> KeysShown:
    """Return the keys of the trusted issuer. `look` is called outside of any transaction. Raises `Unavailable`."""
    trusted_issuer = await call.read(lambda tx, act: find(tx, act, call.of("trusted_issuer")))
    try:
        return keys_json(await run_in_threadpool(look, trusted_issuer))
    except KeysUnavailable as error:
        raise Unavailable(error.sentence) from None


async def _lookups(
    call: Call[NoBody], find: Find, look: Callable[[TrustedIssuer], Mapping[Lookup, LookupState]]
) -> LookupsShown:
    """Return the look-ups of the trusted issuer. `look` is called outside of any transaction. Raises `Unavailable`."""
    trusted_issuer = await call.read(lambda tx, act: find(tx, act, call.of("trusted_issuer")))
    try:
        states = await run_in_threadpool(look, trusted_issuer)
    except LookupUnavailable as error:
        raise Unavailable(error.sentence) from None
    shown: LookupsShown = {}
    if Lookup.TOKEN_REVIEW in states:
        shown["token_review"] = lookup_json(states[Lookup.TOKEN_REVIEW])
    if Lookup.POD_LOOKUP in states:
        shown["pod_lookup"] = lookup_json(states[Lookup.POD_LOOKUP])
    return shown


def keys_json(state: KeysState) -> KeysShown:
    """Convert the state of the keys to JSON."""
    return {
        "condition": state.condition,
        "keys": [
            {"kid": kid, "kty": key.kind, "algorithms": sorted(key.algorithms), "thumbprint": key.thumbprint()}
            for kid, key in state.keys.items()
        ],
        "fetched_at": rfc3339(state.fetched_at),
        "fresh_until": rfc3339(state.fresh_until),
        "usable_until": rfc3339(state.usable_until),
        "failed_at": rfc3339(state.failed_at),
        "failure": state.failure or None,
    }


def lookup_json(state: LookupState) -> LookupShown:
    """Convert the result of the look-up to JSON."""
    return {
        "answered_at": rfc3339(state.answered_at),
        "failed_at": rfc3339(state.failed_at),
        "failure": state.failure or None,
    }
