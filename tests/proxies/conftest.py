"""Real proxies before an API that is in no Python: each asks a real `authsec verify-server`, as deploy/ has it do."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from .estates import Estate, opened_estate
from .programs import PROGRAMS


@pytest.fixture(scope="session")
def estates(serving: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], AbstractContextManager[Estate]]:
    """Makes whole estates, of all the proxies that are installed."""
    return lambda: opened_estate(tmp_path_factory.mktemp("estate"), serving)


@pytest.fixture(scope="session")
def estate(estates: Any) -> Iterator[Estate]:
    """One for all tests that break nothing."""
    with estates() as made:
        yield made


@pytest.fixture(params=sorted(PROGRAMS))
def proxy(request: pytest.FixtureRequest) -> str:
    """Each kind of proxy by name. Without its program a test is skipped, but not in CI, which installs it."""
    name: str = request.param
    program = PROGRAMS[name]
    if program.path() is None:
        told = f"{program.command} is not installed here ({program.how_to_install})"
        pytest.fail(told) if "CI" in os.environ else pytest.skip(told)
    return name
