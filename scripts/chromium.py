"""A Chromium to drive, for tests and for pictures: where this machine has one, and how it is started."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

VARIABLE = "AUTHSEC_CHROMIUM"
COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MACOS = ("Google Chrome.app/Contents/MacOS/Google Chrome", "Chromium.app/Contents/MacOS/Chromium")
WINDOWS = ("Google/Chrome/Application/chrome.exe", "Chromium/Application/chrome.exe")
WINDOWS_FOLDERS = ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")

# It shall talk to the page under test and to nobody else, and show the same on every machine.
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)
HOW_TO_GET_ONE = f"Install Chromium (Debian: apt-get install chromium) or Chrome, or name its program in {VARIABLE}."


class NoChromium(Exception):
    """This machine has none; says how to get one."""


def find(environment: Mapping[str, str] = os.environ) -> str:
    """The program: the one that the environment names, else the first in the usual places. Raises `NoChromium`."""
    if named := environment.get(VARIABLE):
        if found := shutil.which(named):
            return found
        raise NoChromium(f"{VARIABLE} names {named}, which is no program here.")
    for program in _candidates(environment):
        if found := shutil.which(program):
            return found
    raise NoChromium(f"There is no Chromium on this machine. {HOW_TO_GET_ONE}")


def _candidates(environment: Mapping[str, str]) -> Iterator[str | Path]:
    yield from COMMANDS
    for folder in (Path("/Applications"), Path.home() / "Applications"):
        yield from (folder / program for program in MACOS)
    for variable in WINDOWS_FOLDERS:
        if folder_name := environment.get(variable):
            yield from (Path(folder_name) / program for program in WINDOWS)


@contextmanager
def started() -> Iterator[Browser]:
    """A running one, headless, with a profile of its own that is thrown away. Raises `NoChromium`."""
    program = find()
    as_root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_playwright() as playwright:
        # As root its sandbox cannot work, and it refuses to start with it.
        browser = playwright.chromium.launch(executable_path=program, chromium_sandbox=not as_root, args=[*FLAGS])
        try:
            yield browser
        finally:
            browser.close()
