"""The signing keys: list them, rotate them, and revoke one that may be stolen."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import consequences
from authsec_server.delegations.consequences import Consequences
from authsec_server.failures import Conflict, Failure, Invalid
from authsec_server.keys import service as keys
from authsec_server.keys.key_ring import STAYS_PUBLISHED
from authsec_server.keys.model import KeyState, SigningKey, activation_wait, key_in, may_activate
from authsec_server.principal import Role


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of signing keys."""
    return [
        console.page("/keys", listing),
        console.page("/keys/rotate", ask, post=rotate, least=Role.ADMIN),
        console.page("/keys/{kid}/revoke", ask_revoke, post=revoke, least=Role.ADMIN),
    ]


async def listing(visit: PageRequest) -> Response:
    """List all signing keys, including former ones."""
    every = await visit.read(lambda tx: keys.every(tx, visit.act))
    return visit.render(
        "keys/list.html",
        title="Keys",
        keys=every,
        max_age=visit.console.settings.signing_key_max_age,
        kept=STAYS_PUBLISHED.total_seconds(),
    )


async def ask(visit: PageRequest, problem: Failure | None = None) -> Response:
    """Show the effect of a rotation, and whether verifiers had time to load the next key. Ask for confirmation."""
    every = await visit.read(lambda tx: keys.every(tx, visit.act))
    prepared = key_in(every, KeyState.PREPARED)
    return visit.render(
        "keys/rotate.html",
        title="Rotate the signing key?",
        problem=problem,
        active=key_in(every, KeyState.ACTIVE),
        prepared=prepared,
        kept=STAYS_PUBLISHED.total_seconds(),
        ready=prepared is not None and may_activate(prepared, visit.act.now),
        wait=activation_wait(prepared, visit.act.now).total_seconds() if prepared else 0,
    )


async def rotate(visit: PageRequest) -> Response:
    """Activate the prepared key. Its successor is generated before the transaction, because that takes long."""
    custodian, force = visit.console.custodian, visit.form.ticked("force")
    fresh = await run_in_threadpool(custodian.make)
    try:
        await visit.change(lambda tx, act: custodian.rotate(tx, act, fresh, force=force))
    except Conflict as failure:
        return await ask(visit, failure)
    return visit.redirect("/console/keys", done="key_rotated")


async def ask_revoke(visit: PageRequest, problem: Failure | None = None) -> Response:
    """Show the impact of revoking the key, and the key that replaces it. Ask for confirmation."""

    def look(tx: Tx) -> tuple[SigningKey, SigningKey | None, Consequences]:
        key = keys.get(tx, visit.act, visit.request.path_params["kid"])
        prepared = key_in(keys.published(tx), KeyState.PREPARED)
        return key, prepared, consequences.of_key(tx, visit.act, key.kid)

    key, prepared, what = await visit.read(look)
    return visit.render(
        "keys/revoke.html",
        title="Revoke this signing key?",
        problem=problem,
        key=key,
        next=prepared,
        wait=activation_wait(prepared, visit.act.now).total_seconds() if prepared else 0,
        what=what,
    )


async def revoke(visit: PageRequest) -> Response:
    """Revoke the key."""
    custodian, kid = visit.console.custodian, visit.request.path_params["kid"]
    fresh = await run_in_threadpool(custodian.make_two)
    try:
        await visit.change(lambda tx, act: custodian.revoke(tx, act, kid, fresh, because=visit.form.text("reason")))
    except Invalid as failure:
        return await ask_revoke(visit, failure)
    await run_in_threadpool(custodian.let_go)
    return visit.redirect("/console/keys", done="key_revoked")
