"""`authsec export` and `authsec apply`: the configuration as files, for those who keep their agents in git."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import click
from authsec.exits import Exit

from authsec_server.cli.caller import Caller, admin_command
from authsec_server.cli.configuration_files import Configuration, read_configuration
from authsec_server.cli.configuration_shown import as_yaml, counted, difference
from authsec_server.cli.ending import confirm, foreseen, say, yes_option
from authsec_server.cli.kept_open import kept_open
from authsec_server.cli.output import Output
from authsec_server.cli.reach import CallFailed
from authsec_server.configuration.document import Document

_WILL: Final = {"create": "to create", "edit": "to change", "remove": "to remove"}
_DONE: Final = {"create": "created", "edit": "changed", "remove": "removed"}
_TRIES: Final = 5


@click.command("export")
@admin_command
def export(caller: Caller, output: Output) -> None:
    """Print all trust sources, APIs, roles, agents and delegations as YAML, for `authsec apply`.

    No secret is in it, no enrolment, no administrator, and no delegation that is over.
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
    type=click.Path(path_type=Path, exists=True, allow_dash=True),
    multiple=True,
    required=True,
    help="YAML or JSON; a folder; - for stdin. Repeat.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would change; exit status 3 if anything would.")
@click.option("--prune", is_flag=True, help="Of each section in the files, remove what they do not name.")
@click.option("--renew", is_flag=True, help="Delegate anew what the files name and is revoked, or has ended.")
@click.option("--anyway", is_flag=True, help="Turn look-ups on although the cluster does not answer.")
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
    """Make trust sources, APIs, roles, agents and delegations what the files say: all of it, or nothing.

    What would change is shown first, and what stops by it. The files are the whole truth about the things that they
    name; a thing that they do not name stays, unless --prune is given.
    """
    read = read_configuration(files)
    with kept_open(caller) as its:
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
    told = _placed(read, lambda: _rehearsed(caller, output, body, dry_run=dry_run)) if dry_run or _ends(plan) else None
    if dry_run:
        stops = told["would_stop"] if told else None
        output.result({**plan, "would_stop": stops}, *difference(plan), "", f"{counted(plan, _WILL)}.")
        if told and _ends(plan):
            say(caller, output, told)
        raise SystemExit(Exit.FOUND)
    if not output.as_json:
        output.result(plan, *difference(plan), "", f"{counted(plan, _WILL)}.")
    _warn_of_emptied(output, read, plan)
    if told:
        say(caller, output, told)
    confirm("Apply this?", yes=yes)
    done = _placed(read, lambda: _applied(caller, asked, body, plan))
    output.result(done, f"Done: {counted(done, _DONE)}.")


def _placed(read: Configuration, call: Callable[[], Any]) -> Any:
    """What the call answers; what it refuses of the document, with the place in the files."""
    try:
        return call()
    except CallFailed as failed:
        place = read.place(failed.field.removeprefix("configuration."))
        if not place:
            raise
        raise CallFailed(
            f"{place}: {failed.message}", failed.remedy, failed.request_id, exit_code=Exit(failed.exit_code)
        ) from None


def _rehearsed(caller: Caller, output: Output, body: Mapping[str, Any], *, dry_run: bool) -> Mapping[str, Any] | None:
    """What it would bring about; None for somebody who may look, but not rehearse."""
    try:
        return foreseen(caller, "configuration", body)
    except CallFailed as failed:
        if not dry_run or failed.reason != "not_permitted":
            raise
        output.note(f"What would stop is not said: {failed.message}")
        return None


def _ends(plan: Mapping[str, Any]) -> bool:
    """Whether something may stop. Of what is only new nothing does: nobody has to wait for a rehearsal."""
    return any(change["verb"] != "create" for change in plan["changes"])


def _applied(caller: Caller, asked: Mapping[str, Any], body: Mapping[str, Any], plan: Mapping[str, Any]) -> Any:
    """Do what was shown. Where others changed something else meanwhile, it is that still."""
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
        "Others changed something meanwhile, so that it would not be what was shown. Nothing was done.",
        "Look at it again, with the same command.",
        exit_code=Exit.CONFLICT,
    )


def _tell_notes(output: Output, plan: Mapping[str, Any]) -> None:
    for note in plan["notes"]:
        output.note(f"! {note['section']}.{note['slug']}: {note['text']}")


def _warn_of_emptied(output: Output, read: Configuration, plan: Mapping[str, Any]) -> None:
    for section, things in read.value.items():
        gone = sum(change["section"] == section and change["verb"] == "remove" for change in plan["changes"])
        if gone and not things:
            output.note(f"! {section} is empty in the files: with --prune, all {gone} go.")
