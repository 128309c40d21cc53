"""Trying a token over HTTP: it comes in the body, and nothing of it goes back but what it says."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authsec_server.attestation.trial.model import Nearest, Said, Satisfied, Shown, Step, Trial
from authsec_server.attestation.trial.service import Trials
from authsec_server.principal import Role
from authsec_server.web.bodies import Body, read_body
from authsec_server.web.instants import rfc3339
from authsec_server.web.routing import resource
from authsec_server.web.site import Site

PATH = "/authsec/api/v1/sources/{source}/try"
_PRIVATE = {"Cache-Control": "no-store"}


class Tried(Body):
    """The token, as it was copied."""

    token: str = Field(repr=False)


def routes(site: Site, trials: Trials) -> list[Route]:
    """The route of this room."""

    async def try_token(request: Request) -> JSONResponse:
        act = await site.act(request)
        act.principal.require(Role.OPERATOR)  # before the token is read at all
        token = (await read_body(request, Tried)).token
        trial = await run_in_threadpool(trials.try_token, act, request.path_params["source"], token)
        return JSONResponse(as_json(trial), headers=_PRIVATE)

    return [resource(PATH, post=try_token)]


def as_json(trial: Trial) -> dict[str, Any]:
    """The trial. `claims` are what the token says of itself; `signed` says whether its source vouches for them."""
    return {
        "source": trial.source.slug,
        "holds": trial.holds,
        "signed": trial.signed,
        "notes": list(trial.notes),
        "steps": list(map(_step, trial.steps)),
        "claims": _said(trial.said) if trial.said else None,
        "selectors": list(map(_selector, trial.selectors)),
        "satisfies": list(map(_satisfied, trial.satisfied)),
        "nearest": list(map(_nearest, trial.nearest)),
        "compared": trial.compared,
        "more": trial.more,
    }


def _step(step: Step) -> dict[str, Any]:
    return {"step": step.name, "state": step.state, "said": step.said, "example": step.example or None}


def _said(said: Said) -> dict[str, Any]:
    return {
        "iss": said.issuer,
        "aud": list(said.audience),
        "sub": said.subject,
        "expires_at": rfc3339(said.expires_at),
    }


def _selector(shown: Shown) -> dict[str, Any]:
    return {
        "key": shown.selector.key,
        "value": shown.selector.value,
        "proved_by": shown.provenance,
        "how": shown.how,
    }


def _satisfied(each: Satisfied) -> dict[str, Any]:
    return {
        "client_id": each.client.id,
        "name": each.client.name,
        "proof_id": each.proof_id,
        "enabled": each.enabled,
    }


def _nearest(each: Nearest) -> dict[str, Any]:
    return {
        "client_id": each.client.id,
        "name": each.client.name,
        "proof_id": each.miss.proof_id,
        "differs": each.miss.sentence,
    }
