"""A strict YAML reader: values have only the types of JSON, and the line of each value is known.

The reader supports only the YAML that a configuration needs. The reader refuses anchors (a few lines of
anchors can expand to gigabytes), tags, merge keys and duplicate names. Words have the meaning of YAML 1.2's
core schema: `on` and `no` are texts, `true` is a boolean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import yaml

MAX_DEPTH: Final = 16
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is ten times as fast, but some builds lack it
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,18}")
_NUMBER: Final = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|0x[0-9a-fA-F]+|0o[0-7]+|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_WORDS: Final[Mapping[str, bool | None]] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL", "~", ""), None),
}


class YamlPlace(Protocol):
    """A position in the YAML text, counted from 0. Both PyYAML's own parser and libyaml's parser return such marks."""

    @property
    def line(self) -> int: ...

    @property
    def column(self) -> int: ...


class NotReadable(Exception):
    """An error in the YAML text: the message, the line and column (counted from 1) and the remedy."""

    def __init__(self, message: str, remedy: str, mark: YamlPlace | None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.line = 0 if mark is None else mark.line + 1
        self.column = 0 if mark is None else mark.column + 1


@dataclass(slots=True)
class YamlDocument:
    """A YAML document. `lines` maps the path of each value to the value's first line.

    A path consists of names in maps and positions in lists.
    """

    value: Any = None
    lines: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Open:
    """A list or map that is not complete yet. `name` is the name of the next value in a map."""

    value: Any
    path: str
    name: str | None = None


def read_yaml(text: str) -> Iterator[YamlDocument]:
    """Yield the documents in the text. Raises `NotReadable` at the first error."""
    document, stack = YamlDocument(), list[_Open]()
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.DocumentStartEvent):
                document, stack = YamlDocument(), []
            elif isinstance(event, yaml.DocumentEndEvent):
                yield document
            elif isinstance(event, yaml.NodeEvent):
                _begin(event, document, stack)
            elif isinstance(event, yaml.CollectionEndEvent):
                stack.pop()
    except yaml.MarkedYAMLError as error:
        if _is_tab(text, error.problem_mark):
            remedy = "Replace the tab with spaces."
            raise NotReadable(
                "YAML must be indented with spaces, but here is a tab.", remedy, error.problem_mark
            ) from None
        what = " ".join(filter(None, (error.context, error.problem)))
        raise NotReadable(f"This is not YAML: {what}.", _HINT, error.problem_mark or error.context_mark) from None
    except yaml.YAMLError as error:
        raise NotReadable(f"This is not YAML: {error}.".splitlines()[0], _HINT, None) from None


def _is_tab(text: str, mark: YamlPlace | None) -> bool:
    lines = text.splitlines()
    return mark is not None and mark.line < len(lines) and lines[mark.line][mark.column :].startswith("\t")


_HINT: Final = "Check the indentation, and put texts with a colon in quotes."


def _begin(event: yaml.NodeEvent, document: YamlDocument, stack: list[_Open]) -> None:
    mark = event.start_mark
    if isinstance(event, yaml.AliasEvent) or event.anchor:
        raise NotReadable("Anchors and aliases (& and *) are not supported.", "Write the value out.", mark)
    tag = getattr(event, "tag", None)  # only a value or a collection has a tag
    if tag is not None:
        written = tag.replace("tag:yaml.org,2002:", "!!", 1)
        raise NotReadable(f"The tag {written} is not supported.", "Remove the tag.", mark)
    line = 1 if mark is None else mark.line + 1
    top = stack[-1] if stack else None
    if top is not None and isinstance(top.value, dict) and top.name is None:
        top.name = _name(event, top)
        document.lines[_below(top.path, top.name)] = line
        return
    path = "" if top is None else _below(top.path, len(top.value) if isinstance(top.value, list) else top.name or "")
    document.lines.setdefault(path, line)
    value = _value(event)
    _put(document, top, value)
    if isinstance(event, yaml.CollectionStartEvent):
        if len(stack) == MAX_DEPTH:
            raise NotReadable(f"The nesting is deeper than {MAX_DEPTH} levels.", "Check for a missing bracket.", mark)
        stack.append(_Open(value, path))


def _name(event: yaml.NodeEvent, top: _Open) -> str:
    if not isinstance(event, yaml.ScalarEvent):
        raise NotReadable("A name must be a text.", "Write name: value.", event.start_mark)
    name: str = event.value
    if name == "<<" and not event.style:
        raise NotReadable("Merge keys (<<) are not supported.", "Write the value out.", event.start_mark)
    if name in top.value:
        raise NotReadable(f"{name!r} occurs twice.", "Keep one of the two.", event.start_mark)
    return name


def _put(document: YamlDocument, top: _Open | None, value: Any) -> None:
    if top is None:
        document.value = value
    elif isinstance(top.value, list):
        top.value.append(value)
    else:
        top.value[top.name], top.name = value, None


def _value(event: yaml.NodeEvent) -> Any:
    if isinstance(event, yaml.MappingStartEvent):
        return {}
    if isinstance(event, yaml.SequenceStartEvent):
        return []
    assert isinstance(event, yaml.ScalarEvent)
    text: str = event.value
    if any("\ud800" <= character <= "\udfff" for character in text):  # a lone surrogate, for example from a JSON escape
        raise NotReadable(
            "An escape sequence is half a character (a lone surrogate).",
            "Write the character itself.",
            event.start_mark,
        )
    if event.style:  # a quoted value or a block is a text
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        remedy = f'If it is a text, put it into quotes: "{text}"'
        raise NotReadable(f"{text} is a number, but no number is expected here.", remedy, event.start_mark)
    return text


def _below(path: str, name: str | int) -> str:
    return f"{path}.{name}" if path else str(name)
