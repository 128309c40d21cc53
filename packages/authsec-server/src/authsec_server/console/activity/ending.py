"""Pages that revoke one token, found by event, by `jti` or by its text. They show the impact before the change."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.audit import service as audit
from authsec_server.audit.model import Recorded
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import consequences
from authsec_server.delegations.consequences import Consequences
from authsec_server.failures import Conflict, Failure, Invalid, NotFound
from authsec_server.principal import Role
from authsec_server.tokens import revocation
from authsec_server.tokens.own_tokens import read_pasted


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes. They must come before the event page, whose `{event}` matches any word."""
    return [
        console.page("/activity/end-token", form, post=find, least=Role.OPERATOR),
        console.page("/activity/{event}/end-token", ask, post=end, least=Role.OPERATOR),
    ]


async def form(visit: PageRequest, problem: Failure | None = None) -> Response:
    """Show the form that asks for a token. Pasted text is never shown again, because it can be a token."""
    return visit.render("activity/which_token.html", title="End a token", problem=problem)


async def find(visit: PageRequest) -> Response:
    """Find the pasted token or `jti` and redirect to its page. The pasted text stays in the request body."""
    try:
        jti = pasted = read_pasted(visit.form.text("token"))
        if "." in pasted:
            jws = await run_in_threadpool(visit.console.ours.read, pasted)
            if jws is None:
                raise Invalid("token", "This is no token of this authority, or a damaged one.", "Paste it whole.")
            jti = str(jws.claims["jti"])
        found = await visit.read(lambda tx: revocation.token(tx, visit.act, jti))
    except (Invalid, NotFound, Conflict) as failure:
        return await form(visit, failure)
    return visit.redirect(f"/console/activity/{found.id}/end-token")


async def ask(visit: PageRequest, problem: Failure | None = None) -> Response:
    """Show the impact of revoking the token, and ask for confirmation."""

    def look(tx: Tx) -> tuple[Recorded, Consequences]:
        issued = _issued(tx, visit)
        return issued, consequences.of_token(tx, visit.act, issued.event)

    issued, what = await visit.read(look)
    return visit.render("activity/end_token.html", title="End this token?", problem=problem, recorded=issued, what=what)


async def end(visit: PageRequest) -> Response:
    """Revoke the token."""
    issued = await visit.read(lambda tx: _issued(tx, visit))
    try:
        ended = await visit.change(
            lambda tx, act: revocation.end(tx, act, issued.event.jti, because=visit.form.text("reason"))
        )
    except (Invalid, Conflict) as failure:
        return await ask(visit, failure)
    done = "token_had_ended" if ended.already else "token_ended"
    return visit.redirect(f"/console/activity/{issued.id}", done=done)


def _issued(tx: Tx, visit: PageRequest) -> Recorded:
    number = visit.request.path_params["event"]
    if not (number.isascii() and number.isdigit() and len(number) <= 19):
        raise NotFound("There is no such event.")
    found = audit.event(tx, visit.act.principal, int(number))
    return revocation.token(tx, visit.act, found.event.jti)
