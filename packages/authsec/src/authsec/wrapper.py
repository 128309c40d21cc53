"""A function with one parameter less, as its signature says by itself.

`functools.wraps` copies the attributes of a bound method onto the next wrapper. A `__signature__` among them has
`self`, so the framework asks the model for `self`. The wrapper here is compiled with the parameters that callers pass.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

Run = Callable[[tuple[Any, ...], dict[str, Any]], Any]


def wrapper_without(
    parameter: str, function: Callable[..., Any], signature: inspect.Signature, run: Run
) -> Callable[..., Any]:
    """A function like `function`, without `parameter`. Its calls return `run(args, kwargs)`.

    The wrapper is a coroutine function if `function` is one; `run` is one, too, then. `signature` is that of
    `function`, with the annotations that callers shall see.
    """
    shown = [each for each in signature.parameters.values() if each.name != parameter]
    wrapper: Callable[..., Any] = _compiled(function, shown, run)
    functools.update_wrapper(wrapper, function)
    for attribute in ("__wrapped__", "__signature__"):  # by either, frameworks would find the parameter
        vars(wrapper).pop(attribute, None)
    annotations = {each.name: each.annotation for each in shown if each.annotation is not each.empty}
    if signature.return_annotation is not signature.empty:
        annotations["return"] = signature.return_annotation
    wrapper.__annotations__ = annotations
    return wrapper


def place_of(parameter: str, signature: inspect.Signature) -> int | None:
    """Where `parameter` stands among the positional ones; None if it is passed by keyword."""
    if signature.parameters[parameter].kind is inspect.Parameter.KEYWORD_ONLY:
        return None
    return list(signature.parameters).index(parameter)


def with_value(
    value: Any, parameter: str, place: int | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a wrapper's call, with `value` for the parameter at `place`."""
    if place is None:
        return args, {**kwargs, parameter: value}
    return (*args[:place], value, *args[place:]), dict(kwargs)


def _compiled(function: Callable[..., Any], parameters: list[inspect.Parameter], run: Run) -> Any:
    runner = "run"
    while any(runner == each.name for each in parameters):
        runner += "_"
    is_async = inspect.iscoroutinefunction(function)
    passed = f"({''.join(map(_positional, parameters))}), {{{''.join(map(_by_keyword, parameters))}}}"
    body = f"return {'await ' if is_async else ''}{runner}({passed})"
    define = "async def" if is_async else "def"
    text = f"def make({runner}):\n {define} wrapper({_declared(parameters)}): {body}\n return wrapper"
    made: dict[str, Any] = {}
    # The function's own globals, so that names in its annotations mean the same. Only names of parameters are inserted.
    exec(text, function.__globals__, made)  # noqa: S102
    wrapper = made["make"](run)
    # Tracebacks and `inspect.getsource` show the function itself.
    place = {name: getattr(function.__code__, name) for name in ("co_filename", "co_firstlineno")}
    wrapper.__code__ = wrapper.__code__.replace(**place)
    keyword_only = [each for each in parameters if each.kind is each.KEYWORD_ONLY]
    wrapper.__defaults__ = tuple(
        each.default for each in parameters if each not in keyword_only and each.default is not each.empty
    )
    wrapper.__kwdefaults__ = {each.name: each.default for each in keyword_only if each.default is not each.empty}
    return wrapper


def _declared(parameters: list[inspect.Parameter]) -> str:
    """What stands between the parentheses of `def`; each default stands for the real one."""
    bare = [
        each.replace(annotation=each.empty, default=each.empty if each.default is each.empty else None)
        for each in parameters
    ]
    return str(inspect.Signature(bare))[1:-1]


def _positional(parameter: inspect.Parameter) -> str:
    if parameter.kind is parameter.VAR_POSITIONAL:
        return f"*{parameter.name}, "
    is_positional = parameter.kind in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD}
    return f"{parameter.name}, " if is_positional else ""


def _by_keyword(parameter: inspect.Parameter) -> str:
    if parameter.kind is parameter.VAR_KEYWORD:
        return f"**{parameter.name}, "
    return f"'{parameter.name}': {parameter.name}, " if parameter.kind is parameter.KEYWORD_ONLY else ""
