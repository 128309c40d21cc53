"""The commands that the server adds to `authsec`: one module a noun, each command one call of the admin API."""

from __future__ import annotations

from typing import Final

import click
from authsec.lazy_commands import LazyCommand

_COMMANDS: Final = {  # of each the module, and a line for the page that lists them all
    "serve": ("serve", "Run the authority."),
    "agents": ("agents", "AI agents, and how each proves that it is itself."),
    "trust": ("trust", "Trust sources: whose word about agents counts."),
    "roles": ("roles", "Roles: named sets of actions."),
    "apis": ("apis", "Protected APIs: who tokens are for."),
    "delegations": ("delegations", "Who may act in which role, for what and how long."),
    "apply": ("configuration", "Make all of these what files say."),
    "export": ("configuration", "Print all of these as files for `apply`."),
    "keys": ("keys", "The keys that sign delegation tokens."),
    "revoke": ("revoke", "Stop an agent, a delegation or one token, now."),
    "audit": ("audit", "What happened, and whether the record of it is whole."),
    "backup": ("backup", "Copy the embedded database, while servers go on."),
    "admin": ("admin", "Who may administer: people and admin keys."),
}


def register(group: click.Group) -> None:
    """Add the server's commands to the script `authsec` (entry point of the group `authsec.commands`)."""
    for name, (module, sentence) in _COMMANDS.items():
        group.add_command(LazyCommand(name, sentence, f"authsec_server.cli.{module}:{name}"))
