"""`authsec export` and `authsec apply`: the configuration as files, for teams that manage their agents in git."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
import yaml
from authsec.exit_status import Exit
from rich.text import Text

from authsec_server.cli.caller import Caller, admin_command
from authsec_server.cli.configuration_files import Configuration, read_configuration
from authsec_server.cli.confirm import confirm, dry_run_of, print_impact, yes_option
from authsec_server.cli.files import NamedFile
from authsec_server.cli.output import Output, harmless, styled
from authsec_server.cli.transport import CallFailed
from authsec_server.configuration.document import Document
from authsec_server.configuration.model import Section

HEAD: Final = """\
# Made by `authsec export`, without secrets. `platform: secret` says that a secret exists; `apply` keeps it.
# To see what would change: authsec apply -f FILE --dry-run
"""
_MARKS: Final = {"create": ("+", "green"), "edit": ("~", "yellow"), "remove": ("-", "red")}
_HEADS: Final = {
    "issuers": "Trusted issuers",
    "apis": "APIs",
    "roles": "Roles",
    "agents": "Agents",
    "delegations": "Delegations",
}
_UNATTESTED: Final = "unattested"


class _ConfigurationDumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # libyaml if built
    """A YAML dumper that writes texts with several lines as blocks and quotes texts that YAML 1.1 would misread."""


def _text(dumper: Any, value: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_ConfigurationDumper.add_representer(str, _text)


def as_yaml(configuration: Mapping[str, Mapping[str, Any]]) -> str:
    """Render the configuration as a YAML document, without empty sections.

    With `authsec apply --prune`, an empty section would remove all entities of that section.
    """
    held = {section: dict(things) for section, things in configuration.items() if things}
    if not held:
        return f"{HEAD}{{}}\n"
    text = yaml.dump(
        held, Dumper=_ConfigurationDumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=10_000
    )
    return HEAD + str(text)


def difference(plan: Mapping[str, Any]) -> Iterator[Text]:
    """Yield the lines of the changes, for each entity and each field."""
    for section in Section:
        its = [change for change in plan["changes"] if change["section"] == section]
        if its:
            yield Text(_HEADS[section], style="bold")
        for change in its:
            yield from _change(change)


def counted(plan: Mapping[str, Any], verbs: Mapping[str, str]) -> str:
    """Count the changes for each verb: `2 to create, 1 to change`."""
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
    """Yield the lines of the changed fields. `alone` is the style for a field that has only one value.

    A new field has no value before the change, and a removed field has no value after the change.
    """
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


_WILL: Final = {"create": "to create", "edit": "to change", "remove": "to remove"}
_DONE: Final = {"create": "created", "edit": "changed", "remove": "removed"}
_TRIES: Final = 5


@click.command("export")
@admin_command
def export(caller: Caller, output: Output) -> None:
    """Print all trusted issuers, APIs, roles, agents and delegations as YAML, for `authsec apply`.

    The output contains no secrets, no enrolments, no administrators, and no delegations that have ended.
    """
    configuration = caller.get("configuration")["configuration"]
    if output.as_json:
        output.result(configuration)
    else:
        click.echo(as_yaml(configuration), nl=False)


def _print_schema(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        click.echo(json.dumps(Document.model_json_schema(), indent=2))
        context.exit()


@click.command("apply")
@click.option(
    "-f",
    "--file",
    "files",
    type=NamedFile(
        "The file has the wanted configuration, e.g. authsec.yaml. To make one: authsec export > authsec.yaml",
        exists=True,
        allow_dash=True,
        folder=True,
    ),
    multiple=True,
    required=True,
    help="A YAML or JSON file, e.g. authsec.yaml, or a folder of such files, or - for stdin. Can be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Only show the changes; exit status 3 if there are any.")
@click.option(
    "--prune", is_flag=True, help="In each section of the files, remove everything that the files do not name."
)
@click.option("--renew", is_flag=True, help="Create a delegation of the files again if it was revoked or has expired.")
@click.option("--anyway", is_flag=True, help="Turn look-ups on even if the cluster does not answer.")
@click.option(
    "--schema",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_schema,
    help="Print the JSON Schema of the files, for editors.",
)
@yes_option
@admin_command
def apply(
    caller: Caller, output: Output, files: tuple[Path, ...], dry_run: bool, anyway: bool, yes: bool, **how: bool
) -> None:
    """Make trusted issuers, APIs, roles, agents and delegations match the files. All changes are saved, or none.

    The command first shows the changes and their impact. The files completely define each entity that they
    name. Other entities stay as they are. With --prune, the
    command removes the other entities of each section in the files.
    """
    read = read_configuration(files)
    with caller.session() as its:
        _apply(its, output, read, how, dry_run=dry_run, anyway=anyway, yes=yes)


def _apply(
    caller: Caller,
    output: Output,
    read: Configuration,
    how: Mapping[str, bool],
    *,
    dry_run: bool,
    anyway: bool,
    yes: bool,
) -> None:
    asked = {"configuration": read.value, **how}
    plan = _placed(read, lambda: caller.post("configuration/compare", asked))
    _tell_notes(output, plan)
    if not plan["changes"]:
        output.result(plan, "Nothing to change.")
        return
    body = {**asked, "authority_version": plan["authority_version"], "anyway": anyway}
    planned = _placed(read, lambda: _dry_run(caller, output, body, dry_run=dry_run)) if dry_run or _ends(plan) else None
    if dry_run:
        stops = planned["would_stop"] if planned else None
        output.result({**plan, "would_stop": stops}, *difference(plan), "", f"{counted(plan, _WILL)}.")
        if planned and _ends(plan):
            print_impact(caller, output, planned)
        raise SystemExit(Exit.FOUND)
    if not output.as_json:
        output.result(plan, *difference(plan), "", f"{counted(plan, _WILL)}.")
    _warn_of_emptied(output, read, plan)
    if planned:
        print_impact(caller, output, planned)
    confirm("Apply this?", yes=yes)
    done = _placed(read, lambda: _applied(caller, asked, body, plan))
    output.result(done, f"Done: {counted(done, _DONE)}.")


def _placed(read: Configuration, call: Callable[[], Any]) -> Any:
    """Make the call and return its answer. If the document is refused, add the file and line to the error."""
    try:
        return call()
    except CallFailed as failed:
        place = read.place(failed.field.removeprefix("configuration."))
        if not place:
            raise
        raise CallFailed(
            f"{place}: {failed.message}", failed.remedy, failed.request_id, exit_code=Exit(failed.exit_code)
        ) from None


def _dry_run(caller: Caller, output: Output, body: Mapping[str, Any], *, dry_run: bool) -> Mapping[str, Any] | None:
    """Return the impact of the changes from a dry run on the server.

    With `dry_run`, return None if the caller has permission to read but not to change.
    """
    try:
        return dry_run_of(caller, "configuration", body)
    except CallFailed as failed:
        if not dry_run or failed.reason != "not_permitted":
            raise
        output.note(f"The impact is unknown: {failed.message}")
        return None


def _ends(plan: Mapping[str, Any]) -> bool:
    """Whether the plan edits or removes an entity, so that something can stop working.

    A plan that only creates entities stops nothing and needs no dry run.
    """
    return any(change["verb"] != "create" for change in plan["changes"])


def _applied(caller: Caller, asked: Mapping[str, Any], body: Mapping[str, Any], plan: Mapping[str, Any]) -> Any:
    """Apply the changes as shown. Retry if somebody else changed another entity meanwhile.

    Raises `CallFailed` if the changes would differ from the changes that were shown.
    """
    for _ in range(_TRIES):
        try:
            return caller.post("configuration", body)
        except CallFailed as failed:
            if failed.reason != "outdated":
                raise
        now = caller.post("configuration/compare", asked)
        if now["changes"] != plan["changes"]:
            break
        body = {**body, "authority_version": now["authority_version"]}
    raise CallFailed(
        "Somebody else made changes meanwhile, so the result would differ from the preview. Nothing was done.",
        "Run the same command again to see the new preview.",
        exit_code=Exit.CONFLICT,
    )


def _tell_notes(output: Output, plan: Mapping[str, Any]) -> None:
    for note in plan["notes"]:
        output.note(f"! {note['section']}.{note['slug']}: {note['text']}")


def _warn_of_emptied(output: Output, read: Configuration, plan: Mapping[str, Any]) -> None:
    for section, things in read.value.items():
        gone = sum(change["section"] == section and change["verb"] == "remove" for change in plan["changes"])
        if gone and not things:
            output.note(f"! {section} is empty in the files: with --prune, all {gone} are removed.")
