"""The commands that the server adds to `authsec`: one module for each noun, one admin API call for each command.

| module | owns |
|---|---|
| `resource`, `params` | list, show, edit, enable, disable and delete of every noun; pages; option types |
| `confirm` | the impact and the question before a change; `--yes`, `--dry-run`, `--reason` |
| `output` | tables, colours, JSON, error lines |
| `caller`, `transport` | `--data`, `--json`, how a command finds the authority; errors of the admin API as text |
| `needed_role` | the command that creates an admin key for the running command |
| `remote`, `local` | calls over HTTPS, with retries; calls in this process, as the local operator |
| `files` | read a named file up to a limit; write a secret to a new private file |
| `agents`, `agents_deploy` | agents, and enrolment codes for laptops; `spire-entry` and `manifest` |
| `agent_proofs` | proofs of an agent; client secrets |
| `issuers`, `issuers_text` | trusted issuers: edit, check, bind, remove, refresh; trusted issuers as text for people |
| `issuers_add`, `issuers_try` | `add` for each kind; `try` a token |
| `kubeconfig` | the cluster of a kubeconfig; options for a cluster's look-ups |
| `configuration`, `configuration_files`, `yaml_reader` | `export` and `apply`; join files; strict YAML |
| `audit`, `audit_follow` | `list` and its filters, `show`, `export`; `follow`, until a signal |
| `audit_verify`, `audit_report` | `verify`, the sealed log and its key; the report |
| `audit_files` | the files to verify; the option that names the file of the sealing key |
| `audit_maintenance` | `drop`; `rebuild-counts` |
| `audit_retention` | `retention`: the last and the next run of the scheduled retention |
| `admin`, `backup`, `restore` | `authsec admin`: people and admin keys; `authsec backup`; `authsec admin restored` |
| `db` | `authsec db upgrade` |
| `keys`, `master_key` | `authsec keys`; its `change-master-key` |
| `serve`, `server_process` | `authsec serve`: the options; TLS, signals, log, shutdown |
| `listener`, `acceptor` | the port, and the program that has it already; connections from a shared socket |
| `supervisor`, `worker`, `worker_process` | `--workers`: start and end workers; one worker; the program of a worker |
| `greeting` | the first screen of `serve` |
"""

from __future__ import annotations

from typing import Final

import click
from authsec.lazy_commands import LazyCommand

_COMMANDS: Final = {  # command: its module, and its line in `authsec --help`
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
    "db": ("db", "Upgrade the schema of the database."),
    "admin": ("admin", "Manage administrators and admin keys."),
}


def register(group: click.Group) -> None:
    """Add the server's commands to the script `authsec` (entry point of the group `authsec.commands`)."""
    for name, (module, sentence) in _COMMANDS.items():
        group.add_command(LazyCommand(name, sentence, f"authsec_server.cli.{module}:{name}"))
