"""The reader that joins configuration files into one document. Each error names the file, the line and the remedy."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
from authsec.exit_status import Exit
from pydantic import ValidationError

from authsec_server.cli.files import read_named
from authsec_server.cli.output import say_failed
from authsec_server.cli.transport import CallFailed
from authsec_server.cli.yaml_reader import NotReadable, read_yaml
from authsec_server.cli.yaml_reader import YamlDocument as Read
from authsec_server.configuration.api import MAX_DOCUMENT
from authsec_server.configuration.document import Document as Shape
from authsec_server.configuration.model import Section
from authsec_server.web.validation import Misfit, misfits, unknown

STDIN: Final = Path("-")
_ENDINGS: Final = frozenset({".yaml", ".yml", ".json"})
_MOST: Final = 20  # problems in one error message


@dataclass(frozen=True, slots=True, kw_only=True)
class FileProblem:
    """An error in a file. `place` is the file and the line; `remedy` says how to correct the error."""

    place: str
    message: str
    remedy: str = ""


class NotAcceptable(click.ClickException):
    """All errors in files that cannot be applied. No request was sent to the authority."""

    exit_code = Exit.FAILED

    def __init__(self, problems: Sequence[FileProblem]) -> None:
        super().__init__(problems[0].message)
        self.problems = problems

    def show(self, file: Any = None) -> None:  # noqa: ARG002 - click's signature; a failure always goes to stderr
        for problem in self.problems[:_MOST]:
            say_failed(f"{problem.place}: {problem.message}" if problem.place else problem.message, problem.remedy)
        if len(self.problems) > _MOST:
            click.echo(f"  and {len(self.problems) - _MOST} more", err=True)


@dataclass(slots=True)
class Configuration:
    """One document made of several files. `places` maps each path in the document to its file and line."""

    value: dict[str, dict[str, Any]] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)

    def place(self, path: str) -> str:
        """Return the file and line of the path, or of its nearest parent in the document.

        The text is empty if no file contains the path or a parent.
        """
        while path and path not in self.places:
            path = path.rpartition(".")[0]
        return self.places.get(path, "")


def read_configuration(named: Sequence[Path]) -> Configuration:
    """Read the files into one document. From a folder, read the files with a known suffix.

    The suffixes are .yaml, .yml and .json. Raises `NotAcceptable` or `CallFailed`.
    """
    read, left = Configuration(), MAX_DOCUMENT
    for path in [each for one in named for each in _files(one)]:
        text = _text(path, left)
        left -= len(text)
        try:
            for document in [*read_yaml(text.decode("utf-8"))] or [Read()]:
                _add(read, document.value, {its: f"{path}:{line}" for its, line in document.lines.items()}, path)
        except NotReadable as problem:
            place = f"{path}:{problem.line}:{problem.column}" if problem.line else str(path)
            raise NotAcceptable([FileProblem(place=place, message=problem.message, remedy=problem.remedy)]) from None
        except UnicodeDecodeError:
            remedy = "Save the file as UTF-8; in Windows PowerShell: authsec export | Out-File -Encoding utf8 FILE"
            raise NotAcceptable([FileProblem(place=str(path), message="This is not UTF-8.", remedy=remedy)]) from None
    if problems := [*_private(read, read.value, ""), *_misshapen(read)]:
        raise NotAcceptable(problems)
    return read


def _files(path: Path) -> list[Path]:
    if path == STDIN or not path.is_dir():
        return [path]
    found = sorted(each for each in path.iterdir() if each.suffix in _ENDINGS and not each.name.startswith("."))
    if not found:
        raise CallFailed(f"{path} has no file that ends with .yaml, .yml or .json.", "Its subfolders are not searched.")
    return found


def _text(path: Path, at_most: int) -> bytes:
    remedy = f"The limit for all files together is {MAX_DOCUMENT:,} bytes: apply them in parts."
    if path != STDIN:
        return read_named(path, at_most=at_most, remedy=remedy)
    content = sys.stdin.buffer.read(at_most + 1)
    if len(content) > at_most:
        raise CallFailed(f"The input on stdin is larger than {at_most:,} bytes.", remedy)
    return content


def _add(read: Configuration, value: Any, places: Mapping[str, str], path: Path) -> None:
    if not isinstance(value, dict):
        problem = "This file is empty." if value is None else "This is not a map of sections."
        raise NotAcceptable(
            [
                FileProblem(
                    place=str(path), message=problem, remedy=f"Start with one of the sections {', '.join(Section)}"
                )
            ]
        )
    for section, things in value.items():
        if section not in set(Section):
            raise NotAcceptable([_unknown(places[section], section, [*Section])])
        if not isinstance(things, dict):
            raise NotAcceptable([_no_things(places[section], section, things)])
        held = read.value.setdefault(section, {})
        for slug, thing in things.items():
            where = f"{section}.{slug}"
            if slug in held:
                twice = f"{Section(section).one} {slug} already occurs in {read.place(where)}."
                raise NotAcceptable([FileProblem(place=places[where], message=twice, remedy="Keep one of the two.")])
            held[slug] = thing
    read.places |= {its: place for its, place in places.items() if its.partition(".")[0] in value}


def _no_things(place: str, section: str, things: object) -> FileProblem:
    if things is None:
        return FileProblem(
            place=place,
            message=f"{section} is empty.",
            remedy=f"Leave the section out. Or, to remove all its entries, write {section}: {{}}",
        )
    return FileProblem(
        place=place,
        message=f"{section} is not a map.",
        remedy=f"Under {section}, write each {Section(section).one} under its slug, as in customer-support:",
    )


def _unknown(place: str, name: str, known: Sequence[str]) -> FileProblem:
    message, remedy = unknown(name, known)
    return FileProblem(place=place, message=message, remedy=remedy)


def _private(read: Configuration, value: Any, path: str) -> Iterator[FileProblem]:
    """Yield an error for each private key in the document, before the document is sent anywhere."""
    if isinstance(value, str):
        if "PRIVATE KEY-----" in value:
            yield FileProblem(
                place=read.place(path),
                message="This is a PRIVATE key. It was not sent, but it is in a file: consider the key exposed.",
                remedy="Create a new pair: authsec keygen FILE. Only the content of FILE.pub belongs here.",
            )
    elif isinstance(value, dict | list):
        for name, its in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _private(read, its, f"{path}.{name}" if path else str(name))


def _misshapen(read: Configuration) -> Iterator[FileProblem]:
    try:
        Shape.model_validate(read.value)
    except ValidationError as refused:
        yield from (_told(read.place(each.field), each) for each in misfits(refused, Shape))


def _told(place: str, misfit: Misfit) -> FileProblem:
    """Build the error for a value that does not fit the schema, with a remedy in YAML notation."""
    name, remedy = str(misfit.path[-1]), misfit.remedy
    written = {
        "bool_type": "Write true or false, without quotes.",
        "list_type": f"Write {name}: [one, another], or each entry on its own line after a hyphen.",
        "dict_type": "Write each entry on its own line, as in name: value",
        "model_type": "Write each member on its own line, as in name: value",
        "string_type": _quoted(name, misfit.given),
    }
    return FileProblem(place=place, message=misfit.message, remedy=remedy or written.get(misfit.kind, ""))


def _quoted(name: str, given: object) -> str:
    if isinstance(given, bool):
        return f'Put the value into quotes: {name}: "{str(given).lower()}"'
    return (
        f'Put the value into quotes: {name}: "{given}"'
        if isinstance(given, int)
        else "Write the value after the colon."
    )
