"""Admin API operations for the keys and look-ups of a trusted issuer: show their state, and refresh it now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.concurrency import run_in_threadpool
from typing_extensions import TypedDict  # as in `web.paging`

from authsec_server.db import Tx
from authsec_server.failures import Unavailable
from authsec_server.issuers import service
from authsec_server.issuers.api import PATH
from authsec_server.issuers.cluster_client import ClusterApis
from authsec_server.issuers.key_cache import Condition, KeysState
from authsec_server.issuers.key_sets import KeySets
from authsec_server.issuers.model import KeysUnavailable, Lookup, LookupState, LookupUnavailable, TrustedIssuer
from authsec_server.principal import Act, Role
from authsec_server.web.instants import rfc3339
from authsec_server.web.operations import AnyOperation, Call, NoBody, Operation

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
    """The last result of a look-up, in the process that answers."""

    answered_at: str | None
    failed_at: str | None
    failure: str | None


class LookupsShown(TypedDict, total=False):
    """The last results of the look-ups that are turned on."""

    token_review: LookupShown
    pod_lookup: LookupShown


def operations(key_sets: KeySets, cluster_apis: ClusterApis) -> list[AnyOperation]:
    """Return the operations on keys and look-ups. None of them changes anything, so none has a dry run."""
    lookups, one = PATH + "/{trusted_issuer}/lookups", PATH + "/{trusted_issuer}"
    return [
        Operation(
            method="GET",
            path=lookups,
            operation_id="showLookups",
            summary="Get the results of the last look-ups in a cluster",
            handler=_lookups(service.get, cluster_apis.state),
            answer=LookupsShown,
        ),
        Operation(
            method="POST",
            path=lookups,
            operation_id="checkLookups",
            summary="Check a cluster's API server now",
            least=Role.ADMIN,
            handler=_lookups(service.to_refresh, cluster_apis.check),
            answer=LookupsShown,
            question=True,
        ),
        Operation(
            method="GET",
            path=one + "/keys",
            operation_id="showKeysOfTrustedIssuer",
            summary="Get the state of a trusted issuer's key set",
            handler=_keys(service.get, key_sets.state),
            answer=KeysShown,
        ),
        Operation(
            method="POST",
            path=one + "/refresh",
            operation_id="refreshKeysOfTrustedIssuer",
            summary="Fetch the key set of a trusted issuer now",
            least=Role.ADMIN,
            handler=_keys(service.to_refresh, key_sets.refresh),
            answer=KeysShown,
            question=True,
        ),
    ]


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


def _keys(find: Find, look: Callable[[TrustedIssuer], KeysState]) -> Callable[[Call[NoBody]], Awaitable[KeysShown]]:
    """Return a handler that shows the keys of the trusted issuer. `look` is called outside of any transaction."""

    async def handle(call: Call[NoBody]) -> KeysShown:
        trusted_issuer = await call.read(lambda tx, act: find(tx, act, call.of("trusted_issuer")))
        try:
            return keys_json(await run_in_threadpool(look, trusted_issuer))
        except KeysUnavailable as error:
            raise Unavailable(error.sentence) from None

    return handle


def _lookups(
    find: Find, look: Callable[[TrustedIssuer], Mapping[Lookup, LookupState]]
) -> Callable[[Call[NoBody]], Awaitable[LookupsShown]]:
    """Return a handler that shows the look-ups of the trusted issuer. `look` is called outside of any transaction."""

    async def handle(call: Call[NoBody]) -> LookupsShown:
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

    return handle
