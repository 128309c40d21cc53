"""The list of trusted issuers, the page of one issuer, and the page that tries a token.

The page of an issuer has its keys, the selectors that it proves, and its clients. A tried token is not stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.attestation.explain.model import TokenExplanation
from authsec_server.clients import bindings
from authsec_server.clients import service as clients
from authsec_server.clients.bindings import BoundProof, Users
from authsec_server.clients.pod_token import MOUNT, projected_volume
from authsec_server.clients.selectors import KEYS
from authsec_server.console.client_status import ClientStatus, statuses_of
from authsec_server.console.issuers.unavailable import outages
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.failures import Failure, Unavailable
from authsec_server.issuers import service as issuers
from authsec_server.issuers.key_cache import KeysState
from authsec_server.issuers.model import (
    KeysUnavailable,
    Lookup,
    LookupState,
    LookupUnavailable,
    TrustedIssuer,
    provenance,
    shown_provenance,
)
from authsec_server.principal import Role

PAGE = 50
SHOWN = 200  # maximum number of proofs without an issuer


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """One trusted issuer, with its clients and proofs.

    `waiting` are proofs without an issuer that could be bound to this issuer. `partly` are proofs without an issuer
    whose selectors this issuer proves only in part.
    """

    trusted_issuer: TrustedIssuer
    users: Users
    waiting: Sequence[BoundProof]
    partly: Sequence[BoundProof]


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of the list, of one trusted issuer and of a tried token."""
    return [
        console.page("/issuers", listing),
        console.page("/issuers/{trusted_issuer}", detail),
        console.page("/issuers/{trusted_issuer}/try", token_form, post=try_token, least=Role.OPERATOR),
    ]


async def listing(visit: PageRequest) -> Response:
    """List the trusted issuers by slug, each with the state of its keys."""
    text, after = visit.query.text("text"), visit.query.text("cursor")
    found, following = await visit.read(lambda tx: issuers.page(tx, visit.act, text=text, after=after, limit=PAGE))
    return visit.render(
        "issuers/list.html",
        title="Trusted issuers",
        rows=[(trusted_issuer, await keys_of(visit, trusted_issuer)) for trusted_issuer in found],
        narrowed=text,
        cursor=after,
        following=following,
    )


async def detail(visit: PageRequest, problem: Failure | None = None) -> Response:
    """Show one trusted issuer."""
    about = await visit.read(lambda tx: _about(tx, visit))
    trusted_issuer = about.trusted_issuer
    audience = trusted_issuer.audience or visit.console.settings.issuer
    return visit.render(
        "issuers/detail.html",
        title=trusted_issuer.name,
        problem=problem,
        trusted_issuer=trusted_issuer,
        about=about,
        most=SHOWN,
        keys=await keys_of(visit, trusted_issuer),
        lookups=_lookups(visit, trusted_issuer),
        may_look_up=visit.console.cluster_apis.possible,
        proves=[
            (key.shown, how, shown_provenance(key.key, how), key.identifies)
            for keys in KEYS.values()
            for key in keys
            for how in [provenance(trusted_issuer, key.key)]
        ],
        audience=audience,
        volume=projected_volume(audience),
        mount=MOUNT,
    )


def _about(tx: Tx, visit: PageRequest) -> About:
    trusted_issuer = issuers.get(tx, visit.act, visit.named("trusted_issuer"))
    domain = visit.console.settings.trust_domain
    return About(
        trusted_issuer=trusted_issuer,
        users=bindings.users_of(tx, visit.act, trusted_issuer),
        waiting=bindings.waiting(tx, visit.act, trusted_issuer, trust_domain=domain),
        partly=bindings.partly_proved(tx, visit.act, trusted_issuer, trust_domain=domain),
    )


def _lookups(visit: PageRequest, trusted_issuer: TrustedIssuer) -> Mapping[Lookup, LookupState]:
    """Return the last result of each kind of look-up in the issuer's cluster. Raises `Unavailable`.

    The results are those of this server process.
    """
    try:
        return visit.console.cluster_apis.state(trusted_issuer)
    except LookupUnavailable as error:
        raise Unavailable(error.sentence) from None


async def keys_of(visit: PageRequest, trusted_issuer: TrustedIssuer) -> KeysState:
    """Return the state of the issuer's keys. Raises `Unavailable`."""
    try:
        return await run_in_threadpool(visit.console.key_sets.state, trusted_issuer)
    except KeysUnavailable as error:
        raise Unavailable(error.sentence) from None


async def token_form(visit: PageRequest) -> Response:
    """Show the form that asks for a token."""
    trusted_issuer = await visit.read(lambda tx: issuers.get(tx, visit.act, visit.named("trusted_issuer")))
    return _token_page(visit, trusted_issuer)


async def try_token(visit: PageRequest) -> Response:
    """Show the steps and the result of verifying the token. Browsers do not store this page."""
    reference, token = visit.named("trusted_issuer"), visit.form.exact("token")
    trial = await run_in_threadpool(visit.console.token_explainer.try_token, visit.act, reference, token)
    ids = {each.client.id for each in trial.satisfied}
    silent = await outages(visit)
    statuses = await visit.read(lambda tx: statuses_of(tx, clients.by_ids(tx, ids).values(), visit.act.now, silent))
    return _token_page(visit, trial.trusted_issuer, trial, statuses)


def _token_page(
    visit: PageRequest,
    trusted_issuer: TrustedIssuer,
    trial: TokenExplanation | None = None,
    statuses: Mapping[str, ClientStatus] = MappingProxyType({}),
) -> Response:
    return visit.render(
        "issuers/tried.html", title="Try a token", trusted_issuer=trusted_issuer, trial=trial, statuses=statuses
    )
