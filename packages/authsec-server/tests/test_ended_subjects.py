"""`verify` finds a token that was issued after one of the token's subjects had ended."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeAlias

import pytest
from authsec_server.audit import service as audit
from authsec_server.audit.model import Decision, Event, EventKind, Named
from authsec_server.clients import held_proofs
from authsec_server.clients import service as clients
from authsec_server.db import Tx
from authsec_server.delegations import service as delegations
from authsec_server.issuers import service as issuers
from authsec_server.issuers.model import ProposedTrustedIssuer
from authsec_server.principal import Act
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind
from authsec_server.roles import service as roles
from long_runs import mostly_on_sqlite
from sealed_estate import Sealed, sealed_estate

pytestmark = pytest.mark.changes_rows_only

CI = ProposedTrustedIssuer(
    name="CI",
    kind="oidc",
    issuer="https://ci.example.com",
    keys_from="discovery",
    claims={"ci:repository": "repository"},
)
KID = "a-signing-key"


@dataclass
class Tokens:
    """An agent of a sealed estate, and the subjects of its tokens."""

    sealed: Sealed
    client: Named
    delegation: Named
    proof_id: str
    role: Named
    issuer: Named

    def issue(self, **other: Any) -> None:
        """Record a token for the agent, whatever the rows say. `other` are other fields of the event."""
        at = self.sealed.estate.act.now

        def record(tx: Tx) -> None:
            event = Event(
                at=at,
                kind=EventKind.TOKEN_ISSUED,
                request_id=f"req_{secrets.token_hex(12)}",
                client=self.client,
                **{"delegations": (self.delegation,), "roles": (self.role,), **other},
                decision=Decision.GRANTED,
                authority_version=tx.version,
                jti=secrets.token_hex(16),
                kid=KID,
                token_sha256="0" * 64,
                expires_at=at + timedelta(hours=5),
                detail={"proof_id": self.proof_id, "trusted_issuer": {"id": self.issuer.id, "name": self.issuer.name}},
            )
            audit.record(tx, event)

        self.sealed.estate.database.record(record)

    def do(self, change: Change) -> None:
        self.sealed.estate.do(lambda tx, act: change(tx, act, self))

    def findings(self) -> tuple[str, ...]:
        """Return the findings about tokens that the agent got."""
        self.sealed.seal()
        return tuple(each for each in self.sealed.findings() if "issued a token" in each)


Change: TypeAlias = Callable[[Tx, Act, Tokens], Any]


@pytest.fixture
def tokens(estate: Any) -> Tokens:
    sealed = sealed_estate(estate)
    client = estate.see(lambda tx, act: clients.get(tx, act, "payments"))
    resolved = estate.see(lambda tx, act: delegations.get(tx, act, "other", estate.terms))
    named = Named(id=client.id, name=client.name), Named(id=resolved.delegation.id, name="Support")
    role = Named(id=resolved.role.id, name=resolved.role.name)
    issuer = estate.do(lambda tx, act: issuers.create(tx, act, CI))
    return Tokens(sealed, *named, client.proofs[0].id, role, Named(id=issuer.id, name=issuer.name))


def of_delegation(change: Callable[..., Any], slug: str = "other") -> Change:
    return lambda tx, act, its: change(tx, act, slug, its.sealed.estate.terms)


def delete_issuer(tx: Tx, act: Act, _: Tokens) -> None:
    issuers.remove(tx, act, issuers.get(tx, act, "ci"))


def revoke_key(tx: Tx, act: Act, _: Tokens) -> None:
    revocations.end(tx, SubjectKind.KEY, KID, act.now)
    audit.record_act(tx, act, EventKind.KEY_REVOKED, subject=Named(id=KID, name=KID), kid=KID)


def delete_role(tx: Tx, act: Act, its: Tokens) -> None:
    for slug in ("first", "other"):
        delegations.revoke(tx, act, slug, its.sealed.estate.terms)
    delegations.delete_role(tx, act, "support")


ENDS: dict[str, tuple[Change, str]] = {
    "an agent is disabled": (lambda tx, act, _: clients.disable(tx, act, "payments"), "had disabled"),
    "agents are disabled together": (lambda tx, act, its: clients.disable_many(tx, act, [its.client.id]), "disabled"),
    "an agent is deleted": (of_delegation(delegations.delete_client, "payments"), "to the client"),
    "a delegation is disabled": (of_delegation(delegations.disable), "under the delegation"),
    "a delegation is revoked": (of_delegation(delegations.revoke), "had revoked"),
    "a role is deleted": (delete_role, "had deleted"),
    "a proof is removed": (
        lambda tx, act, its: held_proofs.remove_proof(tx, act, "payments", its.proof_id),
        "had removed",
    ),
    "a trusted issuer is disabled": (
        lambda tx, act, _: issuers.disable(tx, act, "ci"),
        "on a proof of the trusted issuer",
    ),
    "a trusted issuer is deleted": (delete_issuer, "on a proof of the trusted issuer"),
    "a key is revoked": (revoke_key, "with the signing key"),
}


@pytest.mark.parametrize(("end", "told"), mostly_on_sqlite(ENDS, "an agent is disabled"), ids=ENDS)
def test_a_token_of_an_ended_subject_is_found(tokens: Tokens, end: Change, told: str) -> None:
    tokens.issue()
    assert tokens.findings() == ()
    tokens.do(end)
    assert tokens.findings() == ()
    tokens.issue()
    assert told in "".join(tokens.findings())


AGAIN: dict[str, tuple[Change, Change]] = {
    "an agent": (ENDS["an agent is disabled"][0], lambda tx, act, _: clients.enable(tx, act, "payments")),
    "a delegation": (of_delegation(delegations.disable), of_delegation(delegations.enable)),
    "a trusted issuer": (
        lambda tx, act, _: issuers.disable(tx, act, "ci"),
        lambda tx, act, _: issuers.enable(tx, act, "ci"),
    ),
}


@pytest.mark.parametrize(("disable", "enable"), mostly_on_sqlite(AGAIN, "a trusted issuer"), ids=AGAIN)
def test_tokens_of_a_subject_that_was_enabled_again_are_no_finding(
    tokens: Tokens, disable: Change, enable: Change
) -> None:
    for _ in range(2):
        tokens.do(disable)
        tokens.do(disable)
        tokens.do(enable)
        tokens.issue()
    assert tokens.findings() == ()


@pytest.mark.sqlite_suffices
def test_a_token_between_two_changes_is_found(tokens: Tokens) -> None:
    disable, enable = AGAIN["an agent"]
    tokens.do(disable)
    tokens.issue()
    tokens.do(enable)
    tokens.issue()
    assert len(tokens.findings()) == 1


@pytest.mark.sqlite_suffices
def test_a_token_with_a_deleted_role_of_another_delegation_is_found(tokens: Tokens) -> None:
    def issue(role: Any) -> None:
        delegation = Named(id=f"5f0c0000-0000-4000-8000-{role.id[-12:]}", name="Spare")
        tokens.issue(delegations=(delegation,), roles=(Named(id=role.id, name=role.name),))

    spare = tokens.sealed.estate.role("Spare", "payments:send")
    issue(spare)
    tokens.do(lambda tx, act, _: delegations.delete_role(tx, act, "spare"))
    issue(tokens.sealed.estate.role("Spare", "payments:send"))  # another role with the slug of the deleted one
    assert tokens.findings() == ()
    issue(spare)
    assert f"with an action of the role {spare.id}" in "".join(tokens.findings())


@pytest.mark.sqlite_suffices
def test_a_token_under_a_delegation_of_a_deleted_agent_is_found(tokens: Tokens) -> None:
    """Raw SQL gives the delegation, which had ended before, to another agent for a moment."""
    estate = tokens.sealed.estate
    ended = estate.delegate(client="helper", slug="short", ends_at=estate.act.now + timedelta(minutes=1)).delegation
    estate.act = replace(estate.act, now=estate.act.now + timedelta(minutes=2))
    tokens.do(of_delegation(delegations.delete_client, "helper"))
    tokens.issue()
    assert tokens.findings() == ()
    tokens.issue(delegations=(Named(id=ended.id, name="Support"),))
    assert "under the delegation" in "".join(tokens.findings())


STAYS: dict[str, Change] = {
    "its tokens are revoked": lambda tx, act, _: clients.revoke_tokens(tx, act, "payments"),
    "its role loses an action": lambda tx, act, _: roles.edit(
        tx, act, "support", revision=1, changes={"actions": ["customers:read"]}
    ),
    "another agent is disabled": lambda tx, act, _: clients.disable(tx, act, "helper"),
}


@pytest.mark.parametrize("change", mostly_on_sqlite(STAYS, "its role loses an action"), ids=STAYS)
def test_a_token_after_a_change_that_ends_no_subject_is_no_finding(tokens: Tokens, change: Change) -> None:
    tokens.do(change)
    tokens.issue()
    assert tokens.findings() == ()


@pytest.mark.sqlite_suffices
def test_many_tokens_are_counted(tokens: Tokens) -> None:
    tokens.do(ENDS["an agent is disabled"][0])
    for _ in range(7):
        tokens.issue()
    tokens.sealed.seal()
    assert "2 more tokens were issued for subjects that had ended." in tokens.sealed.findings()
