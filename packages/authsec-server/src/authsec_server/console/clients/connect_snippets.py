"""The text that connects a client: shell commands, program code and a smoke test. All functions are pure.

The program comes from the published walk-through, with this client's values. The text contains no secret: a
Client ID is a name. The file with the private key or the secret stays on the agent's machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

YOUR_API = "https://your-api.example.com"
KEY_FILE = "agent-key.pem"
KEYGEN = f"uv run authsec keygen {KEY_FILE}"
"""Creates an agent's key pair, in a clone. All pages of the console use the same file name."""

INSTALL = """\
python3 -m venv agent-venv
source agent-venv/bin/activate        # PowerShell: agent-venv\\Scripts\\Activate.ps1
pip install ./packages/authsec ./packages/authsec-autogen
pip install "autogen[openai]>=0.14,<1" requests
python -c "from authsec_autogen import AuthSecClient; print('OK')"
"""

CONFIGURE = """\
import os
from authsec_autogen import AuthSecClient, AuthSecConfig

authsec = AuthSecClient(
    AuthSecConfig(
        base_url=os.environ["AUTHSEC_BASE_URL"],
        client_id=os.environ["AUTHSEC_AGENT_CLIENT_ID"],  # {client_id}
    )
)
"""

TOOL = """\
import autogen
import requests
from authsec_autogen import register_function


def fetch_secure_data(customer_id: str, *, delegation_token: str) -> dict:
    \"\"\"Fetch a customer's record.\"\"\"
    resp = requests.get(
        f"{{os.environ['DOWNSTREAM_URL']}}/customers/{{customer_id}}",
        headers={{"Authorization": f"Bearer {{delegation_token}}"}},
        timeout=5,
    )
    resp.raise_for_status()
    return resp.json()


assistant = autogen.AssistantAgent("assistant", llm_config={{"config_list": [...]}})
user_proxy = autogen.UserProxyAgent("user_proxy", human_input_mode="NEVER", code_execution_config=False)
register_function(fetch_secure_data, caller=assistant, executor=user_proxy, authsec=authsec{wanted})
user_proxy.initiate_chat(assistant, message="Get data for customer 42.")
"""

BY_HAND = """\
def fetch_secure_data(customer_id: str) -> dict:
    jwt_token = {token}
    resp = requests.get(
        f"{{os.environ['DOWNSTREAM_URL']}}/customers/{{customer_id}}",
        headers={{"Authorization": f"Bearer {{jwt_token}}"}},
        timeout=5,
    )
    resp.raise_for_status()
    return resp.json()
"""

SECRET_FILE, SECRET_VARIABLE = "agent-secret", "AUTHSEC_AGENT_SECRET_FILE"
_KEY, _TOKEN = "AUTHSEC_AGENT_KEY_FILE", "AUTHSEC_WORKLOAD_TOKEN_FILE"
PROOF_VARIABLES = (_KEY, _TOKEN, SECRET_VARIABLE)


def example_action(actions: Iterable[str]) -> str:
    """Choose an action for an example program that reads a customer's record.

    An action that ends in `:read` is preferred, then one that ends in `:list`. Return "" if there is no such
    action. Other actions are never chosen, so that nobody copies a write action by accident.
    """
    held = sorted(actions)
    fitting = (action for verb in (":read", ":list") for action in held if action.endswith(verb))
    return next(fitting, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """The values with which a client connects to this authority.

    `scope` is an action for the example, and `audience` is the API for which the token is issued. `resource` is
    the same API if the token request must name the API. Unknown values are empty.
    """

    base_url: str
    client_id: str
    has_key: bool
    has_secret: bool = False
    scope: str = ""
    audience: str = ""
    resource: str = ""

    @property
    def bash(self) -> str:
        """Return the client's environment variables for bash and similar shells."""
        return "\n".join(for_bash(self._environment, self._others, files=self._proof))

    @property
    def powershell(self) -> str:
        """Return the client's environment variables for PowerShell."""
        return "\n".join(for_powershell(self._environment, self._others, files=self._proof))

    @property
    def install(self) -> str:
        """Return the commands of Step 3 of the walk-through, which install the packages by path.

        The names of the packages in the public index belong to other people.
        """
        return INSTALL

    @property
    def configure(self) -> str:
        """Return the code of Step 4 of the walk-through: the configuration."""
        return CONFIGURE.format(client_id=self.client_id)

    @property
    def tool(self) -> str:
        """Return the code of Step 5 of the walk-through: a tool for AutoGen."""
        given = {"scope": self.scope, "resource": self.resource}
        return TOOL.format(wanted="".join(f", {name}={json.dumps(value)}" for name, value in given.items() if value))

    @property
    def by_hand(self) -> str:
        """Return the function of the walk-through without AutoGen: the function itself fetches its token."""
        asked = f"authsec.get_token(resource={json.dumps(self.resource)}).value"
        return BY_HAND.format(token=asked if self.resource else "authsec.get_delegation_token()")

    @property
    def smoke(self) -> str:
        """Return the command of Step 6 of the walk-through: a smoke test.

        If the token request must name the API, the command has the option `--resource`.
        """
        asked = f'uv run authsec smoke --resource "{_in_bash(self.resource)}"'
        return asked if self.resource else "uv run python examples/smoke_local.py"

    @property
    def _proof(self) -> Mapping[str, str]:
        """Return the environment variable and the file name of the client's proof. A key is preferred to a secret."""
        if self.has_key:
            return {_KEY: KEY_FILE}
        return {SECRET_VARIABLE: SECRET_FILE} if self.has_secret else {}

    @property
    def _others(self) -> list[str]:
        """Return the other proof variables, which the commands unset.

        The shell may still have another agent's proof in these variables.
        """
        return [name for name in PROOF_VARIABLES if name not in self._proof]

    @property
    def _environment(self) -> Mapping[str, str]:
        downstream = self.audience if self.audience.startswith(("https://", "http://")) else YOUR_API
        return {
            "AUTHSEC_BASE_URL": self.base_url,
            "AUTHSEC_AGENT_CLIENT_ID": self.client_id,
            "DOWNSTREAM_URL": downstream,
        }


def for_bash(
    environment: Mapping[str, str], others: Iterable[str], *, files: Mapping[str, str] | None = None
) -> list[str]:
    """Return bash lines that set the variables in `environment`, and unset the variables in `others`.

    `files` maps variables to file names. The lines set these variables to paths in the current folder.
    """
    lines = [f'export {name}="{_in_bash(value)}"' for name, value in environment.items()]
    lines += [f'export {name}="$PWD/{file}"' for name, file in (files or {}).items()]
    return [*lines, f"unset {' '.join(others)}"]


def for_powershell(
    environment: Mapping[str, str], others: Iterable[str], *, files: Mapping[str, str] | None = None
) -> list[str]:
    """Return PowerShell lines that set the variables in `environment`, and unset the variables in `others`.

    `files` maps variables to file names. The lines set these variables to paths in the current folder.
    """
    lines = [f'$env:{name} = "{_in_powershell(value)}"' for name, value in environment.items()]
    lines += [f'$env:{name} = "$PWD\\{file}"' for name, file in (files or {}).items()]
    return [*lines, f"Remove-Item {', '.join(f'Env:{name}' for name in others)} -ErrorAction SilentlyContinue"]


def _in_bash(text: str) -> str:
    """Escape the text for double quotes in bash."""
    return "".join(f"\\{char}" if char in '\\"$`' else char for char in text)


def _in_powershell(text: str) -> str:
    return "".join(f"`{char}" if char in '`"$' else char for char in text)
