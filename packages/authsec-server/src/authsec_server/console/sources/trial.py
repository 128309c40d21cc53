"""Try this token: what would become of one that an agent sends, step by step. Nothing of it is kept."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import BaseRoute

from authsec_server.attestation.explain.model import Trial
from authsec_server.console.site import Console, PageRequest
from authsec_server.principal import Role
from authsec_server.sources import service as sources
from authsec_server.sources.model import TrustSource


def routes(console: Console) -> list[BaseRoute]:
    """The page."""
    return [console.page("/sources/{source}/try", form, post=try_token, least=Role.OPERATOR)]


async def form(visit: PageRequest) -> Response:
    """The form."""
    source = await visit.read(lambda tx: sources.get(tx, visit.act, visit.request.path_params["source"]))
    return _page(visit, source, None)


async def try_token(visit: PageRequest) -> Response:
    """What would become of it; on the page that answers, which no browser keeps."""
    reference, token = visit.request.path_params["source"], visit.form.exact("token")
    trial = await run_in_threadpool(visit.console.trials.try_token, visit.act, reference, token)
    return _page(visit, trial.source, trial)


def _page(visit: PageRequest, source: TrustSource, trial: Trial | None) -> Response:
    return visit.render("sources/tried.html", title="Try a token", source=source, trial=trial)
