"""Where a fault happens: a deployment under load."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .databases import DICE
from .deployment import Deployment
from .load import Load
from .observations import Observations
from .verifiers import Apis


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A deployment under load. `long` asks for faults of full length, `disk` is the small disk of the database."""

    its: Deployment
    load: Load
    apis: Apis
    seen: Observations
    long: bool
    disk: Path | None = None

    def lasts(self, short: float, long: float) -> float:
        """Seconds for which a fault is held."""
        return long if self.long else short

    def wait_a_moment(self) -> None:
        """Some work between two faults, so that the next one comes at a random moment of it."""
        time.sleep(DICE.uniform(0.4, 1.2) * self.lasts(0.5, 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """When a fault began and ended, and the servers that must recover."""

    begin: float
    end: float
    ports: Sequence[int]
