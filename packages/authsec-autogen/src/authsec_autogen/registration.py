"""Register a function as a tool of two AutoGen agents: the caller and the executor.

The module never imports AutoGen, because several distributions share the name `autogen`. Instead, the module
checks that each agent has the required method.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from authsec import AuthSecClient, ConfigError, ToolError

from authsec_autogen.tool import as_tool


def register_function(
    fn: Callable[..., Any],
    *,
    caller: Any,
    executor: Any,
    authsec: AuthSecClient,
    scope: str | Sequence[str] | None = None,
    resource: str | Sequence[str] | None = None,
    name: str | None = None,
    description: str | None = None,
) -> Callable[..., Any]:
    """Register `fn` with both agents, as `autogen.register_function` does, and pass a token in each call.

    `fn` (sync or async, a function or a bound method) takes the token as `delegation_token`. The model sees the
    other parameters, `name` (default: the function's name) and `description` (default: the docstring of `fn`).
    `scope` and `resource` have the same meaning as in `AuthSecClient.get_token`.

    Returns the registered tool. The tool returns JSON text. No result and no exception of the tool contains the
    token. If the authority or the API denies access, the tool raises `ToolError` with a text for the model. The
    logger `authsec` records problems that only the operator of the agent can fix.

    Raises `ConfigError` if `fn` has no parameter for the token or there is no description. Also raises
    `ConfigError` for an agent without the classic AutoGen API.
    """
    _check_agent(caller, "caller", "register_for_llm")
    _check_agent(executor, "executor", "register_for_execution")
    tool: Callable[..., Any] = authsec.delegated(scope=scope, resource=resource, on_denied=ToolError)(as_tool(fn))
    name = name or fn.__name__
    description = description or inspect.getdoc(tool)
    if not description:
        raise ConfigError(
            f"The model needs a description of {name}: add a docstring, or pass description='…'.",
            reason="description_missing",
        )
    caller.register_for_llm(name=name, description=description)(tool)
    executor.register_for_execution(name=name)(tool)
    return tool


def _check_agent(agent: Any, role: str, capability: str) -> None:
    if callable(getattr(agent, capability, None)):
        return
    package = type(agent).__module__.partition(".")[0]
    raise ConfigError(
        f"The {role} is a {type(agent).__name__} of {package}, which has no {capability}: register_function is for "
        "agents of the classic AutoGen API (import autogen; install autogen[openai]>=0.14,<1). Other agents take the "
        "decorated function among their tools:\n"
        "    @authsec.delegated(scope='customers:read')\n"
        "    def fetch(customer_id: str, *, delegation_token: str) -> str: ...",
        reason="not_classic_autogen",
    )
