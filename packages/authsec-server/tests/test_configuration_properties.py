"""Whatever there is: what is told before is just what is done; a second time it is nothing, nor is what is exported."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from authsec.jose import PrivateKey
from authsec_server.cli.configuration import as_yaml
from authsec_server.cli.yaml_reader import read_yaml
from authsec_server.clients import held_proofs
from authsec_server.clients import service as clients
from authsec_server.clients.model import NewProof
from authsec_server.configuration import kinds
from authsec_server.configuration.api import document_of
from authsec_server.configuration.document import Document
from authsec_server.configuration.model import Change, Section, Verb
from authsec_server.configuration.planning import PlanRequest, apply, planned
from authsec_server.configuration.reading import present
from authsec_server.configuration.steps import Setting
from authsec_server.db import Tx
from authsec_server.delegations import service as delegations
from authsec_server.delegations.model import Terms
from authsec_server.failures import Conflict, Invalid, NotFound
from authsec_server.principal import Act
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples import examples

Estate = Any  # conftest's

TERMS = Terms(max_token_lifetime=86_400, default_audience="authsec-api")
SETTING = Setting(terms=TERMS, trust_domain="authsec.local", may_look_up=False)
PEMS = [PrivateKey.generate_ed25519().public.to_pem().decode() for _ in range(2)]
ACTIONS = ["a:read", "a:write", "b:read"]
UNHURRIED = settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],  # each undoes what it did
)
IS_THERE = {Verb.CREATE: (False, True), Verb.EDIT: (True, True), Verb.REMOVE: (True, False)}  # before, after
LATER = "2027-01-01T00:00:00Z"

texts = st.one_of(
    st.sampled_from(
        ["on", "no", "~", "1", "1.10", "0x1f", "12:30", "2026-01-01", "a: b", "# c", "- d", "<<", "'", '"']
    ),
    st.sampled_from(
        ["two\nlines", "ends so\n", "  indented\n  so", "Zoë", "100%", "{a}", "[b]", "*c", "&d", "!e", "|"]
    ),
    st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=30),
)
names = texts.filter(lambda text: "\n" not in text and text.strip() != "")
instants = st.sampled_from([None, LATER])
enabled = st.sampled_from([None, True, False])


def some(of: Sequence[Any], least: int = 0) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(of), min_size=least, max_size=3, unique_by=str)


def under(slugs: Sequence[str], thing: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | st.dictionaries(st.sampled_from(slugs), thing, max_size=3)


def without_none(thing: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in thing.items() if value is not None}


def with_what_is_fixed(document: dict[str, Any]) -> dict[str, Any]:
    """What belongs to a slug for good, so that a document is seldom refused."""
    for slug, its in document.get("issuers", {}).items():
        its["issuer"] = f"https://{slug}.example.com"
    for slug, its in document.get("delegations", {}).items():
        its["agent"], its["role"] = {"d1": ("one", "r1"), "d2": ("two", "r2"), "d3": ("three", "r1")}[slug]
    return document


roles = st.fixed_dictionaries({"name": names, "description": texts, "actions": some(ACTIONS, 1)})
apis = st.fixed_dictionaries(
    {
        "name": names,
        "identifier": st.sampled_from(["https://one.example.com", "two-name", "https://two.example.com"]),
        "actions": st.dictionaries(st.sampled_from(ACTIONS), names, max_size=2),
    }
)
issuers = st.fixed_dictionaries(
    {
        "kind": st.just("kubernetes"),
        "issuer": st.just(""),
        "keys_from": st.just("discovery"),
        "audience": st.sampled_from(["", "authsec"]),
        "enabled": enabled,
    }
).map(without_none)
proofs = st.one_of(
    st.just({"platform": "unattested"}),
    st.builds(
        lambda pem, end: {"platform": "key", "public_key": pem, "expires_at": end}, st.sampled_from(PEMS), instants
    ),
    st.builds(
        lambda trusted_issuer, its, end: {
            "platform": "kubernetes",
            "trusted_issuer": trusted_issuer,
            "selectors": its,
            "expires_at": end,
        },
        st.sampled_from([None, "k1", "k2"]),
        st.sampled_from([{"k8s:ns": "a"}, {"k8s:ns": "a", "k8s:sa": "b"}, {"k8s:sa": "b", "k8s:ns": "a"}]),
        instants,
    ),
    st.just({"platform": "unix", "selectors": {"unix:uid": "1000"}}),
    st.just({"platform": "secret"}),
).map(without_none)
agents = st.fixed_dictionaries(
    {
        "name": names,
        "owner": st.none() | names,
        "description": texts,
        "labels": st.dictionaries(st.sampled_from(["team", "app.kubernetes.io/name"]), names, max_size=2),
        "enabled": enabled,
        "proofs": st.lists(proofs, max_size=4, unique_by=lambda proof: (proof["platform"], str(sorted(proof.items())))),
    }
).map(without_none)
given_authority = st.fixed_dictionaries(
    {
        "agent": st.just(""),
        "role": st.just(""),
        "target_type": st.sampled_from(["AutoGen AI agent", "MCP server"]),
        "actions": some(ACTIONS, 1),
        "max_duration": st.sampled_from(["1m", "90s", 3600, "1d"]),
        "audiences": some(["one", "two", "two-name", "https://one.example.com", "nobodys"]),
        "excluded_proofs": some(["key_pair", "enrolled_key", "secret"]),
        "require_dpop": st.booleans(),
        "ends_at": instants,
        "description": texts,
        "enabled": enabled,
    }
).map(without_none)
documents = (
    st.fixed_dictionaries(
        {
            "issuers": under(["k1", "k2"], issuers),
            "apis": under(["one", "two"], apis),
            "roles": under(["r1", "r2"], roles),
            "agents": under(["one", "two", "three"], agents),
            "delegations": under(["d1", "d2", "d3"], given_authority),
        }
    )
    .map(without_none)
    .map(with_what_is_fixed)
)


BASE = {
    "issuers": {
        name: {"kind": "kubernetes", "issuer": f"https://{name}.example.com", "keys_from": "discovery"}
        for name in ("k1", "k2")
    },
    "apis": {"one": {"identifier": "https://one.example.com", "actions": {"a:read": "Read"}}},
    "roles": {"r1": {"actions": ACTIONS}, "r2": {"actions": ACTIONS}},
    "agents": {name: {"proofs": [{"platform": "unattested"}]} for name in ("one", "two", "three")},
    "delegations": {"d1": {"agent": "one", "role": "r1", "actions": ["a:read"], "audiences": ["one", "free"]}},
}


def disable(tx: Tx, act: Act) -> object:
    return clients.disable(tx, act, "one")


def make_secret(tx: Tx, act: Act) -> object:
    return held_proofs.add_proof(tx, act, "two", NewProof(platform="secret"))


def revoke(tx: Tx, act: Act) -> object:
    return delegations.revoke(tx, act, "d1", TERMS)


Things = dict[tuple[Section, str], dict[str, Any]]


def compared(tx: Tx, act: Act) -> Things:
    """All that there is, as it is compared."""
    its = present(tx, act)
    found: dict[Section, dict[str, Any]] = {
        Section.ISSUERS: {slug: kinds.issuers.facts(each) for slug, each in its.issuers.items()},
        Section.APIS: {slug: kinds.apis.facts(each) for slug, each in its.apis.items()},
        Section.ROLES: {slug: kinds.roles.facts(each) for slug, each in its.roles.items()},
        Section.AGENTS: {slug: kinds.agents.facts(each, its) for slug, each in its.agents.items()},
        Section.DELEGATIONS: {slug: kinds.delegations.facts(each, its) for slug, each in its.delegations.items()},
    }
    return {(section, slug): dict(facts) for section, things in found.items() for slug, facts in things.items()}


def require_just_that(told: Sequence[Change], before: Things, after: Things) -> None:
    """Each change is as it was told, field by field, and nothing else has changed."""
    gone = {change.slug for change in told if change.section is Section.AGENTS and change.verb is Verb.REMOVE}
    for change in told:
        key = (change.section, change.slug)
        assert (key in before, key in after) == IS_THERE[change.verb], key
        if change.verb is not Verb.REMOVE:
            fields = {each.field: each for each in change.differences}
            for field, value in after[key].items():
                expected = fields[field].after if field in fields else before.get(key, {}).get(field, value)
                assert without_issuer(field, value) == without_issuer(field, expected), (key, field)
            lost = {field for field, each in fields.items() if each.after is None}
            assert before.get(key, {}).keys() - after[key].keys() == lost, key
    for key in (before.keys() | after.keys()) - {(change.section, change.slug) for change in told}:
        with_its_agent = key[0] is Section.DELEGATIONS and before[key]["agent"] in gone
        assert after.get(key) == (None if with_its_agent else before[key]), key


def without_issuer(field: str, value: Any) -> Any:
    """Which trusted issuer proves what names none is found only when it is made."""
    return [re.sub(r" by \S+", "", line) for line in value] if field == "proofs" else value


acts = st.one_of(st.sampled_from([disable, make_secret, revoke]), st.tuples(documents, st.booleans(), st.booleans()))


@pytest.mark.sqlite_suffices
@UNHURRIED
@given(st.lists(acts, min_size=1, max_size=4))
def test_whatever_there_is_exported_and_applied_changes_nothing(estate: Estate, done: list[Any]) -> None:
    def all_of_it(tx: Tx) -> None:
        for each in [(BASE, False, False), *done]:
            with suppress(Invalid, Conflict, NotFound):  # as far as it came: that is a state, too
                if callable(each):
                    each(tx, estate.act)
                    continue
                document, prune, renew = each
                asked = PlanRequest(document=Document.model_validate(document), prune=prune, renew=renew)
                told, before = planned(tx, estate.act, asked, SETTING), compared(tx, estate.act)
                apply(tx, estate.act, told)
                require_just_that(told.changes, before, compared(tx, estate.act))
                again = planned(tx, estate.act, PlanRequest(document=asked.document, prune=prune), SETTING)
                assert again.changes == (), "what was applied is there"
        exported = {section: dict(things) for section, things in document_of(present(tx, estate.act)).items()}
        plan = planned(tx, estate.act, PlanRequest(document=Document.model_validate(exported), prune=True), SETTING)
        assert plan.changes == ()
        (read,) = read_yaml(as_yaml(exported))
        assert read.value == {section: things for section, things in exported.items() if things}

    estate.database.rehearse(all_of_it)


@given(
    st.recursive(
        texts | st.booleans() | st.integers(-10, 10),
        lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
        max_leaves=12,
    )
)
def test_what_is_written_as_yaml_is_read_as_it_was(value: Any) -> None:
    (read,) = read_yaml(as_yaml({"roles": {"r": value}}))
    assert read.value == {"roles": {"r": value}}
