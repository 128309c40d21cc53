"""The table of docs/clients.md: what each stock client does."""

from __future__ import annotations

from ..generated_tables import Verdicts, generated_part, markdown_table
from .catalogue import ROOT, TRIED, Client

PAGE = ROOT / "docs" / "clients.md"
_HEAD = ["what is tried", "client", "versions", "verdict"]


def row(tried: str, client: Client, verdict: str) -> str:
    """The line of one client."""
    return f"{_facts(tried, client)} {verdict} |"


def rows_of_page() -> list[str]:
    """The lines of the table that the page has."""
    return generated_part(PAGE).splitlines()[3:-1]


def outdated(rows: list[str]) -> list[str]:
    """The lines that a page with these rows lacks, without their verdicts."""
    wanted = [_facts(tried, client) for tried, clients in TRIED.items() for client in clients]
    return [facts for facts in wanted if not any(row.startswith(facts) for row in rows)]


def lines(verdicts: Verdicts, kept: list[str]) -> list[str]:
    """The table with these verdicts. Clients that were not run keep their line, if it is of the pinned version."""
    made = markdown_table(_HEAD, [])
    for tried, clients in TRIED.items():
        for client in clients:
            if verdict := verdicts.get((client.name, tried)):
                made.append(row(tried, client, verdict))
            else:
                made += [line for line in kept if line.startswith(_facts(tried, client))]
    return made


def _facts(tried: str, client: Client) -> str:
    """What is known without a run: the first cells."""
    return f"| {tried} | {client.title} | {client.versions()} |"
