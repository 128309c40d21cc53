"""`authsec audit show` and `authsec audit export`: print one whole event, or export all matching events."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click
from authsec.terminal import command_line
from rich.text import Text

from authsec_server.audit import export
from authsec_server.cli.audit import decision, everything, filter_options, query_of, what, who
from authsec_server.cli.caller import Caller, admin_command, path
from authsec_server.cli.output import Output, block, often, styled, when

_SHOWN_ELSEWHERE = {"actions", "audience", "resources", "missing", "failed", "miss"}


@click.command()
@click.argument("number_or_request_id", metavar="NUMBER|REQUEST_ID")
@admin_command
def show(caller: Caller, output: Output, number_or_request_id: str) -> None:
    """Print one whole event, or all events of one request: what happened, why, and how to fix a refusal."""
    answer = caller.get(path("events", number_or_request_id))
    first, *others = answer["items"]
    told = [_story(first)]
    if number_or_request_id == str(first["event"]["id"]):
        rest = [f"{each['event']['id']} {each['event']['kind']}" for each in others]
        told += [Text(f"In the same request: {', '.join(rest)}", style="dim")] if rest else []
    else:
        told += [Text("\n").join([Text(""), _story(each)]) for each in others]
    output.result(answer, *told)


@click.command("export")
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@filter_options
@admin_command
def export_events(caller: Caller, output: Output, form: str, **wanted: Any) -> None:  # noqa: ARG001 - it is for programs anyway
    """Print all matching events, oldest first, as JSON Lines or as CSV for a spreadsheet.

    For each event, `place` is its position in the sealed log, and `leaf` is its hash. The output of
    `export-sealed` contains the event at the same position, with the same hash. A filtered export alone proves
    nothing. An event that is not sealed yet has neither `place` nor `leaf`. `as_sealed` is false for an event
    that was changed after sealing.
    """
    with caller.session() as its:
        events = everything(its, query_of(wanted))
        for line in export.as_csv_lines(events) if form == "csv" else (f"{json.dumps(each)}\n" for each in events):
            click.echo(line, nl=False)


def _story(story: Mapping[str, Any]) -> Text:
    """Render one event for a person, without empty fields."""
    event, remedy = story["event"], story["remedy"]
    detail = event["detail"]
    told = (detail.get("miss") or {}).get("sentence") or detail.get("failed")
    rest = {name: value for name, value in detail.items() if name not in _SHOWN_ELSEWHERE}
    facts: dict[str, object] = {
        "Event": f"{event['id']}, {event['kind']}",
        "Time (UTC)": when(event["at"]) + (f", {often(event['count'])} in that minute" if event["counted"] else ""),
        "Who": who(event),
        "From": event["address"],
        "What": what(event),
        "Decision": decision(event) if event["decision"] or event["kind"] == "issuer.tried" else None,
        "Why": told,
        "Not delegated": " ".join(detail.get("missing") or ()),
        "To fix": remedy and styled(remedy["text"], "bold"),
        "Agent": _named(event["client"]),
        "Delegations": "\n".join(filter(None, map(_named, event["delegations"]))),
        "Roles": "\n".join(filter(None, map(_named, event["roles"]))),
        "About": _named(event["subject"]),
        "Token": event["jti"],
        "Expires": event["expires_at"] and when(event["expires_at"]),
        "Revoked": story["revoked_at"] and when(story["revoked_at"]),
        "Signed by": event["kid"],
        "Authority version": event["authority_version"],
        "Request": event["request_id"],
        "Tables written": ", ".join(event.get("tables", ())),  # older servers do not say
        "Seal": _seal(event),
        "Details": json.dumps(rest, ensure_ascii=False) if rest else None,
    }
    return block({name: value for name, value in facts.items() if value not in (None, "") and str(value) != "-"})


def _seal(event: Mapping[str, Any]) -> Text | str:
    """Describe the event's position in the sealed log, or warn that the event differs from its seal.

    Answers of older servers do not have the field `as_sealed`.
    """
    if not event["leaf"]:
        return "none yet"
    if event.get("as_sealed") is False:
        where = f"This event was changed: it does not match its seal at place {event['place']}. To see all changes:"
        return styled(f"{where} {command_line('audit', 'verify')}", "bold red")
    return f"place {event['place']}, leaf {event['leaf']}"


def _named(named: Mapping[str, str] | None) -> str:
    if named is None:
        return ""
    return f"{named['name'] or '(no name)'} ({named['id']})" if named["id"] else named["name"]
