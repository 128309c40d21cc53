"""Trusted issuers in a document.

Certificates and keys are compared by fingerprint, because people cannot read the full text.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Final

from authsec_server import naming
from authsec_server.clients import bindings
from authsec_server.configuration.document import TrustedIssuerShape
from authsec_server.configuration.model import (
    STAYS_OFF,
    UNMADE,
    Facts,
    Note,
    Section,
    filled,
    require_kind,
)
from authsec_server.configuration.steps import PlannedStep, PlanTurn, Setting, making, removing
from authsec_server.db import Tx
from authsec_server.issuers import service, validation
from authsec_server.issuers.model import EDITABLE, ProposedTrustedIssuer, TrustedIssuer, plain_terms
from authsec_server.issuers.validation import fingerprints
from authsec_server.principal import Act

_LONG: Final = ("given_keys", "ca", "api_ca")  # long values, so they come last


def exported(trusted_issuer: TrustedIssuer) -> Facts:
    """Return the trusted issuer as a configuration document writes it."""
    long = {name: getattr(trusted_issuer, name) for name in _LONG}
    return filled({**_short(trusted_issuer), **long, "enabled": None if trusted_issuer.enabled else False})


def facts(trusted_issuer: TrustedIssuer) -> Facts:
    """Return the trusted issuer's values for the comparison with a document."""
    return filled(
        {
            **_short(trusted_issuer),
            "given_keys": validation.given_keys(trusted_issuer),
            "ca": fingerprints(trusted_issuer.ca),
            "api_ca": fingerprints(trusted_issuer.api_ca),
            "enabled": trusted_issuer.enabled,
        }
    )


def _short(trusted_issuer: TrustedIssuer) -> dict[str, object]:
    """Return the values that have the same form in a document and in a comparison."""
    return {name: value or None for name, value in plain_terms(trusted_issuer).items() if name not in _LONG}


def asked(slug: str, shape: TrustedIssuerShape) -> ProposedTrustedIssuer:
    """Return the document's trusted issuer as input for creating it."""
    its = {**dict(shape), "name": slug if shape.name is None else shape.name, "slug": slug}
    del its["enabled"]
    return ProposedTrustedIssuer(**its)


def edits(trusted_issuer: TrustedIssuer, slug: str, shape: TrustedIssuerShape) -> dict[str, Any]:
    """Return the edit that makes the trusted issuer match the document."""
    whole = asked(slug, shape)
    claims = validation.checked(whole, id=trusted_issuer.id, now=trusted_issuer.created_at).claims
    return {name: getattr(whole, name) for name in EDITABLE} | {"claims": claims}


def step(slug: str, shape: TrustedIssuerShape, held: TrustedIssuer | None, setting: Setting) -> PlannedStep | None:
    """Plan the change that makes the trusted issuer match the document; None if it matches. Raises `Invalid`."""
    if held is not None:
        require_kind(held.kind, shape.kind, told=f"a {held.kind.shown}")
    made = validation.checked(asked(slug, shape), id="", now=UNMADE)
    stays = held is None or held.enabled
    enabled = stays if shape.enabled is None else shape.enabled
    return making(
        Section.ISSUERS,
        slug,
        facts(held) if held else None,
        facts(replace(made, enabled=enabled)),
        turn=PlanTurn.ISSUERS,
        do=partial(_edit, held, slug, shape, setting) if held else partial(_create, slug, shape, setting),
        switch=partial(_turn, slug, enabled, setting) if enabled != stays else None,
    )


def note(held: TrustedIssuer, shape: TrustedIssuerShape) -> Note | None:
    """Return a note if the trusted issuer stays disabled because the document does not set `enabled`."""
    if held.enabled or shape.enabled is not None:
        return None
    return Note(section=Section.ISSUERS, slug=held.slug, text=STAYS_OFF)


def removal_step(held: TrustedIssuer) -> PlannedStep:
    """Plan the removal of the trusted issuer."""
    do = partial(bindings.remove_trusted_issuer, id_or_slug=held.id)
    return removing(Section.ISSUERS, held.slug, facts(held), turn=PlanTurn.REMOVE_ISSUERS, do=do)


def _create(slug: str, shape: TrustedIssuerShape, setting: Setting, tx: Tx, act: Act) -> object:
    naming.slug("slug", slug)
    return service.create(tx, act, asked(slug, shape), may_look_up=setting.may_look_up)


def _edit(held: TrustedIssuer, slug: str, shape: TrustedIssuerShape, setting: Setting, tx: Tx, act: Act) -> object:
    return bindings.edit_trusted_issuer(
        tx,
        act,
        held.id,
        revision=held.revision,
        changes=edits(held, slug, shape),
        trust_domain=setting.trust_domain,
        may_look_up=setting.may_look_up,
    )


def _turn(slug: str, enabled: bool, setting: Setting, tx: Tx, act: Act) -> object:
    if enabled:
        return bindings.enable_trusted_issuer(tx, act, slug, trust_domain=setting.trust_domain)
    return bindings.disable_trusted_issuer(tx, act, slug)
