"""An administrator of the database swaps the names of two agents: the console's search lists the events of the other.

No seal covers the table `clients`. The events that create and edit an agent say its name.
"""

from __future__ import annotations

from typing import Any

import pytest
from sealed_estate import Sealed, sealed_estate, swapped

pytestmark = pytest.mark.sqlite_suffices


@pytest.fixture
def sealed(estate: Any) -> Sealed:
    return sealed_estate(estate)


def test_a_changed_name_of_an_agent_is_found(sealed: Sealed) -> None:
    _, found = sealed.after(*swapped("clients", "name", "Helper", "Payments"))
    assert 'has the name "Payments", but the events say "Helper".' in found


def test_a_changed_name_that_only_the_search_reads_is_found(sealed: Sealed) -> None:
    _, found = sealed.after(*swapped("clients", "sort_name", "helper", "payments"))
    assert 'has the sort_name "payments", but the events say "helper".' in found


def test_two_agents_that_the_server_gave_one_name_are_no_finding(sealed: Sealed) -> None:
    sealed.estate.agent("Helper", slug="helper-2")
    sealed.seal()
    assert sealed.findings() == ()
