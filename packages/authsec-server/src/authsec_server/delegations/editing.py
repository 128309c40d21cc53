"""Edit trust delegations. An edit that narrows a delegation revokes its tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from authsec_server.audit.model import EventKind
from authsec_server.db import Tx
from authsec_server.delegations import service, store, term_changes
from authsec_server.delegations import validation as rules
from authsec_server.delegations.model import DESCRIBED, ENDED_STATES, Delegation, ResolvedDelegation, Terms, as_granted
from authsec_server.delegations.resolve import (
    audience,
    misspelt_audiences,
    record,
    resolve_loaded,
    with_resource_caution,
)
from authsec_server.delegations.service import get
from authsec_server.delegations.term_changes import TermChange, narrows
from authsec_server.failures import Conflict
from authsec_server.principal import Act, Role
from authsec_server.revisions import Editable, changed, checked, edit_detail, plain, require_current
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind


def edit(
    tx: Tx, act: Act, id_or_slug: str, changes: Mapping[str, Any], terms: Terms, *, revision: int
) -> ResolvedDelegation:
    """Edit the delegation. If the edit narrows the delegation, its tokens are revoked.

    `changes` has unverified values of fields of a `Proposal`, except role and client, which cannot change. The
    other fields do not change. `revision` is the revision that the editor has read. An edit that changes
    nothing is recorded if it names a field that grants authority, as in `revisions.edit_detail`.

    Raises `Invalid`, `NotFound` or `Outdated`. Raises `Conflict` if the delegation has ended or was revoked, or
    if another delegation has the slug.
    """
    act.principal.require(Role.OPERATOR)
    resolved = get(tx, act, id_or_slug, terms)
    before = resolved.delegation
    require_current(before, revision, "This delegation")
    after = _checked(tx, act, resolved, changes, terms)
    asked = {"actions" if field == "all_actions" else field for field in changes} & as_granted(before).keys()
    detail = edit_detail(after.revision, _as_edited(before), _as_edited(after), asked=asked)
    if not detail:
        return resolved
    if after.slug != before.slug:
        service.take_slug(tx, act, after.slug, terms, taker=before.id)
    store.save(tx.connection, after)
    store.save_audiences(tx.connection, after, act.new_edit_id())
    is_less = narrows(before, after, default_audience=terms.default_audience)
    ended = [revocations.end(tx, SubjectKind.DELEGATION, before.id, act.now)] if is_less else []
    record(tx, act, EventKind.DELEGATION_EDITED, resolved, **detail, **revocations.as_detail(*ended))
    return _edited(tx, act, resolved, after, terms)


def proposed_edit(
    tx: Tx, act: Act, id_or_slug: str, changes: Mapping[str, Any], terms: Terms
) -> tuple[ResolvedDelegation, tuple[TermChange, ...]]:
    """Return the delegation as `edit` would store it, and the changed values. Nothing is stored.

    Raises the same errors as `edit`.
    """
    act.principal.require(Role.VIEWER)
    resolved = get(tx, act, id_or_slug, terms)
    after = _checked(tx, act, resolved, changes, terms)
    rows = term_changes.changes(resolved.delegation, after, default_audience=terms.default_audience)
    return _edited(tx, act, resolved, after, terms), rows


def _checked(tx: Tx, act: Act, resolved: ResolvedDelegation, changes: Mapping[str, Any], terms: Terms) -> Delegation:
    """Return the delegation with the new values, after validation.

    An unchanged value is not validated again, so it may break a rule that is newer than the value.
    """
    before = resolved.delegation
    if resolved.state in ENDED_STATES:
        raise Conflict(
            f"This delegation is {resolved.state}, which cannot be undone.", "Create a new delegation instead."
        )
    values = dict(changes)
    if all_actions := values.pop("all_actions", False):
        values.setdefault("actions", ())
    if "audiences" in values:
        values["audiences"] = (
            # An existing audience keeps its meaning, even if a new API has the same text as its slug.
            text if text in before.audiences else audience(tx, index, text)
            for index, text in enumerate(values["audiences"])
        )
    fields = {
        "slug": Editable(lambda _, slug: slug if slug == before.slug else service.chosen_slug(tx, act, slug)),
        **rules.granted_fields(resolved.role, terms, act.now, all_actions=all_actions, held=before),
        **DESCRIBED,
    }
    return changed(before, act, **checked(fields, values))


def _edited(tx: Tx, act: Act, before: ResolvedDelegation, after: Delegation, terms: Terms) -> ResolvedDelegation:
    """Return the delegation `after` with its cautions.

    Only added audiences are checked for wrong spelling. Earlier audiences were checked when they were added.
    """
    resolved = resolve_loaded(tx, [(after, before.role, before.client)], terms, act.now)[0]
    resolved = with_resource_caution(tx, resolved, before.delegation, terms, act.now)
    added = set(after.audiences) - set(before.delegation.audiences)
    return replace(resolved, cautions=(*resolved.cautions, *misspelt_audiences(tx, added, terms)))


def _as_edited(delegation: Delegation) -> dict[str, object]:
    return {"slug": delegation.slug, **as_granted(delegation), **plain(DESCRIBED, delegation)}
