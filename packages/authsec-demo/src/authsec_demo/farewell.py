"""The last steps of the demo: create a new delegation, and print how to use the running servers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from authsec.terminal import command_line

from authsec_demo.exports import EXAMPLE, model_exports, show_exports
from authsec_demo.onboarding import READ, Agent, delegation_to_read
from authsec_demo.servers import Servers
from authsec_demo.stage import Stage, check

ADMINISTRATOR: Final = "demo@example.com"


def renew(stage: Stage, servers: Servers, agent: Agent, revoked: Mapping[str, Any]) -> None:
    """Create a new delegation in place of the revoked one, and verify that the agent gets a token."""
    why = "A new trust delegation replaces the revoked one."
    with stage.step("The agent can read again", why):
        delegation_to_read(servers.admin, agent.client_id, revoked["role"]["slug"])
        permissions = agent.client(servers.authority_url).get_token().permissions
        check(permissions == (READ,), expected=f"a token for {READ}", came=f"a token for {', '.join(permissions)}")
        stage.fact("delegated", f"{READ}, as before; a token was issued at once")


def hand_over(stage: Stage, servers: Servers, variables: Mapping[str, str]) -> None:
    """Print a console sign-in URL and the variables of the agent. URL and variables work only while the servers run."""
    with stage.step("Try it yourself", "In a browser, and in a second terminal."):
        _show_console(stage, servers)
        show_exports(stage, variables, command_line("smoke"), EXAMPLE)


def _show_console(stage: Stage, servers: Servers) -> None:
    """Invite an administrator, and print a one-time sign-in URL for the console. The demo thus needs no password."""
    servers.admin.invite(ADMINISTRATOR, "Demo Administrator")
    stage.line()
    stage.note(f"The console; this sign-in, as {ADMINISTRATOR}, works once, within 15 minutes:")
    stage.copyable(servers.authority.sign_in_url(ADMINISTRATOR))
    stage.line()
    stage.note("For a new sign-in, if you closed the browser or the time has passed:")
    stage.copyable(servers.authority.line_for_a_sign_in(ADMINISTRATOR))


def exports(servers: Servers, agent: Agent) -> dict[str, str]:
    """Return the environment variables that the SDK, the examples and the smoke test read."""
    return {
        "AUTHSEC_BASE_URL": servers.authority_url,
        "AUTHSEC_AGENT_CLIENT_ID": agent.client_id,
        "DOWNSTREAM_URL": servers.api_url,
        "AUTHSEC_AGENT_KEY_FILE": str(agent.key_file),
        **model_exports(servers.model),
    }
