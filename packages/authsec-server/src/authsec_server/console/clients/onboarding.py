"""Onboarding a client: the dialog over the list, and the check of selectors while they are typed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from starlette.responses import JSONResponse, Response

from authsec_server.clients import service as clients
from authsec_server.clients.model import Platform, parse_platform
from authsec_server.clients.selector_check import SelectorCheck, check_selectors
from authsec_server.clients.selector_keys import SelectorKey
from authsec_server.clients.selectors import KEYS
from authsec_server.clients.vouching import FITTING
from authsec_server.console import guard
from authsec_server.console.clients.found import home
from authsec_server.console.clients.lines import KEY_FILE, KEYGEN
from authsec_server.console.clients.listing import list_context
from authsec_server.console.clients.typed import TypedClient, typed_client
from authsec_server.console.clients.typed_proof import EXAMPLES, Rows, TypedProof
from authsec_server.console.site import Visit
from authsec_server.failures import Conflict, Invalid
from authsec_server.sources import service as sources
from authsec_server.sources.model import SourceKind, TrustSource

TITLE = "Onboard New Client"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What the form shows for one platform with selectors. `checks` is there once something was typed."""

    platform: Platform
    rows: Rows
    examples: Rows
    keys: Sequence[SelectorKey]
    checks: SelectorCheck | None
    sources: Sequence[TrustSource]  # that know such workloads
    source: str  # the id of the one chosen

    @property
    def first_wrong(self) -> int:
        """The row to go to; -1 where no row is wrong by itself."""
        rows = self.checks.rows if self.checks else ()
        return next((index for index, row in enumerate(rows) if row.problem), -1)


async def blank(visit: Visit) -> Response:
    """The empty dialog."""
    return await _dialog(visit, TypedClient())


async def onboard(visit: Visit) -> Response:
    """Onboard what was typed, or show one more row to type into."""
    typed, domain = typed_client(visit.form), visit.console.settings.trust_domain
    if visit.form.ticked("add"):
        return await _dialog(visit, replace(typed, proof=typed.proof.with_row(visit.form.text("add"))))
    try:
        wanted = typed.onboarding()
        client = await visit.change(lambda tx, act: clients.create(tx, act, wanted, trust_domain=domain))
    except (Invalid, Conflict) as problem:
        return await _dialog(visit, typed, typed.at_field(problem))
    return visit.redirect(home(client), done="client_onboarded")


async def check(visit: Visit) -> Response:
    """What is to be said about the rows typed so far; for the script that asks while somebody types."""
    rows = list(zip(visit.form.all("key"), visit.form.all("value"), strict=False))
    checked = check_selectors(parse_platform(visit.form.text("platform")), rows)
    return JSONResponse({"rows": [asdict(row) for row in checked.rows]}, headers=dict(guard.HEADERS))


async def section_context(visit: Visit, typed: TypedProof, *, judged: bool) -> dict[str, Any]:
    """What the fields of a proof need. `judged`: they were sent, so the chosen platform's rows say what is wrong."""
    registered = await visit.read(lambda tx: {kind: sources.of_kind(tx, kind) for kind in SourceKind})
    sections = [
        Section(
            platform=platform,
            rows=typed.rows[platform],
            examples=EXAMPLES[platform],
            keys=keys,
            checks=check_selectors(platform, typed.rows[platform]) if judged and typed.platform == platform else None,
            sources=[source for kind in FITTING[platform] for source in registered[kind]],
            source=typed.sources.get(platform, ""),
        )
        for platform, keys in KEYS.items()
    ]
    return {"sections": sections, "keygen": KEYGEN, "key_file": KEY_FILE}


async def _dialog(visit: Visit, typed: TypedClient, problem: Invalid | Conflict | None = None) -> Response:
    return visit.render(
        "clients/onboard.html",
        title=TITLE,
        problem=problem,
        typed=typed,
        **await section_context(visit, typed.proof, judged=problem is not None),
        **await list_context(visit),
    )
