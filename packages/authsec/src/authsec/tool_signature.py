"""A tool's signature without `delegation_token`, and a function that has this signature.

The function is a wrapper, compiled with the parameters that callers pass. The wrapper has no `__signature__`,
because `functools.wraps` would copy it from a bound method onto the next wrapper. The copy would contain
`self`, so the framework would ask the model for `self`.
"""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final

from authsec.errors import ConfigError

PARAMETER: Final = "delegation_token"
MARK: Final = "__authsec_delegated__"
"""The attribute of functions that are decorated."""

_ENTRY: Final = re.compile(rf"\s*(:(param|type)\s([^:]*\s)?)?{PARAMETER}\s*(\([^)]*\)\s*)?:")
_HEADINGS: Final = {"Args:", "Arguments:", "Parameters:", "Params:", "Keyword Args:", "Keyword Arguments:"}
_ALIASES: Final = {"token", "access_token", "auth_token", "bearer_token", "delegated_token", "delegation"}

Run = Callable[[tuple[Any, ...], dict[str, Any]], Any]


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """Return the function's signature, with resolved annotations. Names that only type checkers import stay as text.

    Raises `ConfigError` if the function has no usable parameter `delegation_token`, or cannot be decorated.
    """
    _check_kind(function)
    signature = inspect.signature(function)
    parameter = signature.parameters.get(PARAMETER)
    if parameter is None or parameter.kind not in {parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD}:
        raise ConfigError(_how_to_take_it(function, signature), reason="parameter_missing")
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError:  # Annotations stay as text if only type checkers import their names.
        return signature
    return signature.replace(
        parameters=[p.replace(annotation=hints.get(p.name, p.annotation)) for p in signature.parameters.values()],
        return_annotation=hints.get("return", signature.return_annotation),
    )


def docstring_of(function: Callable[..., Any]) -> str | None:
    """Return the function's docstring without the entry for `delegation_token`, because models read the docstring.

    The entry may be in Google, NumPy or Sphinx style.
    """
    if function.__doc__ is None or PARAMETER not in function.__doc__:
        return function.__doc__
    kept: list[str] = []
    entry: int | None = None  # the indentation of the entry for `delegation_token`
    for line in function.__doc__.splitlines():
        indentation = len(line) - len(line.lstrip())
        if entry is not None and line.strip() and indentation > entry:
            continue
        entry = indentation if _ENTRY.match(line) else None
        if entry is None:
            kept.append(line)
    return "\n".join(line for line, after in zip(kept, [*kept[1:], ""], strict=True) if not _is_empty(line, after))


def wrapper_without(
    parameter: str, function: Callable[..., Any], signature: inspect.Signature, run: Run
) -> Callable[..., Any]:
    """Build a function like `function`, but without `parameter`. A call of it returns `run(args, kwargs)`.

    If `function` is a coroutine function, `run` must be a coroutine function too, and so is the wrapper. `signature` is
    the signature of `function`, with the annotations that callers see.
    """
    shown = [each for each in signature.parameters.values() if each.name != parameter]
    wrapper: Callable[..., Any] = _compiled(function, shown, run)
    functools.update_wrapper(wrapper, function)
    for attribute in ("__wrapped__", "__signature__"):  # With either attribute, frameworks would find the parameter.
        vars(wrapper).pop(attribute, None)
    annotations = {each.name: each.annotation for each in shown if each.annotation is not each.empty}
    if signature.return_annotation is not signature.empty:
        annotations["return"] = signature.return_annotation
    wrapper.__annotations__ = annotations
    return wrapper


def position_of(parameter: str, signature: inspect.Signature) -> int | None:
    """Return the index of `parameter` among the positional parameters; None if `parameter` is keyword-only."""
    if signature.parameters[parameter].kind is inspect.Parameter.KEYWORD_ONLY:
        return None
    return list(signature.parameters).index(parameter)


def with_value(
    value: Any, parameter: str, place: int | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call, with `value` added for `parameter`.

    If `place` is an index, `value` is inserted at this index; if it is None, `value` is passed by keyword.
    """
    if place is None:
        return args, {**kwargs, parameter: value}
    return (*args[:place], value, *args[place:]), dict(kwargs)


def _is_empty(line: str, after: str) -> bool:
    """Whether the line is the heading of a parameter section without entries. `after` is the line after it."""
    return line.strip() in _HEADINGS and not after.strip()


def _how_to_take_it(function: Callable[..., Any], signature: inspect.Signature) -> str:
    """Return the remedy for a function without a usable `delegation_token`: the signature to write.

    In this signature, `delegation_token` replaces a parameter with a similar name, or is added to the other
    parameters.
    """
    parameters = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    meant = next((p.name for p in parameters if p.name in _ALIASES), None)
    others = [p for p in parameters if p.name not in {meant, PARAMETER}]
    last = len(others) - (bool(others) and others[-1].kind is inspect.Parameter.VAR_KEYWORD)
    others.insert(last, inspect.Parameter(PARAMETER, inspect.Parameter.KEYWORD_ONLY, annotation=str))
    written = f"    def {function.__name__}{inspect.Signature(others)}"
    if meant is not None:
        return f"{function.__qualname__} gets its token in the parameter {PARAMETER}. Rename {meant}:\n{written}"
    if PARAMETER in signature.parameters:
        return f"{function.__qualname__} cannot get {PARAMETER} as a keyword argument. Write:\n{written}"
    return f"{function.__qualname__} has no parameter for its token. Add {PARAMETER}, which no model sees:\n{written}"


def _check_kind(function: Callable[..., Any]) -> None:
    # The repr of an unknown object may contain secrets.
    name = getattr(function, "__qualname__", f"a {type(function).__name__}")
    if isinstance(function, str):
        raise ConfigError(
            "delegated needs the actions by name, as in @authsec.delegated(scope='customers:read').",
            reason="not_a_function",
        )
    if not inspect.isfunction(function):
        raise ConfigError(
            f"{name} is not a plain function (def or async def). Put the decorator directly above the def, below "
            "@staticmethod, @classmethod and the framework's decorators (@tool, @function_tool, …).",
            reason="not_a_function",
        )
    if MARK in vars(function):
        raise ConfigError(
            f"{name} has @authsec.delegated twice, but gets only one token. Keep one decorator, with all actions "
            "of the function: @authsec.delegated(scope='customers:read tickets:write').",
            reason="decorated_twice",
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigError(
            f"{name} yields, so it is not a plain function: it runs on after the call, perhaps longer than its "
            "token is valid. Return the complete result. Or leave the decorator out, and call "
            "get_delegation_token() or aget_delegation_token() inside the function, before each request.",
            reason="not_a_function",
        )


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
    # With the function's own globals, names in its annotations keep their meaning. Only parameter names are inserted.
    exec(text, function.__globals__, made)  # noqa: S102 - the text is ours, with checked names
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
    """Return the text between the parentheses of `def`, with a placeholder for each default."""
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
