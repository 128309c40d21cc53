"""The tables of docs/clients.md and docs/oauth.md: what each stock client does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..generated_tables import Verdicts, generated_part, markdown_table
from .catalogue import (
    MCP_TOKEN_BY_KEY,
    MCP_TOKEN_BY_SECRET,
    MCP_TOOLS,
    OAUTH_DPOP,
    OAUTH_KEY,
    OAUTH_SECRET,
    OAUTH_WORKLOAD,
    ROOT,
    TRIED,
    Client,
)

OAUTH = (OAUTH_SECRET, OAUTH_KEY, OAUTH_WORKLOAD, OAUTH_DPOP, MCP_TOKEN_BY_SECRET, MCP_TOKEN_BY_KEY, MCP_TOOLS)
PAGES: dict[Path, list[str]] = {
    ROOT / "docs" / "clients.md": [tried for tried in TRIED if tried not in OAUTH],
    ROOT / "docs" / "oauth.md": [*OAUTH],
}
"""The pages, and what each of them shows."""
_HEAD = ["what is tried", "client", "versions", "verdict"]


def row(tried: str, client: Client, verdict: str) -> str:
    """The line of one client."""
    return f"{_facts(tried, client)} {verdict} |"


def rows_of_pages() -> list[str]:
    """The lines of the tables that the pages have."""
    return [row for page in PAGES for row in generated_part(page).splitlines()[3:-1]]


def outdated(rows: list[str]) -> list[str]:
    """The lines that pages with these rows lack, without their verdicts."""
    wanted = [_facts(tried, client) for tried, clients in TRIED.items() for client in clients]
    return [facts for facts in wanted if not any(row.startswith(facts) for row in rows)]


def lines(verdicts: Verdicts, kept: list[str], shown: Sequence[str] = tuple(TRIED)) -> list[str]:
    """The table with these verdicts. Clients that were not run keep their line, if it is of the pinned version."""
    made = markdown_table(_HEAD, [])
    for tried in shown:
        for client in TRIED[tried]:
            if verdict := verdicts.get((client.name, tried)):
                made.append(row(tried, client, verdict))
            else:
                made += [line for line in kept if line.startswith(_facts(tried, client))]
    return made


def _facts(tried: str, client: Client) -> str:
    """What is known without a run: the first cells."""
    return f"| {tried} | {client.title} | {client.versions()} |"
