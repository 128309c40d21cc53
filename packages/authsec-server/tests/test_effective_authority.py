"""What a client may do now and who may call an API now, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from authsec_server.apis import service as apis
from authsec_server.apis.model import Action, Api
from authsec_server.clients import service as clients
from authsec_server.delegations import editing, service
from authsec_server.delegations.effective import ApiCaller, EffectiveAction, callers_of, effective_actions
from authsec_server.failures import NotFound
from authsec_server.roles import service as roles

pytestmark = pytest.mark.sqlite_suffices

READ = Action(action="customers:read", description="See customers")


def shrink(estate: Any) -> None:
    """The role loses customers:delete."""
    values = {"name": "Support", "description": "", "actions": ["customers:read"]}
    estate.do(lambda tx, act: roles.edit(tx, act, "support", revision=1, changes=values))


def test_each_action_is_traced_to_its_delegation(estate: Any) -> None:
    estate.role()
    client = estate.agent()
    estate.do(lambda tx, act: apis.create(tx, act, name="Customers", identifier="customers-api", actions=[READ]))
    both = estate.delegate(actions=("customers:delete", "customers:read"), max_duration=86_400).delegation
    one = estate.delegate(audiences=("customers-api",)).delegation
    shrink(estate)
    role = estate.see(lambda tx, act: roles.get(tx, act, "support"))
    estate.terms = replace(estate.terms, max_token_lifetime=7200)
    rows = estate.see(lambda tx, act: effective_actions(tx, act, client.slug, estate.terms))
    read = {"action": "customers:read", "description": "See customers", "role": role, "dormant": False}
    of_both = EffectiveAction(delegation=both, audiences=("authsec-api",), max_duration=7200, **read)
    of_one = EffectiveAction(delegation=one, audiences=("customers-api",), max_duration=3600, **read)
    lost = replace(of_both, action="customers:delete", description="", dormant=True)
    assert rows == [lost, *sorted([of_both, of_one], key=lambda row: row.delegation.id)]


def test_an_action_that_two_apis_describe_has_both_descriptions(estate: Any) -> None:
    estate.role()
    client = estate.agent()
    for name, meaning in (("Customers", "See customers"), ("Ledger", "See their debts"), ("Other", "")):
        described = [Action(action="customers:read", description=meaning)] if meaning else []
        create = {"name": name, "identifier": name.lower(), "actions": described}
        estate.do(lambda tx, act, create=create: apis.create(tx, act, **create))
    estate.delegate()
    (row,) = estate.see(lambda tx, act: effective_actions(tx, act, client.slug, estate.terms))
    assert row.description == "Customers: See customers; Ledger: See their debts"


def test_what_is_not_live_gives_nothing(estate: Any) -> None:
    estate.role()
    client = estate.agent()
    off, gone = estate.delegate().delegation.id, estate.delegate(max_duration=60).delegation.id
    estate.delegate(ends_at=estate.act.now + timedelta(hours=1))
    estate.do(lambda tx, act: service.disable(tx, act, off, estate.terms))
    estate.do(lambda tx, act: service.revoke(tx, act, gone, estate.terms))
    estate.act = replace(estate.act, now=estate.act.now + timedelta(hours=1))
    assert estate.see(lambda tx, act: effective_actions(tx, act, client.id, estate.terms)) == []
    with pytest.raises(NotFound):
        estate.see(lambda tx, act: effective_actions(tx, act, "nobody", estate.terms))


def callers(estate: Any, api: Api) -> list[ApiCaller]:
    found: list[ApiCaller] = estate.see(lambda tx, act: callers_of(tx, act, api, estate.terms))[0]
    return found


def api(estate: Any, name: str, identifier: str) -> Api:
    created: Api = estate.do(lambda tx, act: apis.create(tx, act, name=name, identifier=identifier))
    return created


def test_who_may_call_are_those_whose_tokens_it_accepts(estate: Any) -> None:
    customers, shared = api(estate, "Customers", "customers-api"), api(estate, "Shared", "authsec-api")
    estate.role()
    for name in ("Helper", "Other", "Off"):
        estate.agent(name)
    named = estate.delegate(
        actions=("customers:delete", "customers:read"), audiences=("customers-api", "payments")
    ).delegation
    nameless = estate.delegate(client="other").delegation
    by_name = estate.delegate(client="other", audiences=("authsec-api",)).delegation
    estate.delegate(client="off", audiences=("customers-api",))
    estate.do(lambda tx, act: clients.disable(tx, act, "off"))
    shrink(estate)
    (caller,) = callers(estate, customers)
    assert (caller.client.slug, caller.role.slug, caller.delegation) == ("helper", "support", named)
    assert caller.actions == ("customers:read",), "the role has lost the other"
    assert not caller.by_default
    assert {each.delegation.id: each.by_default for each in callers(estate, shared)} == {
        nameless.id: True,
        by_name.id: False,
    }
    estate.do(lambda tx, act: service.disable(tx, act, named.id, estate.terms))
    assert callers(estate, customers) == []


def test_an_edited_delegation_is_found_under_its_new_audience_only(estate: Any) -> None:
    customers, payments = api(estate, "Customers", "customers-api"), api(estate, "Payments", "payments-api")
    estate.role()
    estate.agent()
    delegation = estate.delegate(audiences=("customers-api",)).delegation
    wanted = {
        "target_type": "AutoGen AI agent",
        "max_duration": 3600,
        "actions": ("customers:read",),
        "audiences": ("payments",),
        "owner": "Team",
    }
    estate.do(lambda tx, act: editing.edit(tx, act, delegation.id, wanted, estate.terms, revision=1))
    assert callers(estate, customers) == []
    assert [each.delegation.id for each in callers(estate, payments)] == [delegation.id]
