"""The folders of tests are where all temporary files are: in memory where it has room (conftest.py)."""

from __future__ import annotations

import tempfile
from pathlib import Path


def test_the_folder_of_a_test_is_where_all_temporary_files_are(tmp_path: Path) -> None:
    """The process that starts the workers chooses it. On a disk, each commit of SQLite waits for milliseconds."""
    assert tmp_path.is_relative_to(tempfile.gettempdir())
