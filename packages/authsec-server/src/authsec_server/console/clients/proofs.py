"""The proofs of a client: the fields of a proof with feedback on each selector; add, bind, remove, rotate a secret."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from starlette.responses import JSONResponse, Response

from authsec_server.clients import bindings
from authsec_server.clients import service as clients
from authsec_server.clients.binding_matching import FITTING, fits
from authsec_server.clients.held_proofs import add_proof, remove_proof, rotate_secret
from authsec_server.clients.model import OVERLAP, Client, NewProof, Platform, parse_platform
from authsec_server.clients.proof_status import removal_caution
from authsec_server.clients.selectors import KEYS
from authsec_server.console import guard
from authsec_server.console.clients.connect import KEY_FILE, KEYGEN, SECRET_FILE, SECRET_VARIABLE
from authsec_server.console.clients.detail import find_client, held, home, overview, trail
from authsec_server.console.clients.forms import TypedProof, at_fields, typed_proof
from authsec_server.console.clients.next_step import narrowed
from authsec_server.console.clients.oauth_clients import MAKE_KEY
from authsec_server.console.clients.selector_fields import (
    KEY_OPTIONS,
    Feedback,
    KeyOption,
    feedback_on,
    split_key,
    typed_rows,
)
from authsec_server.console.confirm import Confirmation, Question, once, redirect_to
from authsec_server.console.forms import typed_instant
from authsec_server.console.issuers.unavailable import ask_now, unavailable_among
from authsec_server.console.site import PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import impact
from authsec_server.delegations import search as delegations
from authsec_server.delegations.client_state import ClientState
from authsec_server.delegations.impact import Impact
from authsec_server.failures import Conflict, FailureList, Invalid, NotFound
from authsec_server.issuers import service as issuers
from authsec_server.issuers.model import TrustedIssuer, TrustedIssuerKind
from authsec_server.principal import Act


async def blank(visit: PageRequest) -> Response:
    """Show the form: empty, with the platform in the query, or without the pod look-ups of the proof in the query."""
    client = await visit.read(lambda tx: find_client(tx, visit))
    platform, empty = visit.query.text("platform"), TypedProof()
    if rows := narrowed(client, visit.query.text("without_lookup")):
        platform, empty = Platform.KUBERNETES, replace(empty, rows={**empty.rows, Platform.KUBERNETES: rows})
    return await _form(visit, replace(empty, platform=platform if platform in set(Platform) else ""), "")


async def bind(visit: PageRequest) -> Response:
    """Bind the proof to the trusted issuer in the form. For an admin, ask the trusted issuer whether it answers."""
    asked, proof_id, domain = visit.named("client"), visit.named("proof"), visit.console.settings.trust_domain

    def work(tx: Tx, act: Act) -> tuple[Client, TrustedIssuer]:
        client = clients.get(tx, act, asked)
        if proof_id not in {proof.id for proof in client.proofs}:
            raise _no_proof(client)
        bindings.bind(tx, act, visit.form.text("trusted_issuer"), [proof_id], trust_domain=domain)
        return client, issuers.get(tx, act, visit.form.text("trusted_issuer"))

    try:
        client, trusted_issuer = await visit.change(work)
    except (Invalid, Conflict) as problem:
        return await overview(visit, problem)
    if visit.may("admin"):
        await ask_now(visit, [trusted_issuer])
    return visit.redirect(home(client), done="proof_bound")


async def check_issuers(visit: PageRequest) -> Response:
    """Ask the client's unavailable trusted issuers again. The client's page shows the result."""
    client = await visit.read(lambda tx: find_client(tx, visit))
    silent = await unavailable_among(visit, client.trusted_issuer_ids)
    await ask_now(visit, [each.trusted_issuer for each in silent.values()])
    return visit.redirect(home(client))


def _no_proof(client: Client) -> NotFound:
    return NotFound(f"{client.name} does not have this proof.", "See the client's page for its current proofs.")


async def add(visit: PageRequest) -> Response:
    """Add the proof, or add a row to the form."""
    typed, expires = typed_proof(visit.form), visit.form.text("expires_at")
    if visit.form.ticked("add"):
        return await _form(visit, typed.with_row(visit.form.text("add")), expires)
    asked, domain = visit.named("client"), visit.console.settings.trust_domain
    try:
        wanted = _new_proof(typed, expires)
        client = await visit.change(lambda tx, act: add_proof(tx, act, asked, wanted, trust_domain=domain))
    except (Invalid, Conflict) as problem:
        return await _form(visit, typed, expires, at_fields(problem))
    return shown_secret(visit, client) if client.fresh_secret else visit.redirect(home(client), done="proof_added")


def _new_proof(typed: TypedProof, expires: str) -> NewProof:
    problems = FailureList()
    with problems.collect():
        platform = typed.chosen()
    with problems.collect():
        expires_at = typed_instant("expires_at", expires)
    problems.raise_all()
    return NewProof(
        platform=platform,
        selectors=typed.selectors,
        public_key=typed.asked_key,
        trusted_issuer=typed.trusted_issuer,
        expires_at=expires_at,
    )


async def _form(
    visit: PageRequest, typed: TypedProof, expires: str, problem: Invalid | Conflict | None = None
) -> Response:
    client = await visit.read(lambda tx: find_client(tx, visit))
    return visit.render(
        "clients/add_proof.html",
        title="Add a proof",
        problem=problem,
        client=client,
        typed=typed,
        expires=expires,
        **await section_context(visit, typed, judged=problem is not None),
    )


def _look_at_removal(tx: Tx, visit: PageRequest) -> Question:
    client, proof_id = find_client(tx, visit), visit.named("proof")
    for each in held(tx, client, visit.act.now, visit.console.settings.trust_domain):
        if each.proof.id == proof_id:
            stops = impact.of_proof(tx, visit.act, client.id, proof_id)
            caution = removal_caution(client, each.proof, visit.act.now)
            return Question(
                trail=trail(client),
                ids={"client": client.id},
                shown={
                    "client": client,
                    "held": each,
                    "stops": stops,
                    "caution": caution or _no_grant_caution(tx, client, stops, visit.act.now),
                },
            )
    raise _no_proof(client)


def _no_grant_caution(tx: Tx, client: Client, stops: Impact, now: datetime) -> str:
    """Return a warning if the client gets tokens now, and none by its other proofs. Return "" otherwise."""
    if client.id in stops.go_on or delegations.state_of(tx, client, now) is not ClientState.READY:
        return ""
    return (
        f"No live trust delegation accepts the other proofs of {client.name}. Without this proof, the client gets no "
        "token."
    )


REMOVE = Confirmation(
    path="/clients/{client}/proofs/{proof}/remove",
    template="clients/remove_proof.html",
    heading="Remove this proof?",
    button="Remove proof",
    look=_look_at_removal,
    change=once(lambda tx, act, visit: remove_proof(tx, act, visit.named("client"), visit.named("proof"))),
    after=redirect_to("/console/clients/{client}", done="proof_removed"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormSection:
    """The part of the form for one platform with selectors.

    `rows` has the chosen option, the parameter and the value of each selector row, and `feedback` the feedback on
    each. `judged` is true after the person has sent the rows; errors are then shown.
    """

    platform: Platform
    rows: Sequence[tuple[str, str, str]]
    options: Sequence[KeyOption]
    feedback: Feedback
    judged: bool
    trusted_issuers: Sequence[TrustedIssuer]  # that can prove workloads of this platform
    trusted_issuer: str  # the id of the chosen trusted issuer


async def check(visit: PageRequest) -> Response:
    """Return the feedback on the typed selector rows, as JSON for the page's script."""
    platform, named = parse_platform(visit.form.text("platform")), visit.form.text("trusted_issuer")
    rows = typed_rows(visit.form)
    kinds = FITTING.get(platform, ())
    registered = await visit.read(lambda tx: issuers.of_kinds(tx, kinds))
    domain = visit.console.settings.trust_domain
    feedback = feedback_on(platform, rows, registered, named=named, trust_domain=domain, judged=False)
    told = [{"wrong": each.wrong, **asdict(each)} for each in feedback.rows]
    trusted_issuer = feedback.preview.trusted_issuer
    silent = await unavailable_among(visit, [trusted_issuer.id] if trusted_issuer else [])
    shown = {"preview": feedback.preview, "has_wrong": feedback.has_wrong, "silent": silent}
    parts = {part: visit.part("clients/outlook.html", part=part, **shown) for part in ("outlook", "verdict")}
    return JSONResponse({"rows": told, **parts}, headers=dict(guard.HEADERS))


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
    return {
        "sections": sections,
        "silent": silent,
        "keygen": f"{visit.program} {KEYGEN}",
        "has_wheels": bool(visit.console.sdk),
        "key_file": KEY_FILE,
        "make_key": MAKE_KEY.format(key_file=KEY_FILE),
    }


def _section(
    typed: TypedProof, platform: Platform, registered: list[TrustedIssuer], domain: str, *, judged: bool
) -> FormSection:
    rows, named = typed.rows[platform], typed.trusted_issuers.get(platform, "")
    return FormSection(
        platform=platform,
        rows=[(*split_key(platform, key), value) for key, value in rows],
        options=KEY_OPTIONS[platform],
        feedback=feedback_on(platform, rows, registered, named=named, trust_domain=domain, judged=judged),
        judged=judged,
        trusted_issuers=[trusted_issuer for trusted_issuer in registered if fits(platform, (), trusted_issuer, domain)],
        trusted_issuer=named,
    )


OVERLAPS: Mapping[str, str] = {
    "0": "stop working now, with their tokens (a secret was leaked)",
    "3600": "work for 1 more hour",
    "86400": "work for 24 more hours",
    "604800": "work for 7 more days",
}

_DEFAULT = int(OVERLAP.total_seconds())


def shown_secret(visit: PageRequest, client: Client) -> Response:
    """Show the new secret. It cannot be shown again: the server stores only a hash of the secret."""
    return visit.render(
        "clients/secret.html",
        title="Client secret",
        client=client,
        proof=next(proof for proof in client.proofs if proof.secret),
        file=SECRET_FILE,
        variable=SECRET_VARIABLE,
    )


def _look_at_rotation(tx: Tx, visit: PageRequest) -> Question:
    """Return the form that rotates the secret, and the impact if the older secrets end at once."""
    client = find_client(tx, visit)
    return Question(
        trail=trail(client),
        ids={"client": client.id},
        shown={
            "client": client,
            "stops": impact.of_secrets(tx, visit.act, client.id, at_once=True),
            "overlaps": OVERLAPS.items(),
            "overlap": visit.form.text("overlap", str(_DEFAULT)),
        },
    )


def _rotate(tx: Tx, act: Act, visit: PageRequest) -> Client:
    overlap = timedelta(seconds=min(visit.form.number("overlap", _DEFAULT), 10**9))
    return rotate_secret(tx, act, visit.named("client"), overlap)


ROTATE = Confirmation(
    path="/clients/{client}/secret",
    template="clients/rotate_secret.html",
    heading="Rotate secret",
    button="Rotate secret",
    danger=False,
    look=_look_at_rotation,
    change=once(_rotate),
    after=shown_secret,
)
