"""Whether anything in this folder can be tested on this machine. Imports nothing that may be missing."""

from __future__ import annotations

from typing import Any


def test_there_is_a_browser(windows: Any) -> None:
    assert windows.browser.version
