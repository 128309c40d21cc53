"""An authority that is called many times by one command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from authsec_server.cli.caller import Caller


@contextmanager
def kept_open(caller: Caller) -> Iterator[Caller]:
    """The caller; where the authority is opened in this process, it is opened once. Raises `CallFailed`."""
    with caller.reach.kept_open() as opened:
        yield replace(caller, reach=opened)
