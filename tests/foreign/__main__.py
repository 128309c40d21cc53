"""Try stock clients and libraries, and print what each does.

    uv run --no-sync python -m tests.foreign                      # all of them: two minutes, 1 GB of packages
    uv run --no-sync python -m tests.foreign pyjwt openid-client  # two of them
    uv run --no-sync python -m tests.foreign --write              # renew the tables of the docs

The status is 1 if a test fails or is skipped; then nothing is written. With names and --write, the other clients keep
their lines, unless their versions have changed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

from ..generated_tables import VerdictRecorder, write_generated_part
from .catalogue import CLIENTS, Client
from .table import PAGES, lines, rows_of_pages

HERE = Path(__file__).parent
TESTS = [HERE, HERE.parent / "frameworks" / "test_mcp_sessions.py"]


class Selection:
    """A plugin of pytest: leaves the tests of these clients, by name, and no other test."""

    def __init__(self, names: set[str]) -> None:
        self._names = names

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        chosen = [item for item in items if self._is_chosen(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen

    def _is_chosen(self, item: pytest.Item) -> bool:
        case = getattr(item, "callspec", None)
        return case is not None and any(
            isinstance(value, Client) and value.name in self._names for value in case.params.values()
        )


def main() -> int:
    """Run what was asked for; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clients", nargs="*", metavar="client", help=f"{', '.join(CLIENTS)}; all, if none is named")
    parser.add_argument("--write", action="store_true", help="write the tables of the docs")
    asked = parser.parse_args()
    if unknown := set(asked.clients) - set(CLIENTS):
        parser.error(f"no such client: {', '.join(sorted(unknown))}")
    recorder = VerdictRecorder()
    words = ["-n", "0", "-m", "frameworks or soak or not soak", *map(str, TESTS)]
    selection = Selection(set(asked.clients) or set(CLIENTS))
    if pytest.main(words, plugins=[recorder, selection]) or not recorder.all_ran:
        return 1
    print(*lines(recorder.verdicts, []), sep="\n")
    if asked.write:
        kept = rows_of_pages()
        for page, shown in PAGES.items():
            write_generated_part(page, lines(recorder.verdicts, kept, shown))
    return 0


if __name__ == "__main__":
    sys.exit(main())
