"""Text that describes the impact of a change. The console and the CLI use the same text.

All functions are pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from authsec_server.console.formatting import ago, listed, plural

Api = Mapping[str, Any]
MOST = 5  # maximum number of names in a sentence


def summary(stops: Mapping[str, Any]) -> str:
    """Describe the impact in one line. `stops` is the admin API's answer to a dry run.

    If no unexpired token exists, the text leaves out APIs, because they have nothing to refuse.
    """
    as_of = datetime.fromisoformat(stops["as_of"])
    found = [f"{what} ({listed(names)})" for what, names in agents(stops)]
    apis = _of_apis(stops["apis"], as_of) if stops["until"] else []
    if stops["live_tokens"]:
        return ", ".join([*(found or ["no agent"]), tokens(stops, as_of), *apis])
    ends, on = _by_fate(stops)
    kept = found[-1:] if on else []
    if ends:
        return "; ".join([", ".join([found[0], tokens(stops, as_of), *apis]), *kept])
    if not (kept or stops["until"] or stops["more"]):
        return "nothing"
    lost = f"nothing: there is {tokens(stops, as_of)}"
    return "; ".join([", and ".join([lost, *kept]), *([", ".join(apis)] if apis else [])])


def _of_apis(apis: Sequence[Api], as_of: datetime) -> list[str]:
    """Describe the APIs that follow the revocation feed, and the other APIs that may still accept a revoked token."""
    proved, said, others = _sorted(apis)
    parts = []
    if proved:
        parts.append(f"{_apis(proved)} {_follow(proved)} the revocation feed ({_names(proved)})")
    if said:
        parts.append(f"{_apis(said)} {_say(said)} the revocation feed ({_names(said)})")
    taking = [each for each in others if each["until"]]
    if registered := [each for each in taking if each["api"]]:
        until = "; ".join(f"{each['name']}: {_takes(each, as_of)}" for each in registered[:MOST])
        what = "it" if proved or said else "the revocation feed"
        parts.append(f"{_apis(registered)} {_do(registered)} not follow {what} ({until}{_and_more(registered)})")
    unregistered = [each for each in taking if not each["api"]]
    parts += [
        f"no {_unregistered(each)} (an API with this audience {_takes(each, as_of)})" for each in unregistered[:MOST]
    ]
    if len(unregistered) > MOST:
        parts.append(f"and the same for {len(unregistered) - MOST} more audiences")
    return parts


def accepted_until(stops: Mapping[str, Any] | None) -> str:
    """Return the time until which an API without the revocation feed may accept a revoked token.

    Return "" if no API may accept one.
    """
    instants = [each["until"] for each in _sorted(stops["apis"])[2] if each["until"]] if stops else []
    if not stops or not instants:
        return ""
    return clock(max(instants, key=datetime.fromisoformat), datetime.fromisoformat(stops["as_of"]))


def agents(stops: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Return up to two groups of agents, each as a text and names: agents that stop, and agents that keep working.

    Agents that keep working can lose tokens, and then get new ones.
    """
    ends, on = _by_fate(stops)
    found = [(plural(len(ends), "agent"), ends)] if ends else []
    if not on:
        return found
    many, keep = plural(len(on), "agent"), "keeps" if len(on) == 1 else "keep"
    return [*found, (f"tokens of {many} that {keep} working" if stops["live_tokens"] else f"{many} {keep} working", on)]


def _by_fate(stops: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the names of the agents that stop, and the names of the agents that keep working."""
    ends = [each["name"] for each in stops["agents"] if not each["goes_on"]]
    return ends, [each["name"] for each in stops["agents"] if each["goes_on"]]


def tokens(stops: Mapping[str, Any], as_of: datetime) -> str:
    """Describe how many live tokens are revoked, and when the last of them expires.

    An API that does not follow the revocation feed can accept a token until then.
    """
    last = clock(stops["until"], as_of) if stops["until"] else ""
    if not stops["live_tokens"]:
        none = "no live token among those examined" if stops["more"] else "no live token"
        return f"{none} (the last revoked token expires at {last})" if last else none
    until = f" until {last}" if last else ""
    return f"{'at least ' if stops['more'] else ''}{plural(stops['live_tokens'], 'live token')}{until}"


def at_apis(stops: Mapping[str, Any]) -> list[str]:
    """Return sentences that say which APIs learn of the revocation, and which do not."""
    as_of = datetime.fromisoformat(stops["as_of"])
    proved, said, others = _sorted(stops["apis"])
    lines = []
    if proved:
        by, refuse = ("its credential", "refuses") if len(proved) == 1 else ("their credentials", "refuse")
        lines.append(
            f"{_apis(proved)} {_follow(proved)} the revocation feed with {by} and {refuse} revoked tokens within about "
            f"a second: {_names(proved)}."
        )
    if said:
        lines += _unproved(said)
    lines += [
        f"{each['name']} does not follow the revocation feed ({seen(each, as_of)}): this API {_takes(each, as_of)}."
        if each["api"]
        else f"No {_unregistered(each)}: an API with this audience {_takes(each, as_of)}."
        for each in others[:MOST]
    ]
    if len(others) > MOST:
        lines.append(f"{len(others) - MOST} more APIs do not follow the revocation feed.")
    return lines


def _unproved(said: Sequence[Api]) -> list[str]:
    """Describe the followers that prove nothing: registered APIs, and audiences that belong to no registered API."""
    registered = [each for each in said if each["api"]]
    others = [each["name"] for each in said if not each["api"]]
    lines = []
    if registered:
        names = _names(registered)
        lines.append(
            f"{_apis(registered)} {_say(registered)} the revocation feed: {names}. AuthSec cannot verify this."
        )
    if others:
        what = "audience" if len(others) == 1 else "audiences"
        names = listed(others, MOST)
        lines.append(
            f"A program without an API credential follows the revocation feed for the {what} {names}. It is probably "
            "an API that is not registered here, such as authsec demo-api."
        )
    return lines


def seen(api: Api, as_of: datetime) -> str:
    """Describe when the API was last seen following the revocation feed."""
    return f"last seen {ago(datetime.fromisoformat(api['seen_at']), as_of)}" if api["seen_at"] else "never seen"


def clock(instant: str, as_of: datetime) -> str:
    """Format the instant in UTC, rounded up to the minute. The date is added if the instant is not today."""
    over = datetime.fromisoformat(instant).astimezone(UTC)
    if over.second or over.microsecond:
        over += timedelta(minutes=1)
    day = "" if over.date() == as_of.astimezone(UTC).date() else f"{over:%Y-%m-%d} "
    return f"{day}{over:%H:%M} UTC"


def _sorted(apis: Sequence[Api]) -> tuple[list[Api], list[Api], list[Api]]:
    """Split the APIs into three lists, by how they follow the revocation feed.

    The first list has APIs that prove it, and the second has APIs that say so without proof. The third list has
    the other APIs.
    """
    proved = [each for each in apis if each["proved"]]
    said = [each for each in apis if each["following"] and not each["proved"]]
    return proved, said, [each for each in apis if not each["following"]]


def _takes(api: Api, as_of: datetime) -> str:
    if not api["until"]:
        return "receives none of these tokens"
    return f"may accept these tokens until {clock(api['until'], as_of)}"


def _unregistered(audience: Api) -> str:
    """Describe an audience that belongs to no registered API, such as the shared audience.

    The text continues a sentence that begins with "No". It names no API, because any number of APIs may have
    this audience.
    """
    if audience["seen_at"]:
        return f"API follows the revocation feed for the audience {audience['name']} now"
    return f"API has ever followed the revocation feed for the audience {audience['name']}"


def _apis(apis: Sequence[Api]) -> str:
    return plural(len(apis), "API")


def _follow(apis: Sequence[Api]) -> str:
    return "follows" if len(apis) == 1 else "follow"


def _say(apis: Sequence[Api]) -> str:
    return "says that it follows" if len(apis) == 1 else "say that they follow"


def _do(apis: Sequence[Api]) -> str:
    return "does" if len(apis) == 1 else "do"


def _names(apis: Sequence[Api]) -> str:
    return listed([each["name"] for each in apis], MOST)


def _and_more(apis: Sequence[Api]) -> str:
    return f"; and {len(apis) - MOST} more" if len(apis) > MOST else ""
