"""The sidebar, with the names that the published walk-through uses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of the sidebar, shown to people with the role `least` or a higher role.

    A line with `below` is a heading above the lines in `below`.
    """

    title: str
    path: str = ""
    symbol: str = ""
    below: tuple[Entry, ...] = ()
    least: str = "viewer"


SIDEBAR = (
    Entry(title="Dashboard", path="/console", symbol="dashboard"),
    Entry(
        title="Clients",
        symbol="clients",
        below=(Entry(title="MCP Servers / AI Agents", path="/console/clients"),),
    ),
    Entry(title="Trust Delegation", path="/console/delegations", symbol="delegations"),
    Entry(title="Roles & Actions", path="/console/roles", symbol="roles"),
    Entry(title="APIs", path="/console/apis", symbol="apis"),
    Entry(title="Trusted issuers", path="/console/issuers", symbol="issuers"),
    Entry(title="Activity", path="/console/activity", symbol="activity"),
    Entry(title="Keys", path="/console/keys", symbol="keys"),
    Entry(title="Administrators", path="/console/administrators", symbol="administrators"),
    Entry(title="Settings", path="/console/settings", symbol="settings", least="admin"),
)


def current(path: str) -> str:
    """Return the path of the sidebar line to which the page `path` belongs. Return "" if there is no such line."""
    candidates = [entry.path for group in SIDEBAR for entry in (group, *group.below) if entry.path]
    if path.rstrip("/") == "/console":
        return "/console"
    return max((each for each in candidates if each != "/console" and f"{path}/".startswith(f"{each}/")), default="")
