"""Attack, and accident: `--prune` removes what another team keeps in another file, or what came since somebody looked.

And: a pipeline that runs every hour undoes what somebody did to stop an agent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

CONFIGURATION = "/authsec/api/v1/configuration"
House = Any
OPEN: dict[str, Any] = {"proofs": [{"platform": "unattested"}]}
WHOLE: dict[str, Any] = {
    "roles": {"support": {"actions": ["customers:read"]}},
    "agents": {"mine": OPEN, "theirs": OPEN},
    "delegations": {"theirs-reads": {"agent": "theirs", "role": "support", "actions": ["customers:read"]}},
}


@pytest.fixture
def its(house: Callable[..., House]) -> House:
    """An authority with two teams' agents."""
    opened = house(local_operator=True)
    assert apply(opened, WHOLE).status_code == 200
    return opened


def apply(its: House, document: dict[str, Any], query: str = "", **how: Any) -> Any:
    return its.door().post(f"{CONFIGURATION}{query}", json={"configuration": document, **how})


def slugs(its: House, section: str) -> set[str]:
    return set(its.door().get(CONFIGURATION).json()["configuration"][section])


def test_only_sections_that_are_there_are_pruned_and_all_that_goes_is_named_before(its: House) -> None:
    assert apply(its, {"roles": WHOLE["roles"]}, prune=True).json()["changes"] == []
    assert apply(its, {}, prune=True).json()["changes"] == []
    assert slugs(its, "agents") == {"mine", "theirs"}
    told = apply(its, {"agents": {"mine": OPEN}}, "/compare", prune=True).json()["changes"]
    assert [(change["verb"], change["slug"]) for change in told] == [("remove", "theirs")]
    assert told[0]["notes"] == ["These delegations will be revoked as well: theirs-reads"]


def test_what_came_since_somebody_looked_is_not_removed(its: House) -> None:
    asked: dict[str, Any] = {"agents": {"mine": OPEN}, "delegations": {}}
    version = apply(its, asked, "/compare", prune=True).json()["authority_version"]
    new = {"name": "Newcomer", "platform": "unattested"}
    assert its.door().post("/authsec/api/v1/clients", json=new).status_code == 201
    assert apply(its, asked, prune=True, authority_version=version).status_code == 412
    assert slugs(its, "agents") == {"mine", "theirs", "newcomer"}


def test_a_pipeline_undoes_nothing_that_was_done_to_stop_an_agent(its: House) -> None:
    its.door().post("/authsec/api/v1/clients/theirs/disable")
    its.door().post("/authsec/api/v1/delegations/theirs-reads/revoke")
    refused = apply(its, WHOLE)
    assert (refused.status_code, refused.json()["field"]) == (400, "delegations.theirs-reads")
    without = {**WHOLE, "delegations": {}}
    assert apply(its, without).json()["changes"] == []
    assert its.door().get("/authsec/api/v1/clients/theirs").json()["enabled"] is False
