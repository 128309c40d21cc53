"""A server meets the primary of a later timeline. tests/availability promotes real standbys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from authsec_server.app.restoration import open_restoration
from authsec_server.db import Database, open_database
from authsec_server.db.postgresql_session import OtherSession
from authsec_server.db.postgresql_timeline import Timeline
from authsec_server.failures import Fault, Unavailable
from authsec_server.settings import load_settings
from databases import settings_for

CLUSTER, ANOTHER = 7_300_000_000_000_000_001, 7_300_000_000_000_000_002


def test_a_promotion_of_an_asynchronous_standby_may_lose_commits() -> None:
    timeline = Timeline()
    timeline.see(1, CLUSTER, is_synchronous=False)
    timeline.see(1, CLUSTER, is_synchronous=False)  # a restart begins no timeline
    assert not timeline.may_lack
    timeline.see(2, CLUSTER, is_synchronous=True)
    assert timeline.may_lack


def test_a_promotion_of_a_synchronous_standby_loses_nothing() -> None:
    timeline = Timeline()
    timeline.see(1, CLUSTER, is_synchronous=True)
    timeline.see(2, CLUSTER, is_synchronous=False)
    assert not timeline.may_lack
    timeline.see(3, CLUSTER, is_synchronous=False)
    assert timeline.may_lack  # the second primary waited for nobody


def test_another_cluster_has_timelines_of_its_own() -> None:
    timeline = Timeline()
    timeline.see(3, CLUSTER, is_synchronous=False)
    timeline.see(1, ANOTHER, is_synchronous=False)
    timeline.see(1, ANOTHER, is_synchronous=False)
    assert not timeline.may_lack


def test_a_primary_that_was_replaced_is_refused() -> None:
    timeline = Timeline()
    timeline.see(2, CLUSTER, is_synchronous=True)
    with pytest.raises(OtherSession, match="was replaced"):
        timeline.see(1, CLUSTER, is_synchronous=True)


@pytest.fixture
def cluster(postgres_url: str) -> int:
    """The system identifier of the test's PostgreSQL."""
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as session:
        row = session.execute("SELECT system_identifier FROM pg_control_system()").fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def opened(postgres_url: str) -> Iterator[Database]:
    with closing(open_database(postgres_url)) as database:
        yield database


def look(database: Database, number: int, cluster: int) -> None:
    """Let the database see a timeline."""
    database._timeline.see(number, cluster, is_synchronous=False)  # type: ignore[attr-defined]


def test_a_server_records_and_changes_nothing_after_such_a_promotion(opened: Database, cluster: int) -> None:
    look(opened, 0, cluster)  # then its first session meets a later one
    for verb in (opened.record, opened.change):
        with pytest.raises(Unavailable) as refused:
            verb(lambda _: None)
        assert refused.value.fault is Fault.OLDER
    assert opened.read(lambda tx: tx.version) >= 0
    opened.accept_promotion()
    opened.record(lambda _: None)


def test_a_server_uses_no_session_of_a_primary_that_was_replaced(opened: Database, cluster: int) -> None:
    look(opened, 2, cluster)
    with pytest.raises(Unavailable) as refused:
        opened.read(lambda _: None)
    assert refused.value.fault is Fault.OTHER_SESSION


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_the_server_serves_again_after_the_restore_was_recorded(
    house: Callable[..., Any], database_url: str, tmp_path: Path
) -> None:
    where = settings_for(database_url, tmp_path)
    its = house(**where, audit_checkpoints=str(tmp_path / "checkpoints.txt"))
    agent = its.delegated_agent()
    its.authority.database._timeline.may_lack = True
    assert ask(its, agent).status_code == 503
    comparison = its.authority.comparison
    assert comparison.has_gone_back()
    comparison.read_file()
    comparison.problem = comparison.compare()
    assert its.door().get("/readyz").json()["status"] == "database_older"
    settings = load_settings(data=tmp_path, **where)
    with open_restoration(settings, its.clock.around()) as restoration:
        restoration.record(restoration.lost([]))
    comparison.read_file()
    comparison.problem = comparison.compare()
    assert comparison.problem is None
    assert not comparison.has_gone_back()
    assert ask(its, agent).status_code == 200


def ask(its: Any, agent: Any) -> Any:
    headers = {"Authorization": f"Bearer {agent.assertion()}"}
    return its.door().get("/authsec/uflow/sdk/delegation-token", params={"client_id": agent.client_id}, headers=headers)
