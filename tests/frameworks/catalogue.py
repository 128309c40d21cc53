"""Which frameworks are tried, in which environments, by which tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework:
    """`name` is that of its driver and of its example. The page shows the versions of `packages`.

    `tests` are a file of `inside`. `environments` are .txt files here: with openai 2 and with 3 where both can be had.
    """

    name: str
    title: str
    packages: tuple[str, ...]
    environments: tuple[str, ...]
    tests: str = "test_tools.py"
    differs: str = ""

    @property
    def has_program(self) -> bool:
        """Whether a program in examples/frameworks shows it."""
        return self.tests != "test_tools_briefly.py"


def _briefly(name: str, title: str, package: str, environment: str, differs: str) -> Framework:
    return Framework(
        name=name,
        title=title,
        packages=(package,),
        environments=(environment,),
        tests="test_tools_briefly.py",
        differs=differs,
    )


BOTH = ("set_a", "set_b")
DEFAULT = "pydantic_ai"  # what every run of the tests tries; its environment is the smallest
FRAMEWORKS = (
    Framework(
        name="autogen",
        title="AutoGen, classic",
        packages=("autogen",),
        environments=("set_a",),
        differs="functions only, no methods",
    ),
    Framework(name="agentchat", title="autogen-agentchat", packages=("autogen-agentchat",), environments=BOTH),
    Framework(name="ag2", title="ag2 1", packages=("ag2",), environments=("set_b",)),
    Framework(
        name="agent_framework", title="Microsoft Agent Framework", packages=("agent-framework-core",), environments=BOTH
    ),
    Framework(name="langchain", title="LangChain, LangGraph", packages=("langchain", "langgraph"), environments=BOTH),
    Framework(name="openai_agents", title="OpenAI Agents", packages=("openai-agents",), environments=("set_b",)),
    Framework(name="pydantic_ai", title="pydantic-ai", packages=("pydantic-ai-slim",), environments=(DEFAULT,)),
    Framework(
        name="crewai", title="CrewAI", packages=("crewai",), environments=("set_d",), differs="give it `tool(function)`"
    ),
    Framework(
        name="google_adk",
        title="Google ADK",
        packages=("google-adk",),
        environments=("set_c",),
        differs='a text reaches the model as `{"result": …}`',
    ),
    Framework(name="llama_index", title="LlamaIndex", packages=("llama-index-core",), environments=("set_d",)),
    Framework(
        name="strands",
        title="Strands",
        packages=("strands-agents",),
        environments=("set_d",),
        differs="give it `tool(function)`",
    ),
    Framework(
        name="claude",
        title="Claude Agent SDK",
        packages=("claude-agent-sdk", "mcp"),
        environments=("set_c",),
        tests="test_claude.py",
        differs="`def` takes the dict of arguments; a denial is an error result",
    ),
    _briefly("smolagents", "smolagents", "smolagents", "set_c", "the docstring needs an `Args:` for each parameter"),
    _briefly("agno", "Agno", "agno", "set_d", "its log has the traceback of what a tool raises"),
    _briefly(
        "semantic_kernel", "Semantic Kernel", "semantic-kernel", "set_d", "a plugin holds `kernel_function(function)`"
    ),
    _briefly("haystack", "Haystack", "haystack-ai", "set_d", "give it `tool(function)`"),
    _briefly("camel", "CAMEL", "camel-ai", "set_d", "give it `FunctionTool(function)`"),
    _briefly("dspy", "DSPy", "dspy", "set_c", "`ReAct` describes the tool in its prompt, without a schema"),
)
