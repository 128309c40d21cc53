"""The end of the story: authority that works, and what to paste into a shell in order to try it."""

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
    """A new delegation instead of the revoked one."""
    why = "A new trust delegation takes the place of the revoked one."
    with stage.step("The agent may read again", why):
        delegation_to_read(servers.admin, agent.client_id, revoked["role"]["slug"])
        permissions = agent.client(servers.authority_url).get_token().permissions
        check(permissions == (READ,), expected=f"a token for {READ}", came=f"one for {', '.join(permissions)}")
        stage.fact("delegated", f"{READ}, as before; a token was issued at once")


def hand_over(stage: Stage, servers: Servers, variables: Mapping[str, str]) -> None:
    """A sign-in to the console, and the variables that lead to the agent. They are good while the servers run."""
    with stage.step("Try it yourself", "In a browser, and in a second terminal."):
        _show_console(stage, servers)
        show_exports(stage, variables, command_line("smoke"), EXAMPLE)


def _show_console(stage: Stage, servers: Servers) -> None:
    """The console, with a sign-in that works once: the demonstration has no password to forget."""
    servers.admin.invite(ADMINISTRATOR, "Demo Administrator")
    stage.line()
    stage.note(f"The console; this sign-in, as {ADMINISTRATOR}, works once, within 15 minutes:")
    stage.copyable(servers.authority.sign_in_url(ADMINISTRATOR))
    stage.line()
    stage.note("For another one, when the browser was closed or the time is over:")
    stage.copyable(servers.authority.line_for_a_sign_in(ADMINISTRATOR))


def exports(servers: Servers, agent: Agent) -> dict[str, str]:
    """What SDK, examples and smoke test read from the environment."""
    return {
        "AUTHSEC_BASE_URL": servers.authority_url,
        "AUTHSEC_AGENT_CLIENT_ID": agent.client_id,
        "DOWNSTREAM_URL": servers.api_url,
        "AUTHSEC_AGENT_KEY_FILE": str(agent.key_file),
        **model_exports(servers.model),
    }
