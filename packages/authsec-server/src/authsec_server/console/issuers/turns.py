"""Changes of a trusted issuer: refresh keys, check the cluster, bind proofs, disable, enable, remove.

Pages that disable, enable or remove the issuer show the impact first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.clients import bindings
from authsec_server.clients.bindings import Users
from authsec_server.console.issuers.pages import detail
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import consequences
from authsec_server.delegations.consequences import Consequences
from authsec_server.failures import Conflict, Invalid, Unavailable
from authsec_server.issuers import service as issuers
from authsec_server.issuers.model import KeysUnavailable, LookupUnavailable, TrustedIssuer
from authsec_server.principal import Act, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedIssuerTurn:
    """One change that asks for confirmation. `key` is its path segment, `done` the key of the notice.

    The last argument of `change` is the trust domain of the clients' SPIFFE IDs. `again` returns true if the change
    must run again. A removal of very many proofs takes several transactions and must not stop halfway.
    """

    key: str
    heading: str
    button: str
    done: str
    change: Callable[[Tx, Act, str, str], Any]
    again: Callable[[Any], bool] = lambda _: False


TURNS = (
    TrustedIssuerTurn(
        key="disable",
        heading="Disable {}?",
        button="Disable",
        done="trusted_issuer_disabled",
        change=lambda tx, act, trusted_issuer, _: bindings.disable_trusted_issuer(tx, act, trusted_issuer),
    ),
    TrustedIssuerTurn(
        key="enable",
        heading="Enable {}?",
        button="Enable",
        done="trusted_issuer_enabled",
        change=lambda tx, act, trusted_issuer, domain: bindings.enable_trusted_issuer(
            tx, act, trusted_issuer, trust_domain=domain
        ),
    ),
    TrustedIssuerTurn(
        key="remove",
        heading="Remove {}?",
        button="Remove",
        done="trusted_issuer_removed",
        change=lambda tx, act, trusted_issuer, _: bindings.remove_trusted_issuer(
            tx, act, trusted_issuer, with_proofs=True
        ),
        again=lambda removed: removed.left > 0,
    ),
)


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of the changes: three with a confirmation page, and three buttons."""
    asked = [
        console.page(
            f"/issuers/{{trusted_issuer}}/{turn.key}", partial(ask, turn), post=partial(do, turn), least=Role.ADMIN
        )
        for turn in TURNS
    ]
    return [
        *asked,
        console.page("/issuers/{trusted_issuer}/refresh", post=refresh, least=Role.ADMIN),
        console.page("/issuers/{trusted_issuer}/check", post=check, least=Role.ADMIN),
        console.page("/issuers/{trusted_issuer}/bind", post=bind, least=Role.OPERATOR),
    ]


async def ask(turn: TrustedIssuerTurn, visit: PageRequest) -> Response:
    """Show the impact of the change, and ask for confirmation."""

    def load(tx: Tx) -> tuple[TrustedIssuer, Users, Consequences]:
        trusted_issuer = issuers.get(tx, visit.act, visit.request.path_params["trusted_issuer"])
        return (
            trusted_issuer,
            bindings.users_of(tx, visit.act, trusted_issuer),
            consequences.of_trusted_issuer(tx, visit.act, trusted_issuer.id),
        )

    trusted_issuer, users, stops = await visit.read(load)
    title = turn.heading.format(trusted_issuer.name)
    return visit.render(
        "issuers/turn.html", title=title, turn=turn, trusted_issuer=trusted_issuer, users=users, stops=stops
    )


async def do(turn: TrustedIssuerTurn, visit: PageRequest) -> Response:
    """Make the change."""
    reference, domain = visit.request.path_params["trusted_issuer"], visit.console.settings.trust_domain
    while turn.again(await visit.change(lambda tx, act: turn.change(tx, act, reference, domain))):
        pass
    gone = turn.key == "remove"
    return visit.redirect("/console/issuers" if gone else f"/console/issuers/{reference}", done=turn.done)


async def refresh(visit: PageRequest) -> Response:
    """Fetch the issuer's keys now. The issuer's page shows the result."""
    return await _asked(visit, visit.console.key_sets.refresh)


async def check(visit: PageRequest) -> Response:
    """Query the issuer's cluster now. The issuer's page shows the result."""
    return await _asked(visit, visit.console.cluster_apis.check)


async def _asked(visit: PageRequest, ask: Callable[[TrustedIssuer], object]) -> Response:
    reference = visit.request.path_params["trusted_issuer"]
    trusted_issuer = await visit.read(lambda tx: issuers.to_refresh(tx, visit.act, reference))
    try:
        await run_in_threadpool(ask, trusted_issuer)
    except (KeysUnavailable, LookupUnavailable) as error:
        raise Unavailable(error.sentence) from None
    return visit.redirect(f"/console/issuers/{trusted_issuer.slug}")


async def bind(visit: PageRequest) -> Response:
    """Bind the chosen proofs to this trusted issuer."""
    reference, chosen = visit.request.path_params["trusted_issuer"], visit.form.all("proof")
    domain = visit.console.settings.trust_domain
    if not chosen:
        return visit.redirect(f"/console/issuers/{reference}", done="unchanged")
    try:
        await visit.change(lambda tx, act: bindings.bind(tx, act, reference, chosen, trust_domain=domain))
    except (Invalid, Conflict) as failure:
        return await detail(visit, failure)
    return visit.redirect(f"/console/issuers/{reference}", done="proofs_bound")
