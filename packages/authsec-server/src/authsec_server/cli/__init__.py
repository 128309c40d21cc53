"""The commands that the server adds to `authsec`: one module a noun, each command one call of the admin API."""

from __future__ import annotations

import click


def register(group: click.Group) -> None:
    """Add the server's commands to the script `authsec` (entry point of the group `authsec.commands`)."""
    # Here, not at the top: `authsec smoke` on an agent's machine shall not wait for a database library.
    from authsec_server.cli import admin, agents, apis, audit, delegations, keys, revoke, roles, serve, trust

    group.add_command(serve.serve)
    for noun in (
        agents.agents,
        trust.trust,
        roles.roles,
        apis.apis,
        delegations.delegations,
        keys.keys,
        revoke.revoke,
        audit.audit,
        admin.admin,
    ):
        group.add_command(noun)
