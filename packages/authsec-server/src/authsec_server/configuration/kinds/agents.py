"""Agents in a document, with their proofs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from authsec_server.clients import bindings, held_proofs, service
from authsec_server.clients.model import EDITABLE, Client, ClientKind, Onboarding, Proof, ProofKind
from authsec_server.configuration.document import AgentShape
from authsec_server.configuration.kinds import proofs
from authsec_server.configuration.kinds.proofs import SECRET, ComparedProofs, WantedProof
from authsec_server.configuration.model import (
    STAYS_OFF,
    Change,
    Facts,
    Note,
    Section,
    Verb,
    differences,
    filled,
    new_slug,
    require_kind,
)
from authsec_server.configuration.reading import Present
from authsec_server.configuration.steps import Do, PlannedStep, PlanTurn, Setting
from authsec_server.db import Tx
from authsec_server.delegations import service as delegations
from authsec_server.failures import Invalid
from authsec_server.principal import Act
from authsec_server.revisions import Fields, checked, plain

# In a document, the slug is the key of the agent, not a field.
_DESCRIBED: Fields = {name: its for name, its in EDITABLE.items() if name != "slug"}


def exported(client: Client, present: Present) -> Facts:
    """Return the agent as a configuration document writes it."""
    its = {
        "name": client.name,
        "kind": client.kind.value if client.kind is not ClientKind.AI_AGENT else None,
        **plain(_DESCRIBED, client),
        "enabled": None if client.enabled else False,
    }
    return {**filled(its), "proofs": proofs.exported(client, present.slugs, present.now)}


def facts(client: Client, present: Present) -> Facts:
    """Return the agent's values for the comparison with a document."""
    its = {
        "name": client.name,
        "kind": client.kind.value,
        **plain(_DESCRIBED, client),
        "enabled": client.enabled,
        "proofs": proofs.facts(client, present.slugs, present.now),
    }
    return filled(its)


def step(slug: str, shape: AgentShape, present: Present, setting: Setting) -> PlannedStep | None:
    """Plan the change that makes the agent match the document; None if it matches already. Raises `Invalid`."""
    held = present.agents.get(slug)
    if held is not None:
        require_kind(held.kind, shape.kind, told=f"registered as {held.kind}")
    compared = proofs.compared(held, proofs.wanted(shape.proofs), present.slugs, present.now)
    enabled = (held is None or held.enabled) if shape.enabled is None else shape.enabled
    after = _wanted(slug, shape, held, compared, present)
    differing = differences(facts(held, present) if held else None, {**after, "enabled": enabled})
    if not differing and not compared.bound:
        return None
    change = Change(
        verb=Verb.EDIT if held else Verb.CREATE,
        section=Section.AGENTS,
        slug=slug if held else new_slug(slug),
        differences=differing,
        unattested=any(each.platform == "unattested" for each in shape.proofs),
    )
    if held is None:
        return PlannedStep(change=change, parts=_creating(slug, shape, compared, enabled, setting))
    return PlannedStep(change=change, parts=_editing(held, shape, compared, differing_fields(change), enabled, setting))


def differing_fields(change: Change) -> frozenset[str]:
    """Return the names of the fields that the change modifies."""
    return frozenset(each.field for each in change.differences)


def notes(slug: str, shape: AgentShape, present: Present) -> list[Note]:
    """Return notes on what the document cannot do: enable a disabled agent without `enabled`, or create a secret.

    A reader of the document may expect that applying the document does both.
    """
    held, says_secret = present.agents.get(slug), _says_secret(shape)
    found = []
    if held is not None and not held.enabled and shape.enabled is None:
        found.append(STAYS_OFF)
    if says_secret and not (held and held.holds_secret(present.now)):
        found.append(
            "The agent has no secret yet, and a document cannot create a secret. After the agent is created: "
            f"authsec agents proofs add {slug} --platform secret --secret-file FILE"
        )
    return [Note(section=Section.AGENTS, slug=slug, text=text) for text in found]


def removal_step(held: Client, present: Present, setting: Setting, *, revoked: Collection[str]) -> PlannedStep:
    """Plan the deletion of the agent.

    `revoked` are the slugs of the delegations that only the deletion revokes.
    """
    told = f"These delegations will be revoked as well: {', '.join(sorted(revoked))}"
    change = Change(
        verb=Verb.REMOVE,
        section=Section.AGENTS,
        slug=held.slug,
        differences=differences(facts(held, present), {}),
        notes=(told,) if revoked else (),
    )
    return PlannedStep(
        change=change,
        parts=((PlanTurn.DELETE_AGENTS, lambda tx, act: delegations.delete_client(tx, act, held.id, setting.terms)),),
        besides=len(revoked),
    )


def _wanted(
    slug: str, shape: AgentShape, held: Client | None, compared: ComparedProofs, present: Present
) -> dict[str, object]:
    lines = [proofs.line(each.proof, each.trusted_issuer) for each in (*compared.bound, *compared.new)]
    for each in compared.staying:
        assert each.held is not None
        if each.held.is_valid(present.now):
            lines.append(proofs.line(each.held, present.slugs.get(each.held.trusted_issuer_id or "")))
    if _says_secret(shape) and held is not None and held.holds_secret(present.now):
        lines.append(SECRET)
    described = checked(_DESCRIBED, _said(slug, shape))
    its = {
        "name": described["name"],
        "kind": shape.kind,
        "owner": held.owner if held else None,
        **{field: _DESCRIBED[field].plain(value) for field, value in described.items()},
        "enabled": True,
        "proofs": sorted(lines),
    }
    return filled(its)


def _said(slug: str, shape: AgentShape) -> dict[str, Any]:
    """Return the agent's description in the document, not validated. An owner that is left out is not changed."""
    its = {field: getattr(shape, field) for field in _DESCRIBED} | {"name": slug if shape.name is None else shape.name}
    return {field: value for field, value in its.items() if value is not None}


def _says_secret(shape: AgentShape) -> bool:
    return any(each.platform == SECRET for each in shape.proofs)


def _creating(
    slug: str, shape: AgentShape, compared: ComparedProofs, enabled: bool, setting: Setting
) -> tuple[tuple[PlanTurn, Do], ...]:
    if not compared.new:
        raise Invalid(
            "proofs",
            "A new agent needs a proof, and a document cannot create a secret."
            if _says_secret(shape)
            else "A new agent needs a proof: without one it could never get a token.",
            f"Use another kind of proof, or create the agent with a secret: authsec agents create {slug} --platform "
            "secret --secret-file FILE",
        )
    first, *others = compared.new
    does: list[Do] = [partial(_create, slug, shape, first, setting)]
    does += [partial(_add, slug, each, after, setting) for after, each in enumerate(others, 1)]
    if not enabled:
        does.append(lambda tx, act: service.disable(tx, act, slug))
    return tuple((PlanTurn.AGENTS, do) for do in does)


def _editing(
    held: Client, shape: AgentShape, compared: ComparedProofs, fields: Collection[str], enabled: bool, setting: Setting
) -> tuple[tuple[PlanTurn, Do], ...]:
    secrets = [] if _says_secret(shape) else [each for each in held.proofs if each.kind is ProofKind.SECRET]
    parts: list[tuple[PlanTurn, Do]] = [
        (PlanTurn.TAKE_PROOFS, partial(_take, held, proof)) for proof in (*compared.gone, *secrets)
    ]
    if {*_DESCRIBED} & {*fields}:
        parts.append((PlanTurn.AGENTS, partial(_describe, held, shape)))
    parts += [(PlanTurn.AGENTS, partial(_bind, each, setting)) for each in compared.bound]
    parts += [
        (PlanTurn.AGENTS, partial(_add, held.id, each, after, setting)) for after, each in enumerate(compared.new, 1)
    ]
    if enabled != held.enabled:
        turn = service.enable if enabled else service.disable
        parts.append((PlanTurn.AGENTS, lambda tx, act: turn(tx, act, held.id)))
    return tuple(parts)


def _create(slug: str, shape: AgentShape, first: WantedProof, setting: Setting, tx: Tx, act: Act) -> object:
    its = first.new()
    onboarding = Onboarding(
        **{"slug": slug, **_said(slug, shape)},
        platform=its.platform,
        kind=ClientKind(shape.kind),
        selectors=its.selectors,
        public_key=its.public_key,
        trusted_issuer=its.trusted_issuer,
        expires_at=its.expires_at,
    )
    with proofs.within(first.index):
        return service.create(tx, act, onboarding, trust_domain=setting.trust_domain)


def _add(agent: str, wanted: WantedProof, after: int, setting: Setting, tx: Tx, act: Act) -> object:
    """Add one more proof to the agent.

    The oldest proof defines the agent's platform. Proofs that are added together therefore get ascending times:
    `after` is the position of this proof.
    """
    in_order = replace(act, now=act.now + timedelta(microseconds=after))
    with proofs.within(wanted.index):
        return held_proofs.add_proof(tx, in_order, agent, wanted.new(), trust_domain=setting.trust_domain)


def _bind(wanted: WantedProof, setting: Setting, tx: Tx, act: Act) -> object:
    assert wanted.held is not None
    assert wanted.trusted_issuer is not None
    with proofs.within(wanted.index):
        return bindings.bind(tx, act, wanted.trusted_issuer, [wanted.held.id], trust_domain=setting.trust_domain)


def _take(held: Client, proof: Proof, tx: Tx, act: Act) -> object:
    return held_proofs.remove_proof(tx, act, held.id, proof.id)


def _describe(held: Client, shape: AgentShape, tx: Tx, act: Act) -> object:
    """Edit the agent's description.

    The function reads the agent's revision again. The same request may have removed proofs, and this must not
    look like another person's change.
    """
    revision = service.get(tx, act, held.id).revision
    return service.edit(tx, act, held.id, revision=revision, changes=_said(held.slug, shape))
