"""Attack: a document, or many at once, that keep the server so busy that no agent gets a token meanwhile.

Under the authority lock no token is issued: what one document does there is counted as what it costs. Comparing holds
no lock, but takes the processor: it is bounded by its form, and one at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import anyio
import anyio.abc
import pytest
from authsec_server.clients.model import MAX_PROOFS
from authsec_server.configuration import planning
from authsec_server.configuration import planning as configuration
from authsec_server.configuration.api import MOST_OF_ONE, OneByOne
from authsec_server.configuration.document import Document
from authsec_server.configuration.planning import MOST_SUGGESTIONS, MOST_WORK, PlanRequest, planned
from authsec_server.configuration.steps import Setting
from authsec_server.delegations.model import Terms
from authsec_server.failures import Invalid, Unavailable
from authsec_server.principal import LOCAL_OPERATOR, PrincipalKind
from authsec_server.web.operations import Call
from sqlalchemy import Engine, event

CONFIGURATION = "/authsec/api/v1/configuration"
OPEN = {"proofs": [{"platform": "unattested"}]}
ROLE = {"r": {"actions": ["a:b"]}}
House = Any
SETTING = Setting(
    terms=Terms(max_token_lifetime=86_400, default_audience="authsec-api"), trust_domain="", may_look_up=False
)


def proofs(number: int, after: int = 0) -> list[dict[str, Any]]:
    return [{"platform": "unix", "selectors": {"unix:uid": str(1000 + after + n)}} for n in range(number)]


@pytest.mark.parametrize(
    "configuration",
    [
        {"agents": {f"a{n}": {"proofs": proofs(16, n * 16)} for n in range(MOST_WORK // 16 + 1)}},
        {
            "roles": ROLE,
            "agents": {"a": OPEN},
            "delegations": {
                f"d{n}": {"agent": "a", "role": "r", "actions": ["a:b"], "audiences": [f"api-{i}" for i in range(16)]}
                for n in range(MOST_WORK // 16)
            },
        },
        {
            "roles": ROLE,
            "agents": {"a": OPEN},
            "delegations": {f"d{n}": {"agent": "a", "role": "r", "actions": ["a:b"]} for n in range(300)},
        },
    ],
    ids=["proofs", "audiences", "delegations of one agent"],
)
def test_what_is_done_under_the_lock_is_counted_and_not_only_the_things(
    house: Callable[..., House], configuration: dict[str, Any]
) -> None:
    its = house(local_operator=True)
    for path in ("", "?dry_run=1", "/compare"):
        refused = its.door().post(f"{CONFIGURATION}{path}", json={"configuration": configuration})
        assert (refused.status_code, "The number is limited" in refused.json()["error"]) == (400, True), refused.text


class Counting:
    """A function that counts its calls."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.calls = 0

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.calls += 1
        return self._function(*arguments, **named)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_document_of_thousands_of_changes_is_refused_before_the_rest_is_planned(
    estate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """48 000 unknown audiences beside 300 APIs took 24 seconds of a processor, and were then refused."""
    step, nearest = Counting(planning.delegations.step), Counting(planning.told_nearest)
    monkeypatch.setattr(planning.delegations, "step", step)
    monkeypatch.setattr(planning, "told_nearest", nearest)
    document = {
        "roles": ROLE,
        "agents": {"a": OPEN},
        "apis": {f"api-{n}": {"identifier": f"https://api-{n}.example.com"} for n in range(300)},
        "delegations": {
            f"d{n}": {"agent": "a", "role": "r", "actions": ["a:b"], "audiences": [f"apx-{n}-{i}" for i in range(16)]}
            for n in range(3000)
        },
    }
    asked = PlanRequest(document=Document.model_validate(document))
    with pytest.raises(Invalid, match=f"more than {MOST_WORK} changes"):
        estate.see(lambda tx, act: planned(tx, act, asked, SETTING))
    assert step.calls <= MOST_WORK // 16
    assert nearest.calls <= MOST_SUGGESTIONS


def whole(agents: int) -> dict[str, Any]:
    return {
        "roles": {"r": {"actions": ["a:b"]}},
        "agents": {f"a{n}": {"proofs": proofs(2, n * 2)} for n in range(agents)},
        "delegations": {f"d{n}": {"agent": f"a{n}", "role": "r", "actions": ["a:b"]} for n in range(agents)},
    }


def off(things: dict[str, Any]) -> dict[str, Any]:
    return {slug: its | {"enabled": False} for slug, its in things.items()}


@contextmanager
def asked_of_the_database() -> Iterator[list[str]]:
    """The statements that any engine executes meanwhile."""
    statements = list[str]()

    def executed(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", executed)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", executed)


@pytest.mark.sqlite_suffices
def test_an_act_takes_a_few_statements_whatever_it_is(estate: Any) -> None:
    its = whole(6)
    none: dict[str, Any] = {"delegations": {}, "agents": {}, "roles": {}}
    gone = {"agents": {"a5": its["agents"]["a5"]}, "delegations": {}}
    for document, prune in (
        ({"roles": its["roles"], "agents": its["agents"]}, False),
        ({"delegations": its["delegations"]}, False),
        ({"agents": off(its["agents"])}, False),
        ({"delegations": off(its["delegations"])}, False),
        (gone, True),
        (none, True),
    ):
        asked = PlanRequest(document=Document.model_validate(document), prune=prune)
        plan = estate.see(lambda tx, act, asked=asked: planned(tx, act, asked, SETTING))
        with asked_of_the_database() as statements:
            estate.do(lambda tx, act, plan=plan: configuration.apply(tx, act, plan))
        assert plan.work
        # Twelve at most: one lists the event under the delegation that it names, one reads a row before its change.
        # Once for each change: the locks, and the rows of each written group, before the change and at its end.
        assert len(statements) <= 12 * plan.work + 31, (document.keys(), plan.work, len(statements))


def test_no_agent_has_more_proofs_in_a_document_than_it_may_have(house: Callable[..., House]) -> None:
    its = house(local_operator=True)
    for number in (MAX_PROOFS + 2, 30_000):
        document = {"agents": {"a": {"proofs": proofs(number)}}}
        answer = its.door().post(f"{CONFIGURATION}/compare", json={"configuration": document})
        # `configuration.`: by its form, before anything is read or compared
        assert (answer.status_code, answer.json()["field"]) == (400, "configuration.agents.a.proofs"), answer.text
        assert answer.json()["error"] == f"proofs must have a length of at most {MAX_PROOFS + 1}."


class SlowDatabase:
    """Reads when it is let, and knows how many read at once."""

    def __init__(self) -> None:
        self.let = threading.Event()
        self.at_once = self.most = self.done = 0

    def read(self, work: Callable[[Any], None]) -> None:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        self.let.wait(10)
        work(None)
        self.at_once -= 1
        self.done += 1


def nothing(_tx: Any, _act: Any) -> None:
    """What is compared is no matter here."""


def test_of_many_at_once_one_is_compared_and_a_flood_shuts_out_nobody_else() -> None:
    turns, database = OneByOne(), SlowDatabase()

    def call(kind: PrincipalKind, id_: str) -> Call[Any]:
        principal = SimpleNamespace(kind=kind, id=id_)
        return cast(
            "Call[Any]",
            SimpleNamespace(act=SimpleNamespace(principal=principal), site=SimpleNamespace(database=database)),
        )

    async def flood() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(MOST_OF_ONE):
                group.start_soon(turns.read, call(PrincipalKind.ADMIN_KEY, "flooding"), nothing)
            await anyio.wait_all_tasks_blocked()
            for _ in range(50):
                with pytest.raises(Unavailable, match="which is the limit"):
                    await turns.read(call(PrincipalKind.ADMIN_KEY, "flooding"), nothing)
            group.start_soon(turns.read, call(LOCAL_OPERATOR.kind, ""), nothing)
            await anyio.wait_all_tasks_blocked()
            database.let.set()
        await turns.read(call(PrincipalKind.ADMIN_KEY, "flooding"), nothing)

    anyio.run(flood)
    assert (database.most, database.done) == (1, MOST_OF_ONE + 2)
