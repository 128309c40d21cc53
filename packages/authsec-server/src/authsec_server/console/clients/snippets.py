"""The Connect tab's code for each framework: the install commands, and a program with a tool that gets a token. Pure.

The programs are those of `examples/frameworks`. The AutoGen program is that of the published walk-through.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from authsec_server.console.clients.oauth_clients import resource_of
from authsec_server.delegations.model import TargetType
from authsec_server.sdk_wheels import SdkWheels
from authsec_server.sdk_wheels.wheels import AUTHSEC, AUTOGEN_PACKAGE

_TOOL = '''
authsec = AuthSecClient.from_env_or_exit("DOWNSTREAM_URL"{})  # also reads AUTHSEC_BASE_URL and AUTHSEC_AGENT_CLIENT_ID
API = os.environ["DOWNSTREAM_URL"]


@authsec.delegated({arguments})
def fetch_customer(customer_id: str, *, delegation_token: str) -> str:
    """Fetch a customer's record."""
    {fetch}
    response.raise_for_status()
    return response.text

'''
# How a tool sends its token, in the programs that several frameworks share. A bound token needs a proof of each URL.
_TOOL_FETCH = {
    False: """headers = {"Authorization": f"Bearer {delegation_token}"}
    response = requests.get(f"{API}/customers/{customer_id}", headers=headers, timeout=5)""",
    True: """url = f"{API}/customers/{customer_id}"
    response = requests.get(url, headers=authsec.headers(delegation_token, "GET", url), timeout=5)""",
}
_FETCH = {
    False: """resp = requests.get(
        f"{{os.environ['DOWNSTREAM_URL']}}/customers/{{customer_id}}",
        headers={{"Authorization": f"Bearer {{{name}}}"}},
        timeout=5,
    )""",
    True: """url = f"{{os.environ['DOWNSTREAM_URL']}}/customers/{{customer_id}}"
    resp = requests.get(url, headers=authsec.headers({name}, "GET", url), timeout=5)""",
}
_BOUND = {False: "", True: ", dpop=True"}
_RECORDS = {
    "fetch_customer": "fetch_record",
    "customer_id": "record_id",
    "a customer's record": "a record",
    "data for customer": "data for record",
    "Who is customer": "Show record",
    "Look customers up": "Look records up",
}
"""The words of the published example, and those for other resources than customers."""
_OURS = ("import os", "import requests", "from authsec import AuthSecClient")
_STANDARD_LIBRARY = ("import asyncio", "import os")

_AUTOGEN = '''\
import os

import autogen
import requests
from authsec_autogen import AuthSecClient, AuthSecConfig, register_function

authsec = AuthSecClient(AuthSecConfig(
    base_url=os.environ["AUTHSEC_BASE_URL"],
    client_id=os.environ["AUTHSEC_AGENT_CLIENT_ID"],  # {client_id}{bound}
))


def fetch_secure_data(customer_id: str, *, delegation_token: str) -> dict:
    """Fetch a customer's record."""
    {fetch}
    resp.raise_for_status()
    return resp.json()


assistant = autogen.AssistantAgent("assistant", llm_config={{"config_list": [{{"model": "gpt-4o-mini"}}]}})
user_proxy = autogen.UserProxyAgent("user_proxy", human_input_mode="NEVER", code_execution_config=False)
register_function(fetch_secure_data, caller=assistant, executor=user_proxy, authsec=authsec{wanted})
user_proxy.initiate_chat(assistant, message="Get data for customer 42.", max_turns=2)
'''

_BY_HAND = """\
def fetch_secure_data(customer_id: str) -> dict:
    jwt_token = {token}
    {fetch}
    resp.raise_for_status()
    return resp.json()
"""

_PLAIN = """\
import os
from urllib.parse import urljoin

import requests
from authsec import AuthSecClient

# also reads AUTHSEC_BASE_URL and AUTHSEC_AGENT_CLIENT_ID
authsec = AuthSecClient.from_env_or_exit("DOWNSTREAM_URL"{bound})
API = os.environ["DOWNSTREAM_URL"]

session = requests.Session()
session.auth = authsec.requests_auth(allowed_origins=urljoin(API, "/"){wanted})
response = session.get(f"{{API}}/{path}/42", timeout=5)
response.raise_for_status()
print(response.text)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """The same commands for two shells."""

    bash: str
    powershell: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework:
    """A framework that agents are written in.

    `packages` are arguments of `pip install`. `imports` and `rest` complete the common program: `rest` comes after the
    tool. `needs_package` says that the program imports our package for the framework.
    """

    title: str
    packages: str
    imports: Sequence[str] = ()
    rest: str = ""
    needs_package: bool = False

    def install(self, sdk: SdkWheels, *, by_uv: bool = False) -> Commands:
        """Return the commands that install our packages and the framework.

        Our packages are named by URL and hash, or by path if this server has no wheels. In the public index, their
        names belong to other people.
        """
        module = "authsec_autogen" if self.needs_package else "authsec"
        check = f"python -c \"from {module} import AuthSecClient; print('OK')\""
        uv = 'uv venv --python ">=3.11" agent-venv'  # else uv takes the first Python that it finds
        bash = [uv if by_uv else "python3 -m venv agent-venv", "source agent-venv/bin/activate"]
        powershell = [uv if by_uv else "py -m venv agent-venv", "agent-venv\\Scripts\\Activate.ps1"]
        if sdk:
            # One command: a second one could replace what the first has installed.
            tool = "uv pip install" if by_uv else "pip install"
            words = [tool, *(f'"{each}"' for each in self._requirements(sdk)), self.packages]
            bash += [" \\\n  ".join(words), check]
            powershell += [" `\n  ".join(words), check]
        else:
            lines = [f"pip install {self._paths}", f"pip install {self.packages}", check]
            bash, powershell = bash + lines, powershell + lines
        return Commands(bash="\n".join(bash), powershell="\n".join(powershell))

    def _requirements(self, sdk: SdkWheels) -> list[str]:
        return [sdk.requirement(AUTHSEC, "key"), *([sdk.requirement(AUTOGEN_PACKAGE)] if self.needs_package else [])]

    @property
    def _paths(self) -> str:
        return "./packages/authsec ./packages/authsec-autogen" if self.needs_package else '"./packages/authsec[key]"'

    def program(self, scope: str, resource: str, *, is_bound: bool = False) -> str:
        """Return the program. Its tool asks for the action `scope` at the API `resource`. Either may be empty.

        With `is_bound`, its tokens are bound to a key (DPoP).
        """
        given = {"scope": scope, "resource": resource, "on_denied": "tell_model"}
        lines = [*_OURS, *self.imports]
        own = sorted(line for line in lines if line in _STANDARD_LIBRARY)
        others = sorted((line for line in lines if line not in _STANDARD_LIBRARY), key=_place)
        imports = "\n".join([*own, "", *others])
        fetch = _about(_TOOL_FETCH[is_bound], scope)
        tool = _about(_TOOL, scope).format(_BOUND[is_bound], arguments=_arguments(given), fetch=fetch)
        return f"{imports}\n{tool}{_about(self.rest, scope)}"


def _about(template: str, scope: str) -> str:
    """Return the template of the published example, which is about customers, for the resource of the action."""
    resource = resource_of(scope)
    if resource == "customers":
        return template
    for ours, theirs in _RECORDS.items():
        template = template.replace(ours, theirs)
    return template.replace("/customers/", f"/{resource}/")


def _place(line: str) -> tuple[bool, str]:
    return line.startswith("from"), line.split()[1]


def _arguments(given: dict[str, str]) -> str:
    return ", ".join(f"{name}={json.dumps(value)}" for name, value in given.items() if value)


_LANGCHAIN = """
model = ChatOpenAI(model=os.environ.get("OPENAI_MODEL", "gpt-4o-mini"))
agent = create_agent(model, tools=[fetch_customer])
result = agent.invoke({"messages": [{"role": "user", "content": "Who is customer 42?"}]})
print(result["messages"][-1].content)
"""

_OPENAI_AGENTS = """
set_tracing_disabled(True)  # Otherwise the SDK sends traces to OpenAI.
set_default_openai_api("chat_completions")  # Other model servers support this API too.
model = os.environ.get("OPENAI_MODEL", "gpt-4o-mini")
agent = Agent(name="assistant", model=model, tools=[function_tool(fetch_customer)])
result = Runner.run_sync(agent, "Who is customer 42?")
print(result.final_output)
"""

_CREWAI = """
model = LLM(model=os.environ.get("OPENAI_MODEL", "gpt-4o-mini"))
agent = Agent(
    role="Assistant",
    goal="Look customers up.",
    backstory="You work in support.",
    llm=model,
    tools=[tool(fetch_customer)],
)
result = agent.kickoff("Who is customer 42?")
print(result.raw)
"""

_LLAMA_INDEX = """
async def main() -> None:
    model = OpenAILike(
        model=os.environ.get("OPENAI_MODEL", "gpt-4o-mini"),
        api_base=os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"),
        is_chat_model=True,
        is_function_calling_model=True,
    )
    agent = FunctionAgent(llm=model, tools=[fetch_customer], streaming=False)
    print(await agent.run("Who is customer 42?"))


asyncio.run(main())
"""

AUTOGEN = Framework(
    title="AutoGen",
    packages='"autogen[openai]>=0.14,<1" requests',
    needs_package=True,
)
LANGCHAIN = Framework(
    title="LangChain",
    packages="langchain langchain-openai requests",
    imports=("from langchain.agents import create_agent", "from langchain_openai import ChatOpenAI"),
    rest=_LANGCHAIN,
)
OPENAI_AGENTS = Framework(
    title="OpenAI Agents",
    packages="openai-agents requests",
    imports=("from agents import Agent, Runner, function_tool, set_default_openai_api, set_tracing_disabled",),
    rest=_OPENAI_AGENTS,
)
CREWAI = Framework(
    title="CrewAI",
    packages="crewai requests",
    imports=("from crewai import LLM, Agent", "from crewai.tools import tool"),
    rest=_CREWAI,
)
LLAMA_INDEX = Framework(
    title="LlamaIndex",
    packages="llama-index-core llama-index-llms-openai-like requests",
    imports=(
        "import asyncio",
        "from llama_index.core.agent.workflow import FunctionAgent",
        "from llama_index.llms.openai_like import OpenAILike",
    ),
    rest=_LLAMA_INDEX,
)
OTHER_PYTHON = Framework(title="Other Python", packages="requests")

FRAMEWORKS = (AUTOGEN, LANGCHAIN, OPENAI_AGENTS, CREWAI, LLAMA_INDEX, OTHER_PYTHON)

_BY_TARGET = {
    TargetType.AUTOGEN: AUTOGEN,
    TargetType.LANGCHAIN: LANGCHAIN,
    TargetType.CREWAI: CREWAI,
    TargetType.LLAMAINDEX: LLAMA_INDEX,
    TargetType.OTHER: OTHER_PYTHON,
    TargetType.MCP_SERVER: OTHER_PYTHON,
}


def position(target: TargetType | None) -> int:
    """Return the position in `FRAMEWORKS`, from 1, of the framework of this target type."""
    return FRAMEWORKS.index(_BY_TARGET[target] if target else AUTOGEN) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameworkCode:
    """What a person copies for one framework. `by_hand` is a function that fetches the token itself, or is empty.

    `by_uv` are the commands for uv, or None if this server has no wheels: the pins of a clone apply to `uv pip`.
    """

    framework: Framework
    install: Commands
    by_uv: Commands | None
    code: str
    by_hand: str = ""


def framework_codes(
    client_id: str, scope: str, resource: str, *, sdk: SdkWheels, is_bound: bool = False
) -> Sequence[FrameworkCode]:
    """Return the code for each framework, in the order of `FRAMEWORKS`. `scope` and `resource` may be empty.

    With `is_bound`, the tokens are bound to a key (DPoP). `sdk` are the wheels that the commands install.
    """
    asked = f"authsec.get_token(resource={json.dumps(resource)}).value"
    fetch = _about(_FETCH[is_bound], scope)
    by_hand = _about(_BY_HAND, scope).format(
        token=asked if resource else "authsec.get_delegation_token()", fetch=fetch.format(name="jwt_token")
    )
    given = _arguments({"scope": scope, "resource": resource})
    wanted = f", {given}" if given else ""
    autogen = _about(_AUTOGEN, scope).format(
        client_id=client_id,
        wanted=wanted,
        fetch=fetch.format(name="delegation_token"),
        bound="\n    dpop=True," if is_bound else "",
    )
    plain = _PLAIN.format(bound=_BOUND[is_bound], wanted=wanted, path=resource_of(scope))
    special = {AUTOGEN.title: autogen, OTHER_PYTHON.title: plain}
    return [
        FrameworkCode(
            framework=each,
            install=each.install(sdk),
            by_uv=each.install(sdk, by_uv=True) if sdk else None,
            code=special.get(each.title) or each.program(scope, resource, is_bound=is_bound),
            by_hand=by_hand if each is AUTOGEN else "",
        )
        for each in FRAMEWORKS
    ]
