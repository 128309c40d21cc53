"""Open a copy of an authority that has just begun, without the maintenance that the authority had when it began.

The copy is opened at the same time, so its maintenance finds nothing to do. It is four tenths of an opening.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from authsec_server.app import lifecycle


@contextmanager
def opened_as_begun() -> Iterator[None]:
    """Authorities that are opened in here skip their first maintenance, and none after it."""
    genuine = lifecycle.maintenance

    def maintenance(services: Any) -> Callable[[], None]:
        maintain, skipped = genuine(services), False

        def work() -> None:
            nonlocal skipped
            if skipped:
                maintain()
            skipped = True

        return work

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lifecycle, "maintenance", maintenance)
        yield
