"""Trust sources in a document. Certificates and keys are compared by their fingerprints: nobody reads the others."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

from authsec_server import naming
from authsec_server.clients import bindings
from authsec_server.configuration.document import SourceShape
from authsec_server.configuration.immutables import STAYS_OFF, require_kind
from authsec_server.configuration.model import UNMADE, Change, Facts, Note, Section, Verb, differences, filled
from authsec_server.configuration.steps import Do, PlannedStep, PlanTurn, Setting, removing
from authsec_server.db import Tx
from authsec_server.principal import Act
from authsec_server.sources import service, validation
from authsec_server.sources.cluster_validation import fingerprints
from authsec_server.sources.model import ClusterApi, ProposedSource, SourceEdit, TrustSource

_NONE: Final = ClusterApi(url="", credentials="")


def exported(source: TrustSource) -> Facts:
    """The source as it stands in a document."""
    its = {**_plain(source), "given_keys": source.given_keys, "ca": source.ca, "api_ca": (source.cluster or _NONE).ca}
    return filled({**its, "enabled": None if source.enabled else False})


def facts(source: TrustSource) -> Facts:
    """The source as it is compared."""
    return filled(
        {
            **_plain(source),
            "given_keys": validation.given_keys(source),
            "ca": fingerprints(source.ca),
            "api_ca": fingerprints((source.cluster or _NONE).ca),
            "enabled": source.enabled,
        }
    )


def asked(slug: str, shape: SourceShape) -> ProposedSource:
    """What the document asks for, in the room's own terms."""
    its = {**dict(shape), "name": slug if shape.name is None else shape.name, "slug": slug}
    del its["enabled"]
    return ProposedSource(**its)


def edits(source: TrustSource, slug: str, shape: SourceShape) -> SourceEdit:
    """The edit that makes the source what the document says."""
    whole = asked(slug, shape)
    claims = validation.checked(whole, id=source.id, now=source.created_at).claims
    return SourceEdit(
        name=whole.name,
        issuer=whole.issuer,
        keys_from=whole.keys_from,
        keys_url=whole.keys_url,
        given_keys=whole.given_keys,
        ca=whole.ca,
        audience=whole.audience,
        claims=claims,
        api_server=whole.api_server,
        api_ca=whole.api_ca,
        credentials=whole.credentials,
        token_review=whole.token_review,
        pod_lookup=whole.pod_lookup,
    )


def step(slug: str, shape: SourceShape, held: TrustSource | None, setting: Setting) -> PlannedStep | None:
    """What makes the source what the document says; None where it is that. Raises `Invalid`."""
    if held is not None:
        require_kind(held.kind, shape.kind, told=f"a {held.kind.shown}")
    made = validation.checked(asked(slug, shape), id="", now=UNMADE)
    stays = held is None or held.enabled
    enabled = stays if shape.enabled is None else shape.enabled
    differing = differences(facts(held) if held else None, facts(replace(made, enabled=enabled)))
    if not differing:
        return None
    if held is None:
        does: list[Do] = [partial(_create, slug, shape, setting)]
        verb = Verb.CREATE
    else:
        verb, does = Verb.EDIT, []
        if {each.field for each in differing} != {"enabled"}:
            does.append(partial(_edit, held, slug, shape, setting))
    if enabled != stays:
        does.append(partial(_turn, slug, enabled, setting))
    change = Change(verb=verb, section=Section.SOURCES, slug=slug, differences=differing)
    return PlannedStep(change=change, parts=tuple((PlanTurn.SOURCES, do) for do in does))


def note(held: TrustSource, shape: SourceShape) -> Note | None:
    """What stays off, though nothing is said of that."""
    if held.enabled or shape.enabled is not None:
        return None
    return Note(section=Section.SOURCES, slug=held.slug, text=STAYS_OFF)


def removal_step(held: TrustSource) -> PlannedStep:
    """What removes the source."""
    do = partial(bindings.remove_source, id_or_slug=held.id)
    return removing(Section.SOURCES, held.slug, facts(held), turn=PlanTurn.REMOVE_SOURCES, do=do)


def _plain(source: TrustSource) -> dict[str, object]:
    """What is written and compared alike."""
    cluster = source.cluster or _NONE
    return {
        "name": source.name,
        "kind": source.kind.value,
        "issuer": source.issuer,
        "keys_from": source.keys_from.value,
        "keys_url": source.keys_url,
        "audience": source.audience,
        "claims": dict(source.claims),
        "api_server": cluster.url,
        "credentials": cluster.credentials,
        "token_review": cluster.reviews or None,
        "pod_lookup": cluster.pods or None,
    }


def _create(slug: str, shape: SourceShape, setting: Setting, tx: Tx, act: Act) -> object:
    naming.slug("slug", slug)
    return service.create(tx, act, asked(slug, shape), may_look_up=setting.may_look_up)


def _edit(held: TrustSource, slug: str, shape: SourceShape, setting: Setting, tx: Tx, act: Act) -> object:
    return bindings.edit_source(
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
        return bindings.enable_source(tx, act, slug, trust_domain=setting.trust_domain)
    return bindings.disable_source(tx, act, slug)
