"""The signing keys: list them, rotate them, and revoke a key that may be stolen."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.console.confirm import Confirmation, Question, already_is, redirect_to
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import impact
from authsec_server.keys import service as keys
from authsec_server.keys.key_ring import STAYS_PUBLISHED
from authsec_server.keys.model import (
    Algorithm,
    KeyState,
    SigningKey,
    activation_wait,
    key_in,
    may_activate,
    parse_algorithm,
)
from authsec_server.principal import Role

TRAIL = [("Keys", "/console/keys")]


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes of signing keys."""
    return [console.page("/keys", listing), ROTATE.route(console), REVOKE.route(console)]


async def listing(visit: PageRequest) -> Response:
    """List all signing keys, including former ones."""
    every = await visit.read(lambda tx: keys.every(tx, visit.act))
    return visit.render(
        "keys/list.html",
        title="Keys",
        keys=every,
        algorithms=[each for each in Algorithm if key_in(every, KeyState.ACTIVE, each)],
        max_age=visit.console.settings.signing_key_max_age,
        kept=STAYS_PUBLISHED.total_seconds(),
    )


def _look_at_rotation(tx: Tx, visit: PageRequest) -> Question:
    """Return the confirmation question: the effect of a rotation.

    The question also says whether verifiers had time to load the next key.
    """
    every, algorithm = keys.every(tx, visit.act), _algorithm(visit)
    active, prepared = key_in(every, KeyState.ACTIVE, algorithm), key_in(every, KeyState.PREPARED, algorithm)
    return Question(
        trail=TRAIL,
        possible=active is not None and prepared is not None,
        shown={
            "algorithm": algorithm,
            "active": active,
            "prepared": prepared,
            "kept": STAYS_PUBLISHED.total_seconds(),
            "ready": prepared is not None and may_activate(prepared, visit.act.now),
            "wait": _wait(prepared, visit),
        },
    )


async def _rotate(visit: PageRequest) -> None:
    """Activate the prepared key, and add a new prepared key.

    A new RSA key is generated before the transaction, because generation takes long.
    """
    key_ring, algorithm, force = visit.console.key_ring, _algorithm(visit), visit.form.ticked("force")
    fresh = await run_in_threadpool(key_ring.fresh, algorithm, 1)
    await visit.change(lambda tx, act: key_ring.rotate(tx, act, fresh, algorithm, force=force))


def _algorithm(visit: PageRequest) -> Algorithm:
    return parse_algorithm("algorithm", visit.sent.text("algorithm", Algorithm.RS256))


def _look_at_revocation(tx: Tx, visit: PageRequest) -> Question:
    """Return the confirmation question: the impact of revoking the key, and the key that replaces it."""
    key = keys.get(tx, visit.act, visit.named("kid"))
    prepared = key_in(keys.published(tx), KeyState.PREPARED, key.algorithm)
    is_wanted = key.algorithm in visit.console.key_ring.wanted(tx)
    return Question(
        trail=TRAIL,
        shown={
            "key": key,
            "next": prepared,
            "replaced": is_wanted,
            "wait": _wait(prepared, visit),
            "what": impact.of_key(tx, visit.act, key.kid),
        },
    )


def _already_revoked(tx: Tx, visit: PageRequest) -> str:
    key = keys.get(tx, visit.act, visit.named("kid"))
    return already_is(f"The key {key.kid} was already revoked") if key.state is KeyState.REVOKED else ""


def _wait(prepared: SigningKey | None, visit: PageRequest) -> float:
    return activation_wait(prepared, visit.act.now).total_seconds() if prepared else 0


async def _revoke(visit: PageRequest) -> None:
    key_ring, kid, reason = visit.console.key_ring, visit.named("kid"), visit.form.text("reason")
    key = await visit.read(lambda tx: keys.get(tx, visit.act, kid))
    fresh = await run_in_threadpool(key_ring.fresh, key.algorithm, 2)
    await visit.change(lambda tx, act: key_ring.revoke(tx, act, kid, fresh, because=reason))
    await run_in_threadpool(key_ring.drop_unpublished)


ROTATE = Confirmation(
    path="/keys/rotate",
    template="keys/rotate.html",
    heading="Rotate the signing key?",
    button="Rotate",
    danger=False,
    least=Role.ADMIN,
    look=_look_at_rotation,
    change=_rotate,
    after=redirect_to("/console/keys", done="key_rotated"),
)
REVOKE = Confirmation(
    path="/keys/{kid}/revoke",
    template="keys/revoke.html",
    heading="Revoke this signing key?",
    button="Revoke permanently",
    least=Role.ADMIN,
    look=_look_at_revocation,
    already=_already_revoked,
    change=_revoke,
    after=redirect_to("/console/keys", done="key_revoked"),
)
