"""A context that opens an authority once for several calls of one command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from authsec_server.cli.caller import Caller


@contextmanager
def kept_open(caller: Caller) -> Iterator[Caller]:
    """Yield a caller that opens an in-process authority only once. Raises `CallFailed`."""
    with caller.reach.kept_open() as opened:
        yield replace(caller, reach=opened)
