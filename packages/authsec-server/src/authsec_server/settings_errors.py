"""Describe wrong settings: unknown names, invalid values, and variables that Kubernetes sets.

Without these errors, the server would ignore a misspelt name and could start with another database.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from authsec_server.suggest import nearest

# Kubernetes sets such variables in each container for each Service: …_SERVICE_HOST, …_PORT=tcp://…, …_PORT_80_TCP.
_LINK = re.compile(r"(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")
_LINKED_ADDRESS = re.compile(r"(tcp|udp|sctp)://")

_PARSED = {
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_parsing": "must be true or false",
    "float_parsing": "must be a number",
    "string_too_short": "must not be empty",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_long": "may have at most {max_length} characters",
}


def unknown_names(environment: Mapping[str, str], prefix: str, known: Sequence[str]) -> Iterator[str]:
    """Yield a message for each variable that begins with `prefix` and is not a setting. No message has its value."""
    for name, value in sorted(environment.items()):
        its = name.upper().removeprefix(prefix)
        if not name.upper().startswith(prefix) or its in known or _is_of_a_service(its, value):
            continue
        near = nearest(its, known, likeness=0.5)
        meant = f"; the nearest is {prefix}{near}" if near else ""
        yield f"{name[:100]!r} is not a setting{meant}"


def set_by_kubernetes(value: object) -> bool:
    """Whether the value is an address such as `tcp://10.0.0.1:80`, which Kubernetes sets for a Service."""
    return isinstance(value, str) and _LINKED_ADDRESS.match(value) is not None


def problem(error: Mapping[str, Any]) -> str:
    """Describe in one clause why a value is invalid."""
    if error["type"] == "string_pattern_mismatch":  # the pattern is ^(one|another)$
        return f"must be one of {', '.join(error['ctx']['pattern'].strip('^()$').split('|'))}"
    said = _PARSED.get(error["type"])
    return said.format(**error.get("ctx", {})) if said else str(error["msg"]).removeprefix("Value error, ")


def _is_of_a_service(name: str, value: str) -> bool:
    return bool(_LINK.fullmatch(name)) or (name.endswith("_PORT") and set_by_kubernetes(value))


def message_and_remedy(errors: Sequence[Mapping[str, Any]], prefix: str) -> tuple[str, str]:
    """Describe all invalid settings in one message, and say how to correct them."""
    problems = [
        f"{prefix}{str(each['loc'][0]).upper()}: {problem(each)}" if each["loc"] else problem(each) for each in errors
    ]
    remedy = "Correct these settings, and start again."
    if any(set_by_kubernetes(each["input"]) for each in errors):
        remedy = (
            "Kubernetes sets this variable for a Service of that name: set `enableServiceLinks: false` in the "
            "pod, or rename the Service."
        )
    return f"These settings are not valid. {'; '.join(problems)}.", remedy
