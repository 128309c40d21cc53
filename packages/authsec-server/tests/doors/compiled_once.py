"""One cache of compiled statements and paths for all authorities of a test run, as one server has for its one engine.

SQLAlchemy keeps what it has compiled with the engine, under a key that holds the engine's dialect by identity. Each
test opens a database of its own, and so compiled every statement anew: a fifth of the server's tests' time.
"""

from __future__ import annotations

from functools import cache

from sqlalchemy.engine import Engine
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.util import LRUCache
from starlette import routing

_STATEMENTS = 2000  # some more than there are


def share_compiled_statements() -> None:
    """From now on, in this process. Two dialects of one kind compile alike: a run has one version of each database."""
    compiled: LRUCache[object] = LRUCache(_STATEMENTS)
    setattr(Engine, "_compiled_cache", property(lambda _engine: compiled, lambda _engine, _own: None))  # noqa: B010 no public name
    setattr(DefaultDialect, "__eq__", lambda one, other: type(one) is type(other))  # noqa: B010 mypy allows no other way
    setattr(DefaultDialect, "__hash__", lambda one: hash(type(one)))  # noqa: B010 likewise


def share_compiled_paths() -> None:
    """From now on, in this process. Each authority has the same 160 paths: a tenth of the time in which it opens."""
    setattr(routing, "compile_path", cache(routing.compile_path))  # noqa: B010 mypy allows no other way
