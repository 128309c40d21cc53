"""Onboard a client: the dialog above the list, and the check of selectors while a person types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from starlette.responses import JSONResponse, Response

from authsec_server.clients import service as clients
from authsec_server.clients.binding_matching import FITTING, fits
from authsec_server.clients.model import Platform, parse_platform
from authsec_server.clients.selectors.keys import SelectorKey
from authsec_server.clients.selectors.parsing import KEYS
from authsec_server.console import guard
from authsec_server.console.clients import secret
from authsec_server.console.clients.client_lookup import home
from authsec_server.console.clients.connect_snippets import KEY_FILE, KEYGEN
from authsec_server.console.clients.forms import (
    EXAMPLES,
    Feedback,
    Rows,
    TypedClient,
    TypedProof,
    feedback_on,
    typed_client,
)
from authsec_server.console.clients.listing import list_context
from authsec_server.console.issuers.unavailable import unavailable_among
from authsec_server.console.site import PageRequest
from authsec_server.failures import Conflict, Invalid
from authsec_server.issuers import service as issuers
from authsec_server.issuers.model import TrustedIssuer, TrustedIssuerKind

TITLE = "Onboard New Client"


@dataclass(frozen=True, slots=True, kw_only=True)
class FormSection:
    """The part of the form for one platform with selectors.

    `feedback` is the feedback on the selector rows. `judged` is true after the person has sent the rows; errors
    are then shown.
    """

    platform: Platform
    rows: Rows
    examples: Rows
    keys: Sequence[SelectorKey]
    feedback: Feedback
    judged: bool
    kinds: Sequence[TrustedIssuerKind]  # of trusted issuers that can know such workloads
    trusted_issuers: Sequence[TrustedIssuer]  # that know them
    trusted_issuer: str  # the id of the one chosen


async def blank(visit: PageRequest) -> Response:
    """Show the empty dialog."""
    return await _dialog(visit, TypedClient())


async def onboard(visit: PageRequest) -> Response:
    """Onboard the client, or add a row to the form."""
    typed, domain = typed_client(visit.form), visit.console.settings.trust_domain
    if visit.form.ticked("add"):
        return await _dialog(visit, replace(typed, proof=typed.proof.with_row(visit.form.text("add"))))
    try:
        wanted = typed.onboarding()
        client = await visit.change(lambda tx, act: clients.create(tx, act, wanted, trust_domain=domain))
    except (Invalid, Conflict) as problem:
        return await _dialog(visit, typed, typed.at_field(problem))
    return secret.shown(visit, client) if client.fresh_secret else visit.redirect(home(client), done="client_onboarded")


async def check(visit: PageRequest) -> Response:
    """Return the feedback on the typed selector rows, as JSON for the page's script."""
    rows = list(zip(visit.form.all("key"), visit.form.all("value"), strict=False))
    platform, named = parse_platform(visit.form.text("platform")), visit.form.text("trusted_issuer")
    kinds = FITTING.get(platform, ())
    registered = await visit.read(lambda tx: issuers.of_kinds(tx, kinds))
    domain = visit.console.settings.trust_domain
    feedback = feedback_on(platform, rows, registered, named=named, trust_domain=domain, judged=False)
    told = [{"wrong": each.wrong, **asdict(each)} for each in feedback.rows]
    trusted_issuer = feedback.preview.trusted_issuer
    silent = await unavailable_among(visit, [trusted_issuer.id] if trusted_issuer else [])
    outlook = visit.part(
        "clients/outlook.html", preview=feedback.preview, platform=platform, kinds=kinds, silent=silent
    )
    return JSONResponse({"rows": told, "outlook": outlook}, headers=dict(guard.HEADERS))


async def section_context(visit: PageRequest, typed: TypedProof, *, judged: bool) -> dict[str, Any]:
    """Return the template context of the proof fields.

    `judged` is true after the person has sent the form. The rows of the chosen platform then show their errors.
    """
    registered = await visit.read(lambda tx: issuers.of_kinds(tx, [*TrustedIssuerKind]))
    domain = visit.console.settings.trust_domain
    sections = [
        _section(
            typed,
            platform,
            [trusted_issuer for trusted_issuer in registered if trusted_issuer.kind in FITTING[platform]],
            domain,
            judged=judged and typed.platform == platform,
        )
        for platform in KEYS
    ]
    chosen = {
        section.feedback.preview.trusted_issuer.id for section in sections if section.feedback.preview.trusted_issuer
    }
    silent = await unavailable_among(visit, chosen)
    return {"sections": sections, "silent": silent, "keygen": KEYGEN, "key_file": KEY_FILE}


def _section(
    typed: TypedProof, platform: Platform, registered: list[TrustedIssuer], domain: str, *, judged: bool
) -> FormSection:
    rows, named = typed.rows[platform], typed.trusted_issuers.get(platform, "")
    return FormSection(
        platform=platform,
        rows=rows,
        examples=EXAMPLES[platform],
        keys=KEYS[platform],
        feedback=feedback_on(platform, rows, registered, named=named, trust_domain=domain, judged=judged),
        judged=judged,
        kinds=FITTING[platform],
        trusted_issuers=[trusted_issuer for trusted_issuer in registered if fits(platform, (), trusted_issuer, domain)],
        trusted_issuer=named,
    )


async def _dialog(visit: PageRequest, typed: TypedClient, problem: Invalid | Conflict | None = None) -> Response:
    return visit.render(
        "clients/onboard.html",
        title=TITLE,
        problem=problem,
        typed=typed,
        **await section_context(visit, typed.proof, judged=problem is not None),
        **await list_context(visit),
    )
