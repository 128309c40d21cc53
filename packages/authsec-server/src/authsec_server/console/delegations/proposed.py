"""The review of a trust delegation that is not created yet, and its fingerprint."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from authsec_server.apis import service as apis
from authsec_server.console.client_status import ClientStatus, status_of
from authsec_server.console.delegations.draft import NOT_YET, Draft, fault
from authsec_server.console.delegations.pages import foreseen_draft
from authsec_server.console.site import PageRequest
from authsec_server.db import Tx
from authsec_server.delegations import service as delegations
from authsec_server.delegations.model import (
    DESCRIBED,
    Caution,
    Delegation,
    DelegationState,
    ResolvedDelegation,
    as_granted,
    live_twin,
    state,
)
from authsec_server.failures import Failure
from authsec_server.principal import Act
from authsec_server.revisions import plain

_REASONS = frozenset({"client_disabled", "proofs_excluded", "proofs_not_verified", "actions_not_in_role"})
"""The codes of warnings that say why the client gets no token by the delegation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldAlready:
    """The live delegations that the client already has in the role, the newest first.

    `twin` is the delegation that is identical to the proposed one, if any.
    """

    live: Sequence[Delegation]
    twin: Delegation | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedDelegation:
    """The delegation as it would be created. `foreseen` is the preview of a token, as in `pages.foreseen`.

    `elsewhere` are the actions that other APIs describe, but none of the chosen ones.
    """

    resolved: ResolvedDelegation
    client_status: ClientStatus
    held: HeldAlready
    foreseen: Mapping[str, Any]
    elsewhere: Sequence[str]

    @property
    def cautions(self) -> Sequence[Caution]:
        """Return the warnings, without those about delegations in `held`, which the review shows itself.

        A disabled client has no warning about its proofs.
        """
        listed = {each.id for each in self.held.live}
        needless = set() if self.resolved.client.enabled else {"client_cannot_prove_itself"}
        return [
            each for each in self.resolved.cautions if each.delegation_id not in listed and each.code not in needless
        ]

    @property
    def others(self) -> Sequence[Delegation]:
        """Return the live delegations of the client in the role that differ from the proposed one."""
        return [each for each in self.held.live if each is not self.held.twin]

    @property
    def denied(self) -> str:
        """Return why no token would be issued. Empty if a warning of the delegation gives the same reason."""
        is_said = any(each.code in _REASONS for each in self.resolved.cautions)
        return "" if is_said else str(self.foreseen["denied"])

    @property
    def warnings(self) -> int:
        """Return the number of warnings in the review."""
        return len(self.cautions) + sum(map(bool, (self.others, self.denied, self.elsewhere)))

    @property
    def unattested(self) -> bool:
        """Whether anybody who knows the Client ID would get the tokens. Such warnings are red."""
        return any(each.code == "client_unattested" for each in self.resolved.cautions)

    @property
    def fingerprint(self) -> str:
        """Return a hash of all values that the review shows of the delegation, its role and its client.

        The form sends the hash back. So nobody creates a delegation that differs from the reviewed one.
        """
        return fingerprint(self.resolved)


def proposed(tx: Tx, visit: PageRequest, draft: Draft, silent: Mapping[str, str]) -> ProposedDelegation | Failure:
    """Return the delegation as it would be created, or the first problem of the draft."""
    if problem := fault(tx, visit.act, draft, visit.console.terms):
        return problem
    resolved = delegations.propose(tx, visit.act, draft.proposal(), visit.console.terms, delegation_id=NOT_YET)
    return ProposedDelegation(
        resolved=resolved,
        client_status=status_of(tx, resolved.client, visit.act.now, silent),
        held=_held_already(tx, visit.act, resolved.delegation),
        foreseen=foreseen_draft(tx, visit, resolved),
        elsewhere=_described_elsewhere(tx, resolved.delegation),
    )


def _described_elsewhere(tx: Tx, delegation: Delegation) -> list[str]:
    """Return the actions that other APIs describe, but none of the chosen registered ones."""
    chosen = apis.by_identifiers(tx, set(delegation.audiences)).values()
    if not chosen:
        return []
    here = {each.action for api in chosen for each in api.actions}
    anywhere = apis.described(tx, among=delegation.actions)
    return [action for action in delegation.actions if action in anywhere and action not in here]


def fingerprint(resolved: ResolvedDelegation) -> str:
    """Return a hash of the delegation's values, and of the revisions of its role and its client."""
    its, role, client = resolved.delegation, resolved.role, resolved.client
    parties = [role.id, role.revision, client.id, client.revision]
    values = [*parties, as_granted(its), plain(DESCRIBED, its)]
    return sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _held_already(tx: Tx, act: Act, delegation: Delegation) -> HeldAlready:
    """Return the client's live delegations that have the same role as the proposed delegation."""
    held = (each for each, _ in delegations.of_client(tx, delegation.client_id) if each.role_id == delegation.role_id)
    live = [each for each in held if state(each, act.now) is DelegationState.LIVE]
    live.sort(key=lambda each: (each.created_at, each.id), reverse=True)
    return HeldAlready(live=live, twin=live_twin(delegation, live, act.now))
