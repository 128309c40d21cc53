"""Try a token that an agent sends: show each step of its verification. The token is not stored."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.attestation.explain.model import TokenExplanation
from authsec_server.console.site import Console, PageRequest
from authsec_server.issuers import service as issuers
from authsec_server.issuers.model import TrustedIssuer
from authsec_server.principal import Role


def routes(console: Console) -> list[BaseRoute]:
    """Return the route that tries a token."""
    return [console.page("/issuers/{trusted_issuer}/try", form, post=try_token, least=Role.OPERATOR)]


async def form(visit: PageRequest) -> Response:
    """Show the form that asks for a token."""
    trusted_issuer = await visit.read(lambda tx: issuers.get(tx, visit.act, visit.named("trusted_issuer")))
    return _page(visit, trusted_issuer, None)


async def try_token(visit: PageRequest) -> Response:
    """Show the steps and the result of verifying the token. Browsers do not store this page."""
    reference, token = visit.named("trusted_issuer"), visit.form.exact("token")
    trial = await run_in_threadpool(visit.console.token_explainer.try_token, visit.act, reference, token)
    return _page(visit, trial.trusted_issuer, trial)


def _page(visit: PageRequest, trusted_issuer: TrustedIssuer, trial: TokenExplanation | None) -> Response:
    return visit.render("issuers/tried.html", title="Try a token", trusted_issuer=trusted_issuer, trial=trial)
