"""Admin API operation that tests a workload's token. The response contains the token's claims, never the token."""

from __future__ import annotations

from pydantic import Field
from starlette.concurrency import run_in_threadpool
from typing_extensions import TypedDict  # required by pydantic before Python 3.12

from authsec_server.attestation.explain.model import (
    Nearest,
    Said,
    Satisfied,
    Shown,
    Step,
    StepName,
    StepState,
    TokenExplanation,
)
from authsec_server.attestation.explain.service import TokenExplainer
from authsec_server.issuers.api import ONE
from authsec_server.issuers.model import Provenance
from authsec_server.principal import Role
from authsec_server.web.bodies import Body
from authsec_server.web.instants import rfc3339
from authsec_server.web.operations import AnyOperation, Call, declared, operation


class Tried(Body):
    """Request to test a token. `token` is the pasted text; it may contain more than the token."""

    token: str = Field(repr=False)


class StepShown(TypedDict):
    """A step of the test, and its result."""

    step: StepName
    state: StepState
    said: str
    example: str | None


class SaidShown(TypedDict):
    """Claims of the token, unverified unless the signature is valid."""

    iss: str
    aud: list[str]
    sub: str
    expires_at: str | None


class ProvedShown(TypedDict):
    """A selector of the workload, and how the trusted issuer proves it."""

    key: str
    value: str
    proved_by: Provenance
    how: str


class SatisfiedShown(TypedDict):
    """One proof of the client. The workload satisfies this proof."""

    client_id: str
    name: str
    proof_id: str
    enabled: bool


class NearestShown(TypedDict):
    """A client's proof that the workload does not satisfy, and the differences."""

    client_id: str
    name: str
    proof_id: str
    differs: str


class TrialShown(TypedDict):
    """Result of the test. `claims` are the claims in the token.

    `signed` says whether the trusted issuer signed these claims.
    """

    trusted_issuer: str
    holds: bool
    signed: bool
    notes: list[str]
    steps: list[StepShown]
    claims: SaidShown | None
    selectors: list[ProvedShown]
    satisfies: list[SatisfiedShown]
    nearest: list[NearestShown]
    compared: int
    more: bool


def operations(trials: TokenExplainer) -> list[AnyOperation]:
    """Return the operation that tests a token."""

    @operation("POST", ONE + "/try", "tryToken", least=Role.OPERATOR, private=True, question=True)
    async def try_token(call: Call[Tried]) -> TrialShown:
        """Explain step by step whether a workload's token is accepted, and for which client.

        No delegation token is issued. The audit log records the test, but no part of the workload's token.
        """
        return as_json(await run_in_threadpool(trials.try_token, call.act, call.of("trusted_issuer"), call.body.token))

    return declared(try_token)


def as_json(trial: TokenExplanation) -> TrialShown:
    """Convert the result of the test to JSON."""
    return {
        "trusted_issuer": trial.trusted_issuer.slug,
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


def _step(step: Step) -> StepShown:
    return {"step": step.name, "state": step.state, "said": step.said, "example": step.example or None}


def _said(said: Said) -> SaidShown:
    return {
        "iss": said.issuer,
        "aud": list(said.audience),
        "sub": said.subject,
        "expires_at": rfc3339(said.expires_at),
    }


def _selector(shown: Shown) -> ProvedShown:
    return {
        "key": shown.selector.key,
        "value": shown.selector.value,
        "proved_by": shown.provenance,
        "how": shown.how,
    }


def _satisfied(each: Satisfied) -> SatisfiedShown:
    return {
        "client_id": each.client.id,
        "name": each.client.name,
        "proof_id": each.proof_id,
        "enabled": each.enabled,
    }


def _nearest(each: Nearest) -> NearestShown:
    return {
        "client_id": each.client.id,
        "name": each.client.name,
        "proof_id": each.miss.proof_id,
        "differs": each.miss.sentence,
    }
