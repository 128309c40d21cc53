"""The commands that the server adds to `authsec`: one module for each noun, one admin API call for each command."""

from __future__ import annotations

from typing import Final

import click
from authsec.lazy_commands import LazyCommand

_COMMANDS: Final = {  # of each the module, and a line for the page that lists them all
    "serve": ("serve", "Run the authority."),
    "agents": ("agents", "Manage AI agents and their proofs of identity."),
    "issuers": ("issuers", "Manage trusted issuers, which sign the tokens of workloads."),
    "roles": ("roles", "Manage roles, the named sets of actions."),
    "apis": ("apis", "Manage protected APIs and their actions."),
    "delegations": ("delegations", "Manage trust delegations: which agent may act in which role."),
    "apply": ("configuration", "Make the configuration match files."),
    "export": ("configuration", "Print the configuration as files for `apply`."),
    "keys": ("keys", "Manage the keys that sign delegation tokens."),
    "revoke": ("revoke", "Stop an agent, a trust delegation or one token at once."),
    "audit": ("audit", "Read and verify the audit log."),
    "backup": ("backup", "Copy the embedded database while servers run."),
    "admin": ("admin", "Manage administrators and admin keys."),
}


def register(group: click.Group) -> None:
    """Add the server's commands to the script `authsec` (entry point of the group `authsec.commands`)."""
    for name, (module, sentence) in _COMMANDS.items():
        group.add_command(LazyCommand(name, sentence, f"authsec_server.cli.{module}:{name}"))
