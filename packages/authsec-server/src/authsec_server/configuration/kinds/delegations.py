"""Trust delegations in a document."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from authsec_server import naming
from authsec_server.configuration.document import DelegationShape
from authsec_server.configuration.durations import as_typed, instead_of, seconds_of
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
)
from authsec_server.configuration.reading import Present
from authsec_server.configuration.steps import PlannedStep, PlanTurn, Setting, making
from authsec_server.db import Tx
from authsec_server.delegations import editing, service, validation
from authsec_server.delegations.model import (
    DESCRIBED,
    ENDED_STATES,
    Delegation,
    DelegationState,
    Proposal,
    as_granted,
    state,
)
from authsec_server.failures import Invalid
from authsec_server.principal import Act
from authsec_server.revisions import checked, plain
from authsec_server.web.instants import parse_instant, rfc3339

Resolve = Callable[[str, str], str]
"""A function of a field and a text. It returns the audience that the text will name after the document is applied."""


def exported(delegation: Delegation, present: Present) -> Facts:
    """Return the delegation as a configuration document writes it.

    The document names an audience by the slug of its API, if the slug is unambiguous.
    """
    by_identifier = {api.identifier: slug for slug, api in present.apis.items() if slug not in delegation.audiences}
    its = {**_facts(delegation, present), "enabled": None if delegation.enabled else False}
    return filled({**its, "audiences": [by_identifier.get(each, each) for each in delegation.audiences]})


def facts(delegation: Delegation, present: Present) -> Facts:
    """Return the delegation's values for the comparison with a document."""
    return filled(_facts(delegation, present))


def step(
    slug: str, shape: DelegationShape, present: Present, setting: Setting, resolve: Resolve, *, renew: bool
) -> PlannedStep | None:
    """Plan the change that makes the delegation match the document; None if it matches already. Raises `Invalid`.

    A delegation that expired as the document says needs no change. Any other expired or revoked delegation is
    created again with `renew`. Without `renew`, the document is refused, because a document must not undo a
    revocation.
    """
    held = present.delegations.get(slug)
    wanted = _wanted(shape, held, resolve)
    if held is not None and state(held, present.now) in ENDED_STATES:
        if held.revoked_at is None and _same(facts(held, present), wanted):
            return None  # the delegation expired at the time in the document
        if not renew:
            raise _over(held)
        held = None
    if held is not None:
        _require_fixed(held, shape, present)
    stays = held is None or held.enabled
    enabled = stays if shape.enabled is None else shape.enabled
    set_enabled = service.enable if enabled else service.disable
    return making(
        Section.DELEGATIONS,
        slug if held else new_slug(slug),
        facts(held, present) if held else None,
        {**wanted, "enabled": enabled},
        turn=PlanTurn.DELEGATIONS,
        do=partial(_edit, held, shape, wanted, setting) if held else partial(_create, slug, shape, wanted, setting),
        switch=partial(set_enabled, id_or_slug=slug, terms=setting.terms) if enabled != stays else None,
        besides=len(shape.audiences),
    )


def note(slug: str, shape: DelegationShape, present: Present) -> Note | None:
    """Return a note if the document names a delegation that grants nothing: it has ended or is disabled."""
    held = present.delegations.get(slug)
    if held is None:
        return None
    its, text = state(held, present.now), ""
    if its is DelegationState.ENDED and held.ends_at:
        text = (
            f"This delegation expired on {rfc3339(held.ends_at)} and grants nothing. Remove the delegation from "
            "the document."
        )
    if its is DelegationState.DISABLED and shape.enabled is None:
        text = STAYS_OFF
    return Note(section=Section.DELEGATIONS, slug=slug, text=text) if text else None


def removal_step(held: Delegation, present: Present, setting: Setting, *, with_agent: bool) -> PlannedStep:
    """Plan the revocation of the delegation. A revocation is final.

    With `with_agent` the step has no parts: deleting the agent revokes the delegation.
    """
    its = differences(facts(held, present), {})
    change = Change(verb=Verb.REMOVE, section=Section.DELEGATIONS, slug=held.slug, differences=its)
    revoke = partial(_revoke, held, setting)
    return PlannedStep(change=change, parts=() if with_agent else ((PlanTurn.REVOKE_DELEGATIONS, revoke),))


def _facts(delegation: Delegation, present: Present) -> dict[str, object]:
    return {
        "agent": present.slugs[delegation.client_id],
        "role": present.slugs[delegation.role_id],
        **as_granted(delegation),
        "max_duration": as_typed(delegation.max_duration),
        "require_dpop": delegation.require_dpop or None,  # a document leaves out false
        "ends_at": rfc3339(delegation.ends_at),
        **plain(DESCRIBED, delegation),
        "enabled": delegation.enabled,
    }


def _wanted(shape: DelegationShape, held: Delegation | None, resolve: Resolve) -> dict[str, object]:
    described = checked(DESCRIBED, _described(shape))
    kept = held.audiences if held else ()
    named = [each if each in kept else resolve(f"audiences.{n}", each) for n, each in enumerate(shape.audiences)]
    its = {
        "agent": shape.agent,
        "role": shape.role,
        "target_type": validation.target_type(shape.target_type).value,
        "actions": sorted(set(shape.actions)),
        "max_duration": as_typed(_seconds(shape)),
        "audiences": list(validation.audiences(named)),
        "excluded_proofs": [each.value for each in validation.excluded_proofs(shape.excluded_proofs)],
        "require_dpop": shape.require_dpop or None,
        "ends_at": rfc3339(_end(shape)),
        "owner": held.owner if held else None,
        **described,
    }
    return filled(its)


def _end(shape: DelegationShape) -> datetime | None:
    return None if shape.ends_at is None else parse_instant("ends_at", shape.ends_at)


def _seconds(shape: DelegationShape) -> int:
    text = str(shape.max_duration)
    found = shape.max_duration if isinstance(shape.max_duration, int) else seconds_of(text)
    if found is None:
        raise Invalid("max_duration", f"{naming.quoted(text)} is not a duration.", instead_of(text))
    if found < validation.SHORTEST and isinstance(shape.max_duration, int):  # probably the unit is missing
        message = (
            f"max_duration without a unit is in seconds: {found} is less than the minimum of {validation.SHORTEST}."
        )
        raise Invalid("max_duration", message, instead_of(text))
    return found


def _same(before: Facts, wanted: Facts) -> bool:
    return {**before, "enabled": None} == {**wanted, "enabled": None}


def _over(held: Delegation) -> Invalid:
    was = f"was revoked by {held.changed_by}" if held.revoked_at else "expired"
    at = held.revoked_at or held.ends_at
    return Invalid(
        "",
        f"This delegation {was} on {rfc3339(at)}, which cannot be undone. The document still lists the delegation.",
        "Remove the delegation from the document. To create the same delegation again: --renew on the command line, "
        "renew in the API.",
    )


def _require_fixed(held: Delegation, shape: DelegationShape, present: Present) -> None:
    for field, id_, asked in (("agent", held.client_id, shape.agent), ("role", held.role_id, shape.role)):
        its = present.slugs[id_]
        if asked != its:
            other = (
                "Use another slug for the new delegation, and remove the old delegation from the document. With "
                "--prune, the old delegation is revoked."
            )
            renamed = f" To give {its} the slug {asked}, rename it first: authsec agents edit {its} --slug {asked}"
            is_new = field == "agent" and asked not in present.agents
            raise Invalid(
                field,
                f"The {field} of this delegation is {its}, which cannot be changed.",
                other + (renamed if is_new else ""),
            )


def _create(slug: str, shape: DelegationShape, wanted: Facts, setting: Setting, tx: Tx, act: Act) -> object:
    asked = Proposal(slug=slug, role=shape.role, client=shape.agent, **_values(shape, wanted))
    return service.create(tx, act, asked, setting.terms)


def _edit(held: Delegation, shape: DelegationShape, wanted: Facts, setting: Setting, tx: Tx, act: Act) -> object:
    changes = _values(shape, wanted)
    if rfc3339(held.ends_at) == wanted.get("ends_at"):  # a document has no fractions of a second
        del changes["ends_at"]
    return editing.edit(tx, act, held.id, changes, setting.terms, revision=held.revision)


def _values(shape: DelegationShape, wanted: Facts) -> dict[str, Any]:
    """Return the document's values for a new or existing delegation, not validated."""
    return {
        "target_type": shape.target_type,
        "max_duration": _seconds(shape),
        "actions": tuple(shape.actions),
        "audiences": _texts(wanted, "audiences"),
        "excluded_proofs": _texts(wanted, "excluded_proofs"),
        "require_dpop": shape.require_dpop,
        "ends_at": _end(shape),
        **_described(shape),
    }


def _described(shape: DelegationShape) -> dict[str, Any]:
    """Return the delegation's description in the document, not validated. An owner that is left out is not changed."""
    its = {field: getattr(shape, field) for field in DESCRIBED}
    return {field: value for field, value in its.items() if value is not None}


def _revoke(held: Delegation, setting: Setting, tx: Tx, act: Act) -> object:
    return service.revoke(tx, act, held.id, setting.terms)


def _texts(wanted: Facts, field: str) -> tuple[str, ...]:
    found = wanted.get(field, ())
    assert isinstance(found, list | tuple)
    return tuple(found)
