"""Find and start Chromium, for tests and for screenshots."""

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

# With these options, Chromium connects only to the page under test, and renders alike on every machine.
FLAGS = (
    "--disable-gpu",
    "--in-process-gpu",  # one process less per browser
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
    """This machine has no Chromium. The text says how to install Chromium."""


def find(environment: Mapping[str, str] = os.environ) -> str:
    """Return the program that the environment names, or the first in the usual places. Raises `NoChromium`."""
    if named := environment.get(VARIABLE):
        if found := shutil.which(named):
            return found
        raise NoChromium(f"{VARIABLE} names {named}, which is not a program on this machine.")
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
    """Run a headless Chromium with a temporary profile until the `with` block ends. Raises `NoChromium`."""
    program = find()
    as_root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_playwright() as playwright:
        # As root, Chromium starts only without its sandbox.
        browser = playwright.chromium.launch(executable_path=program, chromium_sandbox=not as_root, args=[*FLAGS])
        try:
            yield browser
        finally:
            browser.close()
