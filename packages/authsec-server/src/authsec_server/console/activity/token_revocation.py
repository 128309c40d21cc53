"""Pages that revoke one token. A person finds the token by its event, its `jti` or its text.

The pages show the impact before the change.
"""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.audit import service as audit
from authsec_server.audit.model import Recorded
from authsec_server.console.confirm import Confirmation, Question, already_is, once
from authsec_server.console.site import Console, PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import impact
from authsec_server.failures import Conflict, Failure, Invalid, NotFound
from authsec_server.principal import Act, Role
from authsec_server.tokens import revocation
from authsec_server.tokens.own_tokens import read_pasted


def routes(console: Console) -> list[BaseRoute]:
    """Return the routes. They must come before the event page, whose `{event}` matches any word."""
    return [
        console.page("/activity/end-token", form, post=find, least=Role.OPERATOR),
        END.route(console),
    ]


async def form(visit: PageRequest, problem: Failure | None = None) -> Response:
    """Show the form that asks for a token. The page never repeats the pasted text, because the text can be a token."""
    return visit.render("activity/which_token.html", title="Revoke a token", problem=problem)


async def find(visit: PageRequest) -> Response:
    """Find the pasted token or `jti`, and redirect to the page that revokes the token.

    The pasted text is only in the request body, never in a path.
    """
    try:
        jti = pasted = read_pasted(visit.form.text("token"))
        if "." in pasted:
            jws = await run_in_threadpool(visit.console.own_tokens.read, pasted)
            if jws is None:
                raise Invalid(
                    "token", "This token is not from this authority, or it is damaged.", "Paste the whole token."
                )
            jti = str(jws.claims["jti"])
        found = await visit.read(lambda tx: revocation.token(tx, visit.act, jti))
    except (Invalid, NotFound, Conflict) as failure:
        return await form(visit, failure)
    return visit.redirect(f"/console/activity/{found.id}/end-token")


def event_number(visit: PageRequest) -> int:
    """Return the number of the event that the path names. Raises `NotFound` for another word."""
    number = visit.named("event")
    if not (number.isascii() and number.isdigit() and len(number) <= 19):
        raise NotFound("There is no such event.")
    return int(number)


def _issued(tx: Tx, visit: PageRequest) -> Recorded:
    found = audit.event(tx, visit.act.principal, event_number(visit))
    return revocation.token(tx, visit.act, found.event.jti)


def _look(tx: Tx, visit: PageRequest) -> Question:
    issued = _issued(tx, visit)
    client = issued.event.client.name if issued.event.client else ""
    return Question(
        trail=[("Activity", "/console/activity"), (f"Token of {client}", f"/console/activity/{issued.id}")],
        ids={"event": str(issued.id)},
        shown={"recorded": issued, "what": impact.of_token(tx, visit.act, issued.event)},
    )


def _already(tx: Tx, visit: PageRequest) -> str:
    issued = _issued(tx, visit)
    at = revocation.revoked(tx, [issued]).get(issued.id)
    return already_is("The token was already revoked", at) if at else ""


def _end(tx: Tx, act: Act, visit: PageRequest) -> tuple[Recorded, bool]:
    issued = _issued(tx, visit)
    return issued, revocation.revoke(tx, act, issued.event.jti, because=visit.form.text("reason")).already


def _after(visit: PageRequest, ended: tuple[Recorded, bool]) -> Response:
    issued, already = ended
    return visit.redirect(f"/console/activity/{issued.id}", done="token_had_ended" if already else "token_ended")


END = Confirmation(
    path="/activity/{event}/end-token",
    template="activity/end_token.html",
    heading="Revoke this token?",
    button="Revoke token",
    look=_look,
    already=_already,
    change=once(_end),
    after=_after,
)
