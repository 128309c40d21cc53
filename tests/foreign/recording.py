"""Tests record here what a stock client did, and compare it with the docs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ..generated_tables import VerdictRecorder
from .catalogue import Client
from .table import row, rows_of_pages

RecordVerdict = Callable[[Client, str, str], None]


@pytest.fixture
def record_verdict(request: pytest.FixtureRequest, record_property: pytest.RecordProperty) -> RecordVerdict:
    """Call it with the client, what was tried, and the verdict."""
    plugins = request.config.pluginmanager.get_plugins()
    is_being_renewed = any(isinstance(plugin, VerdictRecorder) for plugin in plugins)

    def record(client: Client, tried: str, verdict: str) -> None:
        record_property("verdict", (client.name, tried, verdict))
        if not is_being_renewed:
            renewal = f"uv run --no-sync python -m tests.foreign --write {client.name}"
            assert row(tried, client, verdict) in rows_of_pages(), f"renew the docs: {renewal}"

    return record
