"""The address of the page where a person grants what an agent lacks."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from authsec.grant_url import LONGEST, grant_page
from authsec.refusals import _PAGE
from hypothesis import given
from hypothesis import strategies as st

ISSUER = "https://authsec.example.com"
CLIENT = "3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88"
TEXTS = st.lists(st.text(max_size=60), max_size=20)


@given(roles=TEXTS, actions=TEXTS, audiences=TEXTS)
def test_whatever_is_in_it_it_is_one_address_that_agents_carry_on(
    roles: list[str], actions: list[str], audiences: list[str]
) -> None:
    page = grant_page(f"{ISSUER}/", CLIENT, roles=roles, actions=actions, audiences=audiences)
    assert _PAGE.fullmatch(page)
    query = parse_qs(urlsplit(page).query, keep_blank_values=True)
    assert query.pop("client") == [CLIENT]
    assert query in ({}, _named(roles[:1] if len(roles) == 1 else [], actions, audiences))


def test_of_very_many_actions_none_is_chosen() -> None:
    some = grant_page(ISSUER, CLIENT, actions=["customers:read"])
    assert some == f"{ISSUER}/console/delegations/new?client={CLIENT}&actions=customers%3Aread"
    many = [f"customers:read-{number}" for number in range(LONGEST // 20)]
    assert grant_page(ISSUER, CLIENT, actions=many) == f"{ISSUER}/console/delegations/new?client={CLIENT}"


def _named(roles: list[str], actions: list[str], audiences: list[str]) -> dict[str, list[str]]:
    named = {"role": roles, "actions": actions, "audiences": audiences}
    return {name: values for name, values in named.items() if values}
