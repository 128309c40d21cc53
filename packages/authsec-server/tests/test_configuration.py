"""The configuration as one document: what it says, what it changes, and that applying it twice changes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from authsec.jose import PrivateKey
from authsec_server.clients import held_proofs
from authsec_server.clients import service as clients
from authsec_server.clients.model import NewProof
from authsec_server.configuration.api import document_of
from authsec_server.configuration.document import Document
from authsec_server.configuration.model import Change, Verb
from authsec_server.configuration.planning import PlanRequest, apply, planned
from authsec_server.configuration.reading import present
from authsec_server.configuration.steps import Plan, Setting
from authsec_server.db import Tx
from authsec_server.delegations import service as delegations
from authsec_server.delegations.model import Terms
from authsec_server.failures import Conflict, Invalid, RoleTooSmall
from authsec_server.issuers import service as issuers
from authsec_server.issuers.model import ProposedTrustedIssuer
from authsec_server.principal import LOCAL_OPERATOR, Act, Role
from long_runs import some_rows_of

pytestmark = pytest.mark.sqlite_suffices

Estate = Any  # conftest's

SETTING = Setting(
    terms=Terms(max_token_lifetime=86_400, default_audience="authsec-api"),
    trust_domain="authsec.local",
    may_look_up=True,
)
PEM = PrivateKey.generate_ed25519().public.to_pem().decode()
WHOLE: dict[str, Any] = {
    "issuers": {
        "production": {
            "name": "Production",
            "kind": "kubernetes",
            "issuer": "https://kubernetes.example.com",
            "keys_from": "discovery",
        },
        "github": {
            "kind": "oidc",
            "issuer": "https://token.actions.githubusercontent.com",
            "keys_from": "discovery",
            "preset": "github",
            "enabled": False,
        },
    },
    "apis": {"customers": {"identifier": "https://api.example.com/customers", "actions": {"customers:read": "Read"}}},
    "roles": {"support": {"name": "Support", "actions": ["customers:read", "customers:delete"]}},
    "agents": {
        "helper": {
            "name": "Helper",
            "labels": {"team": "care"},
            "proofs": [
                {"platform": "kubernetes", "selectors": {"k8s:sa": "helper", "k8s:ns": "production"}},
                {"platform": "key", "public_key": PEM, "expires_at": "2027-01-01T00:00:00Z"},
            ],
        },
        "open": {"proofs": [{"platform": "unattested"}], "enabled": False},
    },
    "delegations": {
        "helper-reads": {
            "agent": "helper",
            "role": "support",
            "actions": ["customers:read"],
            "max_duration": "30m",
            "audiences": ["customers"],
            "ends_at": "2027-01-01T00:00:00Z",
        }
    },
}


def document(**sections: Any) -> Document:
    return Document.model_validate(sections)


def do(estate: Estate, prune: bool = False, renew: bool = False, **sections: Any) -> Plan:
    asked = PlanRequest(document=document(**sections), prune=prune, renew=renew)
    plan: Plan = estate.do(lambda tx, act: applied(tx, act, asked))
    return plan


def applied(tx: Tx, act: Act, asked: PlanRequest) -> Plan:
    plan = planned(tx, act, asked, SETTING)
    apply(tx, act, plan)
    return plan


def look(estate: Estate, prune: bool = False, **sections: Any) -> Plan:
    asked = PlanRequest(document=document(**sections), prune=prune)
    plan: Plan = estate.see(lambda tx, act: planned(tx, act, asked, SETTING))
    return plan


def export(estate: Estate) -> dict[str, Any]:
    return {str(name): dict(its) for name, its in document_of(estate.see(present)).items()}


def brief(plan: Plan) -> list[tuple[str, str]]:
    return [(change.verb.value, change.slug) for change in plan.changes]


def fields(change: Change) -> dict[str, Any]:
    return {
        each.field: (each.added, each.removed) if each.added or each.removed else (each.before, each.after)
        for each in change.differences
    }


def edited(**sections: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """WHOLE, with members of things replaced."""
    return {
        name: {slug: {**its, **sections.get(name, {}).get(slug, {})} for slug, its in things.items()}
        for name, things in WHOLE.items()
    }


def test_a_document_makes_all_of_it_and_the_second_time_nothing(estate: Estate) -> None:
    made = do(estate, **WHOLE)
    assert brief(made) == [
        ("create", "production"),
        ("create", "github"),
        ("create", "customers"),
        ("create", "support"),
        ("create", "helper"),
        ("create", "open"),
        ("create", "helper-reads"),
    ]
    assert [change.slug for change in made.changes if change.unattested] == ["open"]
    assert look(estate, **WHOLE).changes == ()
    shown = export(estate)
    assert shown["issuers"]["github"]["claims"]["github:repository"] == "repository"
    assert shown["agents"]["helper"]["proofs"][0] == {
        "platform": "kubernetes",
        "trusted_issuer": "production",
        "selectors": {"k8s:sa": "helper", "k8s:ns": "production"},
    }
    assert shown["agents"]["helper"]["proofs"][1]["public_key"] == PEM
    assert shown["agents"]["open"]["enabled"] is False
    assert shown["delegations"]["helper-reads"]["audiences"] == ["customers"]
    assert look(estate, prune=True, **shown).changes == ()
    written = len(estate.events())
    assert {event.request_id for event in estate.events() if event.principal} == {"req_00000000000000000000test"}
    assert do(estate, prune=True, **shown).changes == ()
    assert len(estate.events()) == written


def test_what_differs_is_told_field_by_field_and_changed_by_the_rooms_own_verbs(estate: Estate) -> None:
    do(estate, **WHOLE)
    wanted = edited(
        roles={"support": {"actions": ["customers:read", "orders:read"]}},
        agents={
            "helper": {"labels": {"team": "sales"}, "proofs": [{"platform": "key", "public_key": PEM}]},
            "open": {"enabled": True},
        },
        delegations={"helper-reads": {"max_duration": "1h"}},
    )
    foreseen, plan = look(estate, **wanted), do(estate, **wanted)
    assert foreseen.changes == plan.changes
    by_slug = {change.slug: fields(change) for change in plan.changes}
    assert by_slug["support"] == {"actions": (("orders:read",), ("customers:delete",))}
    assert by_slug["helper"]["labels"] == (("team: sales",), ("team: care",))
    added, removed = by_slug["helper"]["proofs"]
    assert (len(added), len(removed)) == (1, 2)  # another end is another proof
    assert by_slug["open"] == {"enabled": (False, True)}
    assert by_slug["helper-reads"] == {"max_duration": ("30m", "1h")}
    assert {kind.value for kind, _, _ in estate.endings()} >= {"role", "proof"}
    assert look(estate, **wanted).changes == ()


def test_what_is_not_named_stays_and_with_prune_goes_last_what_others_rest_on(estate: Estate) -> None:
    do(estate, **WHOLE)
    without = {**WHOLE, "agents": {"open": WHOLE["agents"]["open"]}, "delegations": {}, "roles": {}, "issuers": {}}
    assert look(estate, **without).changes == ()
    plan = do(estate, prune=True, **without)
    assert brief(plan) == [
        ("remove", "github"),
        ("remove", "production"),
        ("remove", "support"),
        ("remove", "helper"),
        ("remove", "helper-reads"),
    ]
    shown = export(estate)
    assert {name: list(things) for name, things in shown.items()} == {
        "issuers": [],
        "apis": ["customers"],
        "roles": [],
        "agents": ["open"],
        "delegations": [],
    }


def test_a_section_that_is_left_out_is_left_alone(estate: Estate) -> None:
    do(estate, **WHOLE)
    before = export(estate)
    assert do(estate, prune=True).changes == ()
    plan = look(estate, prune=True, agents={"open": WHOLE["agents"]["open"]})
    assert brief(plan) == [("remove", "helper")]
    assert plan.changes[0].notes == ("These delegations will be revoked as well: helper-reads",)
    with pytest.raises(Conflict, match=r"role support: .*uses the role") as refused:
        do(estate, prune=True, roles={})
    assert refused.value.field == "roles.support"
    assert export(estate) == before


def test_a_member_of_a_delegation_that_is_taken_out_of_the_document_goes(estate: Estate) -> None:
    its = WHOLE["delegations"]["helper-reads"] | {"description": "Reads", "excluded_proofs": ["key_pair"]}
    its |= {"require_dpop": True}
    do(estate, **WHOLE | {"delegations": {"helper-reads": its}})
    needed = {name: its[name] for name in ("agent", "role", "actions", "max_duration")}
    plan = do(estate, delegations={"helper-reads": needed})
    assert set(fields(plan.changes[0])) == {"audiences", "description", "ends_at", "excluded_proofs", "require_dpop"}
    assert look(estate, delegations={"helper-reads": needed}).changes == ()


def test_what_somebody_turned_off_is_turned_on_by_no_silence(estate: Estate) -> None:
    do(estate, **WHOLE)
    estate.do(lambda tx, act: clients.disable(tx, act, "helper"))
    estate.do(lambda tx, act: delegations.disable(tx, act, "helper-reads", SETTING.terms))
    plan = do(estate, **WHOLE)
    assert plan.changes == ()
    assert [(note.slug, "disabled" in note.text) for note in plan.notes] == [("helper", True), ("helper-reads", True)]
    assert brief(do(estate, **edited(agents={"helper": {"enabled": True}}))) == [("edit", "helper")]


def test_what_is_over_is_delegated_anew_only_where_somebody_says_so(estate: Estate) -> None:
    do(estate, **WHOLE)
    estate.do(lambda tx, act: delegations.revoke(tx, act, "helper-reads", SETTING.terms))
    with pytest.raises(Invalid, match="was revoked by local operator on 2026-11-25") as refused:
        look(estate, **WHOLE)
    assert refused.value.field == "delegations.helper-reads"
    assert brief(do(estate, renew=True, **WHOLE)) == [("create", "helper-reads")]
    year = replace(estate, act=replace(estate.act, now=estate.act.now + timedelta(days=400)))
    assert look(year, **WHOLE).changes == ()  # it ended as the document says
    assert "This delegation expired on 2027-01-01T00:00:00Z" in look(year, **WHOLE).notes[-1].text
    assert "helper-reads" not in export(year)["delegations"]


def test_a_document_neither_holds_nor_makes_a_secret(estate: Estate) -> None:
    do(estate, **WHOLE)
    with_secret = edited(agents={"open": {"proofs": [{"platform": "secret"}]}})
    told = look(estate, **with_secret)
    assert "agents proofs add open --platform secret" in told.notes[-1].text
    with pytest.raises(Invalid, match="a document cannot create a secret"):
        look(estate, agents={"new": {"proofs": [{"platform": "secret"}]}})
    made = estate.do(lambda tx, act: held_proofs.add_proof(tx, act, "open", NewProof(platform="secret")))
    assert fields(look(estate, **with_secret).changes[0]) == {"proofs": ((), ("unattested",))}
    do(estate, **with_secret)
    assert made.fresh_secret not in str(export(estate))
    assert export(estate)["agents"]["open"]["proofs"] == [{"platform": "secret"}]
    assert look(estate, **with_secret).changes == ()
    assert fields(do(estate, **WHOLE).changes[0]) == {"proofs": (("unattested",), ("secret",))}
    assert export(estate)["agents"]["open"]["proofs"] == [{"platform": "unattested"}]


def test_a_proof_that_waited_is_bound_to_the_trusted_issuer_that_the_document_names(estate: Estate) -> None:
    proof = {"platform": "kubernetes", "selectors": {"k8s:ns": "production"}}
    do(estate, agents={"helper": {"proofs": [proof]}})
    plan = do(
        estate,
        issuers={"production": WHOLE["issuers"]["production"]},
        agents={"helper": {"proofs": [{**proof, "trusted_issuer": "production"}]}},
    )
    assert brief(plan) == [("create", "production"), ("edit", "helper")]
    assert [event.kind for event in estate.events("proof.")] == ["proof.bound"]
    assert look(estate, agents={"helper": {"proofs": [proof]}}).changes == ()  # any trusted issuer will do


def test_a_key_moves_from_one_agent_to_another_and_an_audience_from_one_api_to_another(estate: Estate) -> None:
    key, other = {"platform": "key", "public_key": PEM}, {"platform": "unattested"}
    do(estate, agents={"one": {"proofs": [key, other]}}, apis={"old": {"identifier": "customers"}})
    moved = {
        "agents": {"a-new-one": {"proofs": [key]}, "one": {"proofs": [other]}},
        "apis": {"new": {"identifier": "customers"}},
    }
    plan = do(estate, prune=True, **moved)
    assert brief(plan) == [("create", "new"), ("remove", "old"), ("create", "a-new-one"), ("edit", "one")]
    assert export(estate)["agents"]["a-new-one"]["proofs"] == [key]


def test_another_slug_is_another_thing_and_the_difference_says_so(estate: Estate) -> None:
    do(estate, **WHOLE)
    renamed = {"agents": {"assistant": WHOLE["agents"]["helper"], "open": WHOLE["agents"]["open"]}}
    plan = look(estate, prune=True, **renamed)
    gone = next(change for change in plan.changes if change.verb is Verb.REMOVE)
    assert "agents edit helper --slug assistant" in gone.notes[-1]
    renamed = {"delegations": {"reads": WHOLE["delegations"]["helper-reads"]}}
    gone = look(estate, prune=True, **renamed).changes[-1]
    assert (gone.slug, "delegations edit helper-reads --slug reads" in gone.notes[-1]) == ("helper-reads", True)


def test_an_agent_under_another_slug_is_told_how_to_keep_what_it_was_given(estate: Estate) -> None:
    do(estate, **WHOLE)
    agents = {"assistant": WHOLE["agents"]["helper"], "open": WHOLE["agents"]["open"]}
    its = {"helper-reads": {**WHOLE["delegations"]["helper-reads"], "agent": "assistant"}}
    with pytest.raises(Invalid, match="agent of this delegation is helper, which cannot be changed") as refused:
        look(estate, prune=True, agents=agents, delegations=its)
    assert "rename it first: authsec agents edit helper --slug assistant" in refused.value.remedy
    with pytest.raises(Invalid) as refused:  # that one is there already
        look(estate, delegations={"helper-reads": {**its["helper-reads"], "agent": "open"}})
    assert "--slug" not in refused.value.remedy


def test_an_api_that_is_mistyped_in_a_delegation_is_told_before_tokens_are_for_nobody(estate: Estate) -> None:
    its = {**WHOLE["delegations"]["helper-reads"], "audiences": ["custmers", "authsec-api"]}
    whole = WHOLE | {"delegations": {"helper-reads": its}}
    made = look(estate, **whole).changes[-1]
    assert made.notes == ("No API is registered for the audience custmers. The nearest is customers.",)
    do(estate, **whole)
    edit = {**its, "audiences": ["custmers", "authsec-api", "customers", "zzz"]}
    edited = look(estate, delegations={"helper-reads": edit}).changes[-1]
    assert edited.notes == ("No API is registered for the audience zzz.",), "only what is new"


@pytest.mark.parametrize(
    ("sections", "field", "says"),
    some_rows_of([
        ({"roles": {"Support": {"actions": ["a:b"]}}}, "roles.Support.slug", "lower-case"),
        ({"roles": {"support": {"actions": []}}}, "roles.support.actions", "no actions"),
        ({"roles": {"support": {"actions": ["a:*"]}}}, "roles.support.actions.0", "wildcards"),
        (
            {"delegations": {"d": {"agent": "helpr", "role": "support", "actions": ["a:b"]}}},
            "delegations.d.agent",
            "no agent",
        ),
        ({"delegations": {"d": {"agent": "helper", "role": "r", "actions": ["a:b"]}}}, "delegations.d.role", "no role"),
        ({"agents": {"helper": {"kind": "mcp_server", "proofs": []}}}, "agents.helper.kind", "cannot be changed"),
        (
            {
                "agents": {
                    "x": {"proofs": [{"platform": "unix", "trusted_issuer": "no", "selectors": {"unix:uid": "1"}}]},
                },
            },
            "agents.x.proofs.0.trusted_issuer",
            "no trusted issuer",
        ),
        ({"agents": {"x": {"proofs": [{"platform": "kubernetes"}]}}}, "agents.x.proofs.0.selectors", "at least one"),
        (
            {"agents": {"x": {"proofs": [{"platform": "key", "public_key": PEM}]}}},
            "agents.x.proofs.0.public_key",
            "already belongs",
        ),
        ({"agents": {"x": {"proofs": []}}}, "agents.x.proofs", "needs a proof"),
        ({"apis": {"x": {"identifier": "Customers API"}}}, "apis.x.identifier", "not an audience"),
    ]),
)  # fmt: skip
def test_what_cannot_be_names_its_place_and_nothing_is_done(
    estate: Estate, sections: dict[str, Any], field: str, says: str
) -> None:
    do(estate, **WHOLE)
    before = export(estate)
    with pytest.raises((Invalid, Conflict), match=says) as refused:
        do(estate, **{"apis": {"first": {"identifier": "first"}}, **sections})
    assert refused.value.field == field
    assert export(estate) == before


def test_nobody_does_by_a_document_what_they_could_not_do_singly(estate: Estate) -> None:
    operator = replace(
        estate, act=replace(estate.act, principal=replace(LOCAL_OPERATOR, name="op", role=Role.OPERATOR))
    )
    without_trusted_issuers: dict[str, Any] = {name: its for name, its in WHOLE.items() if name != "issuers"}
    with pytest.raises(RoleTooSmall):
        do(operator, **WHOLE)
    do(operator, **{**without_trusted_issuers, "agents": {"open": WHOLE["agents"]["open"]}, "delegations": {}})
    viewer = replace(estate, act=replace(estate.act, principal=replace(LOCAL_OPERATOR, name="v", role=Role.VIEWER)))
    assert look(viewer, **without_trusted_issuers).changes
    with pytest.raises(RoleTooSmall):
        do(viewer, **without_trusted_issuers)


def test_given_keys_and_certificates_are_written_whole_and_compared_by_what_they_are(estate: Estate) -> None:
    key = PrivateKey.generate_ec().public
    asked = ProposedTrustedIssuer(
        name="Given",
        kind="spiffe",
        issuer="example.org",
        keys_from="given",
        given_keys={"keys": [{**key.to_jwk(), "kid": "one", "use": "jwt-svid"}]},
    )
    estate.do(lambda tx, act: issuers.create(tx, act, asked))
    shown = export(estate)
    assert shown["issuers"]["given"]["given_keys"]["keys"][0]["kid"] == "one"
    assert look(estate, **shown).changes == ()


def test_an_audience_that_reads_like_the_slug_of_an_api_stays_what_it_is(estate: Estate) -> None:
    its = {"agent": "open", "role": "support", "actions": ["customers:read"]}
    roles, agents = {"support": WHOLE["roles"]["support"]}, {"open": WHOLE["agents"]["open"]}
    do(estate, roles=roles, agents=agents, delegations={"d": {**its, "audiences": ["crm", "https://crm.example.com"]}})
    do(estate, apis={"crm": {"identifier": "https://crm.example.com"}})
    shown = export(estate)
    assert shown["delegations"]["d"]["audiences"] == ["crm", "https://crm.example.com"]
    assert look(estate, **shown).changes == ()


def test_what_goes_with_an_agent_is_work_as_well(estate: Estate) -> None:
    delegation = {"agent": "a", "role": "r", "actions": ["a:b"]}
    do(
        estate,
        roles={"r": {"actions": ["a:b"]}},
        agents={"a": {"proofs": [{"platform": "unattested"}]}},
        delegations={f"d{n}": {**delegation, "max_duration": 60 + n} for n in range(5)},
    )
    assert look(estate, prune=True, agents={}).work == 1 + 5
    assert look(estate, prune=True, agents={}, delegations={}).work == 1 + 5
