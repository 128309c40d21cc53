"""The next step of a client: the checklist, the shortest way to a usable proof, and the commands for it. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from authsec_server.clients.model import Client, ClientKind, Platform, Proof, ProofKind, Selector
from authsec_server.console.clients.issuer_commands import issuer_commands
from authsec_server.console.clients.next_step import ClientProgress, NextStep, Way, progress, proof_step
from authsec_server.delegations.client_state import ClientState, client_state
from authsec_server.delegations.model import Delegation, ResolvedDelegation, TargetType, state
from authsec_server.issuers.model import KeysFrom, TrustedIssuer, TrustedIssuerKind
from authsec_server.roles.model import RoleDefinition

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
DOMAIN = "authsec.internal"
KEY = Proof(id="key", client_id="c", kind=ProofKind.KEY_PAIR, created_at=NOW)
UNATTESTED = Proof(id="none", client_id="c", kind=ProofKind.UNATTESTED, created_at=NOW)


def selectors(*keys: str, **what: Any) -> Proof:
    its = tuple(Selector(key=key, value="spiffe://example.org/a" if key == "spiffe:id" else "v") for key in keys)
    return Proof(id="sel", client_id="c", kind=ProofKind.SELECTORS, selectors=its, created_at=NOW, **what)


POD = selectors("k8s:ns", "k8s:sa", "k8s:pod-label:app", "k8s:container-name")
ACCOUNT = selectors("k8s:ns", "k8s:sa")


def client(*proofs: Proof, enabled: bool = True) -> Client:
    return Client(
        id="c", slug="agent", name="Agent", kind=ClientKind.AI_AGENT, platform=Platform.KEY, owner="", description="",
        labels={}, enabled=enabled, created_at=NOW, proofs=proofs,
    )  # fmt: skip


def issuer(kind: str = "kubernetes", name: str = "Production", **what: Any) -> TrustedIssuer:
    its = {"issuer": "https://i.example", "keys_from": KeysFrom.DISCOVERY, "created_at": NOW, "slug": name.lower()}
    return TrustedIssuer(id=name, name=name, kind=TrustedIssuerKind(kind), **(its | what))


PLAIN = issuer()
ASKED = issuer(api_server="https://api.example", credentials="token", pod_lookup=True)


def delegated(role: tuple[str, ...] = ("a:read",), **changes: Any) -> ResolvedDelegation:
    its = Delegation(
        id="d", role_id="r", client_id="c", target_type=TargetType.AUTOGEN, actions=("a:read",), max_duration=3600,
        owner="", description="", created_at=NOW,
    )  # fmt: skip
    its = replace(its, **changes)
    made = RoleDefinition(id="r", slug="r", name="R", actions=role, created_at=NOW)
    return ResolvedDelegation(delegation=its, role=made, client=client(KEY), state=state(its, NOW), cautions=())


def steps(its: Client, *held: ResolvedDelegation, last: datetime | None = None, **what: Any) -> ClientProgress:
    found = client_state(its, [(each.delegation, each.role) for each in held], NOW)
    return progress(its, what.get("state", found), held, what.get("issuers", ()), last, NOW, trust_domain=DOMAIN)


@pytest.mark.parametrize(
    ("proof", "registered", "way"),
    [
        (POD, [], Way.REGISTER),
        (POD, [ASKED], Way.BIND),
        (POD, [replace(ASKED, enabled=False)], Way.ENABLE),
        (POD, [PLAIN], Way.LOOK_UP),
        (POD, [PLAIN, issuer("spiffe", "Mesh", issuer=DOMAIN)], Way.BIND),
        (POD, [issuer("spiffe", "Mesh", issuer="example.org")], Way.REGISTER),
        (ACCOUNT, [PLAIN], Way.BIND),
        (selectors("docker:label:app"), [PLAIN], Way.REGISTER),
        (selectors("ci:repo"), [issuer("oidc", claims={"ci:other": "o"})], Way.EDIT),
        (replace(POD, trusted_issuer_id="Production", trusted_issuer_enabled=False), [PLAIN], Way.LOOK_UP),
        (
            replace(ACCOUNT, trusted_issuer_id="Production", trusted_issuer_enabled=False),
            [replace(PLAIN, enabled=False), issuer(name="Other")],
            Way.ENABLE,
        ),
        (replace(ACCOUNT, expires_at=NOW), [PLAIN], Way.ADD),
        (replace(KEY, expires_at=NOW), [], Way.ADD),
    ],
)
def test_the_shortest_way_to_a_usable_proof(proof: Proof, registered: list[TrustedIssuer], way: Way) -> None:
    assert proof_step(client(proof), registered, NOW, trust_domain=DOMAIN).way is way


def test_of_several_proofs_the_one_with_the_shortest_way_leads() -> None:
    found = proof_step(client(POD, replace(ACCOUNT, id="narrow")), [PLAIN], NOW, trust_domain=DOMAIN)
    assert (found.way, found.proof and found.proof.id) == (Way.BIND, "narrow")


def test_the_selectors_that_need_a_look_up_are_told_from_the_others() -> None:
    found = proof_step(client(POD), [PLAIN], NOW, trust_domain=DOMAIN)
    assert found.by_lookup == ("k8s:pod-label:app", "k8s:container-name")
    assert found.by_token == ("k8s:ns", "k8s:sa")


@pytest.mark.parametrize(
    ("its", "held", "last", "step", "marks"),
    [
        (client(POD), (), None, NextStep.PROOF, "done next open open"),
        (client(POD), (delegated(),), None, NextStep.PROOF, "done next done open"),
        (client(KEY), (), None, NextStep.DELEGATION, "done done next open"),
        (client(KEY), (delegated(),), None, NextStep.TOKEN, "done done done next"),
        (client(KEY), (delegated(),), NOW, NextStep.DONE, "done done done done"),
        (client(replace(KEY, expires_at=NOW)), (delegated(),), NOW, NextStep.PROOF, "done next done done"),
        (client(UNATTESTED), (delegated(),), NOW, NextStep.DONE, "done weak done done"),
        (client(KEY, enabled=False), (delegated(),), None, NextStep.ENABLE, "next done done open"),
    ],
)
def test_the_checklist_marks_one_step_as_the_next(
    its: Client, held: tuple[ResolvedDelegation, ...], last: datetime | None, step: NextStep, marks: str
) -> None:
    found = steps(its, *held, last=last)
    assert found.step is step
    assert " ".join(each.state for each in found.checklist) == marks


def test_while_every_trusted_issuer_is_unavailable_the_client_waits() -> None:
    bound = replace(ACCOUNT, trusted_issuer_id="Production")
    found = steps(client(bound), delegated(), state=ClientState.UNPROVED, issuers=[PLAIN])
    assert (found.step, found.proof) == (NextStep.WAIT, None)
    assert found.checklist[1].note == "Unavailable"


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        (delegated(enabled=False), "disabled"),
        (delegated(role=("a:write",)), "dormant"),
        (delegated(excluded_proofs=(ProofKind.KEY_PAIR,)), "excluded"),
    ],
)
def test_a_delegation_that_gives_nothing_says_why(held: ResolvedDelegation, reason: str) -> None:
    found = steps(client(KEY), held)
    assert found.step is NextStep.DELEGATION
    assert [gap.reason for gap in found.gaps] == [reason]
    assert found.checklist[2].note == ("None live" if reason == "disabled" else "None gives an action")


def test_a_delegation_that_has_ended_is_no_gap() -> None:
    found = steps(client(KEY), delegated(ends_at=NOW - timedelta(days=1)))
    assert (found.step, found.gaps) == (NextStep.DELEGATION, ())


@pytest.mark.parametrize(
    ("proof", "may_look_up", "first"),
    [
        (
            POD,
            True,
            'kubernetes "Production" --from-kubeconfig --token-review --pod-lookup --credentials production.token',
        ),
        (POD, False, 'kubernetes "Production" --from-kubeconfig'),
        (ACCOUNT, True, 'kubernetes "Production" --from-kubeconfig'),
        (selectors("docker:label:app"), True, f'spiffe "SPIRE" --trust-domain {DOMAIN} --bundle bundle.json'),
        (selectors("spiffe:id"), True, 'spiffe "SPIRE" --trust-domain example.org --bundle bundle.json'),
        (
            selectors("github:repository"),
            True,
            'oidc "GitHub Actions" --issuer https://token.actions.githubusercontent.com --preset github',
        ),
        (selectors("ci:repo", "ci:ref"), True, 'oidc "ci" --issuer ISSUER --claim ci:repo=CLAIM --claim ci:ref=CLAIM'),
    ],
)
def test_the_command_registers_what_the_proof_needs(proof: Proof, may_look_up: bool, first: str) -> None:
    step = proof_step(client(proof), [], NOW, trust_domain=DOMAIN)
    found = issuer_commands(step, trust_domain=DOMAIN, may_look_up=may_look_up, program="uv run authsec")
    assert found.first.splitlines()[-1] == f"uv run authsec issuers add {first}"


def test_a_proof_that_waits_keeps_its_way_after_another_proof_works() -> None:
    held = delegated()
    found = steps(client(POD, KEY), held, last=NOW)
    assert found.step is NextStep.DONE
    assert found.proof is not None
    assert (found.proof.way, found.proof.proof) == (Way.REGISTER, POD)
    assert steps(client(KEY), held, last=NOW).proof is None


LAPTOP = Proof(
    id="lap", client_id="c", kind=ProofKind.ENROLLED_KEY, created_at=NOW, expires_at=NOW + timedelta(hours=8)
)


@pytest.mark.parametrize(
    ("proofs", "on_trial", "mark"),
    [
        ((POD, LAPTOP), True, "weak"),
        ((POD, UNATTESTED), True, "weak"),
        ((POD, KEY), False, "done"),
        ((LAPTOP,), False, "done"),
        ((POD, LAPTOP, replace(ACCOUNT, id="own", trusted_issuer_id="Production")), False, "done"),
    ],
)
def test_while_only_a_laptop_proves_the_client_its_own_proof_is_a_step(
    proofs: tuple[Proof, ...], on_trial: bool, mark: str
) -> None:
    found = steps(client(*proofs), delegated(), last=NOW, issuers=[PLAIN])
    assert (found.on_trial, found.checklist[1].state) == (on_trial, mark)
