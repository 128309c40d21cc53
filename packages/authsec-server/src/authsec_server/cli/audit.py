"""`authsec audit`: list, show and export the events of the audit log. Other modules have the other commands."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import click
from authsec.lazy_commands import Commands, LazyCommand
from authsec.terminal import command_line
from rich.text import Text

from authsec_server.cli.caller import Caller, admin_command, path
from authsec_server.cli.output import NOTHING, Output, block, cell, often, styled, table, when
from authsec_server.cli.params import DURATION
from authsec_server.console.formatting import shortened_note

Command = TypeVar("Command", bound=Callable[..., Any])
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_PAGE = 200


class Moment(click.ParamType[str]):
    """A point in time: in RFC 3339 form, as a day (from midnight UTC), or as a duration before now."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if _DATE.fullmatch(text):
            return f"{text}T00:00:00Z"
        try:
            if datetime.fromisoformat(text.upper()).tzinfo is not None:
                return text
        except ValueError:
            pass  # not a date or time: try a duration
        try:
            ago = timedelta(seconds=DURATION.convert(text, param, ctx))
            return (datetime.now(UTC) - ago).strftime("%Y-%m-%dT%H:%M:%SZ")
        except (click.UsageError, OverflowError):
            self.fail(f"{text!r} is not a time; write 2026-11-25T08:00:00Z, 2026-11-25, or 2h for two hours ago.")


_OPTIONS = (
    click.option("--agent", "--client", "client", help="Only events about this agent, by slug or client_id."),
    click.option("--delegation", help="Only events about this delegation, by slug or id."),
    click.option("--by", help="Only actions of this person: an administrator's email, an admin key's name, or an id."),
    click.option(
        "--kind",
        multiple=True,
        help=(
            "Only events of this kind, e.g. token.refused; `client.` means every kind that begins with `client.`. "
            "Can be repeated. docs/audit.md lists the kinds."
        ),
    ),
    click.option("--decision", type=click.Choice(["granted", "denied"]), help="Only events with this decision."),
    click.option("--reason", help="Only refusals with this reason, e.g. attestation_required."),
    click.option("--address", help="Only events from this address."),
    click.option("--request-id", help="Only events of the request with this id."),
    click.option("--jti", help="Only events about the token with this jti."),
    click.option(
        "--since",
        type=Moment(),
        help="Only events at or after this time: 2026-11-25T08:00:00Z, 2026-11-25, or 2h for two hours ago.",
    ),
    click.option("--until", type=Moment(), help="Only events before this time."),
)


def filter_options(command: Command) -> Command:
    """Add all filters of the audit log to a command. The filters arrive as `wanted` and become query parameters."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def query_of(wanted: dict[str, Any]) -> dict[str, str]:
    """Convert the options to query parameters, without the options that have no value."""
    kinds = ",".join(wanted.get("kind") or ())
    return {name: value for name, value in {**wanted, "kind": kinds}.items() if value}


def everything(caller: Caller, query: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Yield all matching events page by page, oldest first.

    Events that are recorded after the first request are left out.
    """
    newest = caller.get("events", limit=1)["items"]
    top = newest[0]["id"] if newest else 0
    cursor: str | None = None
    while True:
        page = caller.get("events", order="oldest", limit=_PAGE, cursor=cursor, **query)
        yield from (each for each in page["items"] if each["id"] <= top)
        cursor = page["next"]
        if cursor is None or int(cursor) >= top:
            return


_STYLES = {"granted": "green", "denied": "red"}
_COUNTED_ELSEWHERE = (
    "Nothing was recorded under this request id. Some refusals are combined into one event for each minute, with "
    "the id of the first request: refusals of callers without a valid proof, or with an insufficient role. "
    "Search `authsec audit list` by time (--since), by agent (--agent) or by caller (--by)."
)
_VERIFY = command_line("audit", "verify", "--key", "SAVED-KEYS.json")
_BELOW_EACH_OTHER = ("WHO, WHAT, DECISION",)
_WIDE = 176  # columns of a terminal in which an event fits on a line


@click.group(cls=Commands)
def audit() -> None:
    """Read and verify the audit log: issued tokens, refusals and changes."""


_SEALING: Final = {  # imported on use: these modules import the database, and `audit list` must start fast
    "keys": ("keys", "Print the public keys that verify the seals, to store on another machine."),
    "checkpoint": (
        "checkpoint",
        "Print the newest signed checkpoint of the sealed audit log, to store on another machine.",
    ),
    "verify": ("verify_database", "Verify the audit log in a database against its seals, without a server."),
    "export-sealed": (
        "export_sealed",
        "Print the whole sealed audit log as JSON Lines, to verify on another machine with `verify-export`.",
    ),
    "verify-export": ("verify_exported", "Verify the output of `export-sealed`, on any machine."),
    "rotate-key": ("rotate_key", "Replace the key that seals the audit log."),
}
_MAINTENANCE: Final = {
    "drop": (
        "drop_months",
        "Delete the events of old months, after checking that an export contains each event as it was sealed.",
    ),
    "rebuild-counts": ("rebuild_counts", "Rebuild the counts of tokens and uses from the events."),
}
_RETENTION: Final = {"retention": ("show_retention", "Show the last and the next run of the scheduled retention.")}
_FOLLOWING: Final = {"follow": ("follow", "Print each event as JSON Lines when it is sealed, for a SIEM.")}
_MODULES: Final = {
    "audit_verify": _SEALING,
    "audit_maintenance": _MAINTENANCE,
    "audit_retention": _RETENTION,
    "audit_follow": _FOLLOWING,
}
for module, commands in _MODULES.items():
    for name, (function, sentence) in commands.items():
        audit.add_command(LazyCommand(name, sentence, f"authsec_server.cli.{module}:{function}"))


@audit.command("list")
@click.option(
    "--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="Largest number of events to print."
)
@click.option("--oldest", is_flag=True, help="Oldest events first, instead of the newest.")
@filter_options
@admin_command
def list_events(caller: Caller, output: Output, limit: int, oldest: bool, **wanted: Any) -> None:
    """List the newest events that match all filters, the newest at the bottom.

    For an issued or revoked token, the list shows the jti. Some refusals are combined into one event for each
    minute: refusals of unauthenticated callers, and of callers with an insufficient role. Their line shows the
    minute and the number of refusals, "12:00 (3 times)", with the request id of the first refusal.

    An event that differs from its seal is marked "changed". `list` does not notice a dropped event or a forged seal:
    `authsec audit verify` checks the whole log.
    """
    answer = _so_many(caller, limit, order="oldest" if oldest else None, **query_of(wanted))
    if wanted["request_id"] and not answer["items"]:
        output.note(_COUNTED_ELSEWHERE)
    wide = output.console.width >= _WIDE
    heads = ("TIME (UTC)", "EVENT", *(("WHO", "WHAT", "DECISION", "JTI", "REQUEST") if wide else _BELOW_EACH_OTHER))
    rows = [_row(event, wide=wide) for event in (answer["items"] if oldest else reversed(answer["items"]))]
    output.result(answer, table(heads, rows, whole=("TIME (UTC)", "EVENT", "JTI", "REQUEST")))
    if altered := sum(_is_altered(event) for event in answer["items"]):
        events = "1 event differs from its seal" if altered == 1 else f"{altered} events differ from their seals"
        output.note(f"{events}. To see all changes: {_VERIFY}. Then: docs/tampering.md")


def _so_many(caller: Caller, limit: int, **wanted: str | None) -> dict[str, Any]:
    """Read pages until `limit` events are found or the log ends. A page can be short when matches are rare."""
    items: list[Any] = []
    cursor: str | None = None
    while True:
        page = caller.get("events", limit=limit - len(items), cursor=cursor, **wanted)
        items, cursor = [*items, *page["items"]], page["next"]
        if cursor is None or len(items) >= limit:
            return {"items": items, "next": cursor}


def _row(event: Mapping[str, Any], *, wide: bool) -> list[object]:
    ended = [part for part in (decision(event), why(event)) if part.plain != NOTHING]
    about = [
        who(event),
        what(event),
        Text(": ").join(ended) if ended else cell(None),
        cell(event["jti"]),
        styled(event["request_id"], "dim"),
    ]
    if not wide:
        jti = [cell(f"jti {event['jti']}")] if event["jti"] else []
        parts = [*about[:2], *ended, *jti, about[-1]]
        about = [Text("\n").join(part for part in parts if part.plain != NOTHING)]
    kind = cell(event["kind"])
    if _is_altered(event):
        kind = Text(" " if wide else "\n").join([kind, styled("changed", "bold red")])
    return [Text(" " if wide else "\n").join(map(cell, _time(event))), kind, *about]


def _is_altered(event: Mapping[str, Any]) -> bool:
    """Whether the event differs from its seal. Answers of older servers do not have the field `as_sealed`."""
    return event.get("as_sealed") is False


def _time(event: Mapping[str, Any]) -> list[str]:
    """Format the time to the second; for events counted by the minute, return the minute and the count."""
    if not event["counted"]:
        return [when(event["at"])]
    times = often(event["count"])
    return [when(event["at"])[: -len(":00")], f"({times})"]


def who(event: Mapping[str, Any]) -> Text:
    """Name the actor: an administrator, an authenticated agent, or the address of an unauthenticated caller."""
    client, proof = event["client"], event["detail"].get("attestation")
    if event["principal"]:
        return cell(event["principal"]["name"])
    if not client or not proof:
        return cell(event["address"])
    name = cell(client["name"] or client["id"])
    if event["detail"].get("enrolled"):
        return Text(" ").join([name, styled("on a laptop", "yellow")])
    return name if proof != "none" else Text(" ").join([name, styled("unattested", "bold red")])


def what(event: Mapping[str, Any]) -> Text:
    """Describe what the event concerns: the actions, the changed entity, or the agent that the caller named.

    An unauthenticated caller can name an agent too.
    """
    detail = event["detail"]
    if event["kind"].startswith("token."):
        at = detail.get("audience") or detail.get("resources")
        parts = [*(detail.get("actions") or ()), *(["at", *at] if at else ())]
        if parts:
            return cell(" ".join(parts))
    if event["kind"] == "events.dropped" and "events" in detail and "before" in detail:
        return cell(f"{detail['events']:,} events before {detail['before']}")
    if event["kind"] == "counts.rebuilt" and "rows" in detail:
        return cell(f"{sum(detail['rows'].values()):,} rows of counts")
    if event["kind"] == "event.unreadable":
        return cell(detail["problem"])
    if event["kind"] == "admin.refused":
        return cell(detail.get("operation"))
    is_caller = event["principal"] is None and detail.get("attestation")  # the agent is already named as the actor
    acted_on = [*event["delegations"], *event["roles"], event["subject"], None if is_caller else event["client"]]
    # The event of a deleted client also names its deleted delegations: name the client first.
    if event["kind"].startswith(("client.", "proof.", "enrolment.")):
        acted_on.insert(0, event["client"])
    return cell(next((named["name"] or named["id"] for named in acted_on if named), None))


def decision(event: Mapping[str, Any]) -> Text:
    """Render the decision with its reason."""
    if event["kind"] == "issuer.tried":
        return _tried(event["detail"])
    words = " ".join(filter(None, [event["decision"], event["reason"]]))
    return styled(words, _STYLES.get(event["decision"], ""))


def why(event: Mapping[str, Any]) -> Text:
    """Return the first line of the cause of a refusal. Only operators see the cause.

    The cause is the difference from the agent's registered proof, or the failed step.
    """
    detail = event["detail"]
    told = (detail.get("miss") or {}).get("sentence") or detail.get("failed")
    return styled(told.partition("\n")[0] if isinstance(told, str) else None, "dim")


def _tried(detail: Mapping[str, Any]) -> Text:
    """Render the result of `authsec issuers try`: the token is valid, or which checks failed."""
    if detail.get("holds"):
        return styled("valid", "green")
    return styled(" ".join(["fails:", *detail.get("failed", ())]) if detail.get("failed") else "not valid", "red")


_SHOWN_ELSEWHERE = {"actions", "audience", "resources", "missing", "withheld", "failed", "miss", "jkt"}


@audit.command()
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


@audit.command("export")
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@filter_options
@admin_command
def export_events(caller: Caller, output: Output, form: str, **wanted: Any) -> None:  # noqa: ARG001 - prints only lines
    """Print all matching events, oldest first, as JSON Lines or as CSV for a spreadsheet.

    For each event, `place` is its position in the sealed log, and `leaf` is its hash. The output of
    `export-sealed` contains the event at the same position, with the same hash. A filtered export alone proves
    nothing. An event that is not sealed yet has neither `place` nor `leaf`. `as_sealed` is false for an event
    that was changed after sealing.
    """
    from authsec_server.audit import export  # imported here, because the module imports the database

    with caller.session() as its:
        events = everything(its, query_of(wanted))
        for line in export.as_csv_lines(events) if form == "csv" else (f"{json.dumps(each)}\n" for each in events):
            click.echo(line, nl=False)


def _story(story: Mapping[str, Any]) -> Text:
    """Render one event for a person, without empty fields."""
    event, remedy = story["event"], story["remedy"]
    detail = event["detail"]
    told = (detail.get("miss") or {}).get("sentence") or detail.get("failed")
    withheld = detail.get("withheld") or ()
    rest = {name: value for name, value in detail.items() if name not in _SHOWN_ELSEWHERE}
    facts: dict[str, object] = {
        "Event": f"{event['id']}, {event['kind']}",
        "Time (UTC)": when(event["at"]) + (f", {often(event['count'])} in that minute" if event["counted"] else ""),
        "Who": who(event),
        "From": event["address"],
        "What": what(event),
        "Decision": decision(event) if event["decision"] or event["kind"] == "issuer.tried" else None,
        "Why": told,
        "Not delegated": " ".join(each for each in detail.get("missing") or () if each not in withheld),
        "Not delegated for this proof": " ".join(withheld),
        "To fix": remedy and styled(remedy["text"], "bold"),
        "Agent": _named(event["client"]),
        "Delegations": "\n".join(filter(None, map(_named, event["delegations"]))),
        "Roles": "\n".join(filter(None, map(_named, event["roles"]))),
        "About": _named(event["subject"]),
        "Token": event["jti"],
        "Expires": event["expires_at"] and when(event["expires_at"]),
        "Revoked": story["revoked_at"] and when(story["revoked_at"]),
        "Signed by": event["kid"],
        "Bound to key": detail.get("jkt"),
        "Authority version": event["authority_version"],
        "Request": event["request_id"],
        "Tables written": ", ".join(event.get("tables", ())),  # older servers omit the field
        "Seal": _seal(event),
        "Shortened": shortened_note(detail),
        "Details": json.dumps(rest, ensure_ascii=False) if rest else None,
    }
    return block({name: value for name, value in facts.items() if value not in (None, "") and str(value) != "-"})


def _seal(event: Mapping[str, Any]) -> Text | str:
    """Describe the event's position in the sealed log, or warn that the event differs from its seal."""
    if not event["leaf"]:
        return "none yet"
    if _is_altered(event):
        where = f"This event was changed: it does not match its seal at place {event['place']}. To see all changes:"
        return styled(f"{where} {_VERIFY}", "bold red")
    return f"place {event['place']}, leaf {event['leaf']}"


def _named(named: Mapping[str, str] | None) -> str:
    if named is None:
        return ""
    return f"{named['name'] or '(no name)'} ({named['id']})" if named["id"] else named["name"]
