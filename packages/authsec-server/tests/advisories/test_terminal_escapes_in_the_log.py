"""A stranger asks for a path with terminal escapes, and whoever watches the log sees what the stranger wants."""

from __future__ import annotations

from typing import Any

import pytest


def test_a_path_is_logged_as_text(house: Any, capfd: pytest.CaptureFixture[str]) -> None:
    door = house().door()
    capfd.readouterr()
    door.get("/x%1b%5D0;pwned%07%1b%5B2J%00%0Aall-is-well" + "x" * 5000)
    logged = "".join(capfd.readouterr())
    assert "%1B%5D0" in logged
    path_of = logged[logged.index("/x%1B") :].split()[0]
    assert len(path_of) <= 200
    assert path_of.isprintable()
