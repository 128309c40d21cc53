"""A PostgreSQL cluster of the harness's own: its faults kill it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .databases import Cluster, cluster


@pytest.fixture(scope="session")
def postgresql_cluster() -> Iterator[Cluster]:
    """A cluster that several tests share, each with a database of its own."""
    with cluster() as opened:
        yield opened


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's user can enter, which `tmp_path` is not."""
    with tempfile.TemporaryDirectory(prefix="authsec-faults-", ignore_cleanup_errors=True) as made:
        yield Path(made)
