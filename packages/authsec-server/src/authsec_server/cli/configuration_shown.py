"""A configuration as text: as YAML that is read again, and what would change in it, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import yaml
from rich.text import Text

from authsec_server.cli.output import harmless, styled
from authsec_server.configuration.model import Section

HEAD: Final = """\
# Made by `authsec export`. No secret is in here: `platform: secret` says that there is one, which stays as it is.
# What would change: authsec apply -f FILE --dry-run
"""
_MARKS: Final = {"create": ("+", "green"), "edit": ("~", "yellow"), "remove": ("-", "red")}
_HEADS: Final = {
    "sources": "Trust sources",
    "apis": "APIs",
    "roles": "Roles",
    "agents": "Agents",
    "delegations": "Delegations",
}
_UNATTESTED: Final = "unattested"


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # whichever was built
    """Writes texts of several lines as such; what YAML 1.1 would take for something else comes in quotes."""


def _text(dumper: Any, value: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def as_yaml(configuration: Mapping[str, Mapping[str, Any]]) -> str:
    """The document. Sections without anything are left out: nothing is said of them."""
    held = {section: dict(things) for section, things in configuration.items() if things}
    if not held:
        return f"{HEAD}{{}}\n"
    text = yaml.dump(held, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=10_000)
    return HEAD + str(text)


def difference(plan: Mapping[str, Any]) -> Iterator[Text]:
    """What changes, thing by thing and field by field."""
    for section in Section:
        its = [change for change in plan["changes"] if change["section"] == section]
        if its:
            yield Text(_HEADS[section], style="bold")
        for change in its:
            yield from _change(change)


def counted(plan: Mapping[str, Any], verbs: Mapping[str, str]) -> str:
    """How many of each: `2 to create, 1 to change`."""
    numbers = {verb: sum(change["verb"] == verb for change in plan["changes"]) for verb in _MARKS}
    return ", ".join(f"{number} {verbs[verb]}" for verb, number in numbers.items() if number)


def _change(change: Mapping[str, Any]) -> Iterator[Text]:
    mark, style = _MARKS[change["verb"]]
    head = styled(f"{mark} {change['slug']}", style)
    yield head.append("  UNATTESTED", "bold red") if change["unattested"] else head
    if change["verb"] == "remove":
        yield from _fields([each for each in change["differences"] if each["field"] == "name"], alone=style)
    else:
        yield from _fields(change["differences"], alone=style if change["verb"] == "create" else "")
    for note in change["notes"]:
        yield styled(f"    ! {note}", "yellow")


def _fields(differences: Sequence[Mapping[str, Any]], *, alone: str) -> Iterator[Text]:
    """`alone`: the style of values where there is nothing before, or nothing after."""
    for each in differences:
        lines = [*_lines(each, alone)]
        head = f"    {harmless(each['field'])}: "
        for line in lines:
            yield Text.assemble((head, "dim"), line)
            head = " " * len(head)


def _lines(each: Mapping[str, Any], alone: str) -> Iterator[Text]:
    if each["added"] or each["removed"]:
        yield from (_item("+", item, "green") for item in each["added"])
        yield from (_item("-", item, "red") for item in each["removed"])
    elif alone:
        yield styled(_plain(each["after"] if each["before"] is None else each["before"]), alone)
    else:
        before, after = styled(_plain(each["before"]), "red"), styled(_plain(each["after"]), "green")
        yield before.append(" → ").append_text(after)


def _item(mark: str, item: str, style: str) -> Text:
    weak = mark == "+" and item.partition(" ")[0] == _UNATTESTED
    return styled(f"{mark} {item}", "bold red" if weak else style)


def _plain(value: object) -> str:
    if value is None:
        return "nothing"
    return str(value).lower() if isinstance(value, bool) else str(value)
