"""The delegation diagram: owners → roles → trust delegations → agents → APIs, drawn by the server as SVG.

The diagram has five columns of boxes, and lines that connect related boxes. Each box is a link. Most links
show the same diagram for that box only. Delegations that grant the same are one box. A list beside the diagram has
the same content as text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from hashlib import sha256
from itertools import pairwise
from statistics import fmean
from urllib.parse import urlencode

from markupsafe import Markup

from authsec_server.clients.model import Client
from authsec_server.console.client_status import ClientStatus
from authsec_server.console.formatting import cut_middle, duration, plural, tone
from authsec_server.delegations.model import Delegation, ResolvedDelegation

COLUMNS = ("Owners", "Roles", "Trust delegations", "Agents", "APIs")
PICTURE = "/console/picture"
MOST = 24  # boxes in a column
APART = 3  # agents of a group with a box each
WIDTH, BOX, HEIGHT, STEP, TOP = 940, 164, 40, 48, 26
_LONGEST, _END = (18, 18, 18, 18, 21), 7  # characters of names by column, in most fonts; of their ends, in all fonts
_EDGE = 1  # margin for the half of the border that lies outside the box


@dataclass(frozen=True, slots=True)
class Node:
    """A box of the diagram: its column, identity (`key`), name, link (`path`) and notes.

    `path` is called for drawn boxes only: a column has at most `MOST` of them.

    Each note has the colour of its tone. `tone` selects the colour of the box in the stylesheet: a tone of a badge.
    `whole` is the full name if `name` is shortened.
    """

    column: int
    key: str
    name: str = field(compare=False)
    path: Callable[[], str] = field(compare=False)
    notes: tuple[tuple[str, str], ...] = field(default=(), compare=False)  # (note, its tone)
    tone: str = field(default="", compare=False)
    whole: str = field(default="", compare=False)

    @property
    def title(self) -> str:
        """Return the full name and the notes."""
        return ", ".join((self.whole or self.name, *(note for note, _ in self.notes)))


Way = tuple[Node, ...]
"""A path through the columns: one box each."""


def group_of(delegation: Delegation) -> str:
    """Return an id that all delegations with the same owner, role, actions, duration and APIs have."""
    return sha256(json.dumps(_granted(delegation)).encode()).hexdigest()[:16]


def _granted(delegation: Delegation) -> tuple[object, ...]:
    its = delegation
    return its.owner, its.role_id, its.actions, its.max_duration, tuple(sorted(its.audiences))


def draw(
    found: Iterable[ResolvedDelegation],
    statuses: Mapping[str, ClientStatus],
    default_audience: str,
    *,
    now: datetime,
    rest: str,
    grouped: bool = True,
) -> Markup:
    """Draw the diagram of these delegations at `now`. `statuses` has the badges of each client, by the client's id.

    If `grouped`, delegations that grant the same are one box. A column has at most `MOST` boxes: the last one links
    to `rest`, the list of all.
    """
    groups: dict[object, list[ResolvedDelegation]] = {}
    for each in found:
        alike = (_granted(each.delegation), each.grants_nothing(now)) if grouped else each.delegation.id
        groups.setdefault(alike, []).append(each)
    largest_first = sorted(groups.values(), key=len, reverse=True)
    ways = [way for group in largest_first for way in _ways(group, statuses, default_audience, now, grouped=grouped)]
    return _drawn(list(dict.fromkeys(_shortened(ways, rest))))


def _ways(
    group: Sequence[ResolvedDelegation],
    statuses: Mapping[str, ClientStatus],
    default_audience: str,
    now: datetime,
    *,
    grouped: bool,
) -> Iterator[Way]:
    """Return the paths of delegations that grant the same, or nothing: one for each box of agents and each API."""
    first, role = group[0].delegation, group[0].role
    whole = partial(_whole, role.slug, first)
    agents = {each.client.id: each.client for each in group}
    notes: tuple[tuple[str, str], ...] = ((duration(first.max_duration), ""),)
    if len(group) > 1:
        notes = (*notes, (plural(len(agents), "agent"), ""))
    if is_mute := group[0].grants_nothing(now):
        # The box has no room for all notes, and a cut number of agents would be another number.
        notes = (("grants nothing", "warn"), *reversed(notes))
    granted = Node(
        2,
        ",".join(each.delegation.id for each in group),
        first.actions[0] if len(first.actions) == 1 else plural(len(first.actions), "action"),
        whole if len(group) > 1 else partial(_page, first.id),
        notes=notes,
        tone="warn" if is_mute else "",
        whole=", ".join(first.actions),
    )
    begin = (
        Node(0, first.owner, first.owner, partial(_focus, "owner", first.owner)),
        Node(1, role.id, role.name, partial(_focus, "role", role.slug)),
        granted,
    )
    apis = [_api(audience, default_audience) for audience in first.audiences or (default_audience,)]
    for agent in _agents(agents.values(), statuses, whole if grouped else None, granted.key):
        for api in apis:
            yield (*begin, agent, api)


def _agents(
    clients: Iterable[Client], statuses: Mapping[str, ClientStatus], whole: Callable[[], str] | None, key: str
) -> Iterator[Node]:
    """Return a box for each client. More than `APART` clients with the same badges are one box, which links to `whole`.

    Without `whole`, each client has its own box. `key` is that of the box of their delegations.
    """
    alike: dict[ClientStatus, list[Client]] = {}
    for client in clients:
        alike.setdefault(statuses[client.id], []).append(client)
    for status, some in alike.items():
        notes = tuple((badge.word, tone(badge.word)) for badge in status.badges)
        its_tone = notes[1 if status.is_ready and len(notes) > 1 else 0][1]  # a warning matters if it gets tokens
        if whole and len(some) > APART:
            yield Node(3, f"{key} {notes}", plural(len(some), "agent"), whole, notes=notes, tone=its_tone)
            continue
        for client in some:
            yield Node(3, client.id, client.name, partial(_focus, "client", client.slug), notes=notes, tone=its_tone)


def _api(audience: str, default_audience: str) -> Node:
    shared = audience == default_audience
    name, path = audience.removeprefix("https://"), partial(_focus, "api", audience)
    notes, its_tone = ((("shared audience", "warn"),), "warn") if shared else ((), "")
    return Node(4, audience, name, path, notes=notes, tone=its_tone, whole=audience)


def _shortened(ways: Sequence[Way], rest: str) -> Iterator[Way]:
    """Replace the boxes of a column that are too many by one box with their number."""
    columns = [list(dict.fromkeys(way[column] for way in ways)) for column in range(len(COLUMNS))]
    replaced: dict[Node, Node] = {}
    for column, nodes in enumerate(columns):
        if len(nodes) > MOST:
            hidden = nodes[MOST - 1 :]
            noun = COLUMNS[column] if column == 4 else COLUMNS[column].lower()
            box = Node(
                column, "", f"and {len(hidden)} more", lambda: rest, tone="quiet", whole=f"{len(hidden)} more {noun}"
            )
            replaced |= dict.fromkeys(hidden, box)
    for way in ways:
        yield tuple(replaced.get(node, node) for node in way)


def _drawn(ways: Sequence[Way]) -> Markup:
    """Draw the boxes and lines of these paths. Each has the numbers of its paths, for the script of the diagram."""
    on_boxes: dict[Node, list[str]] = {}
    on_lines: dict[tuple[Node, Node], list[str]] = {}
    for number, way in enumerate(ways):
        for node in way:
            on_boxes.setdefault(node, []).append(str(number))
        for edge in pairwise(way):
            on_lines.setdefault(edge, []).append(str(number))
    places = _places(ways)
    height = max((place + STEP for place in places.values()), default=TOP)
    heads = Markup("").join(
        Markup('<text class="picture-head" x="{}" y="16">{}</text>').format(_x(column), name)
        for column, name in enumerate(COLUMNS)
    )
    lines = Markup("").join(_line(places, edge, " ".join(numbers)) for edge, numbers in on_lines.items())
    boxes = Markup("").join(_box(node, y, " ".join(on_boxes[node])) for node, y in places.items())
    return Markup('<svg class="picture" viewBox="0 0 {} {:.0f}" width="{}">{}{}{}</svg>').format(
        WIDTH, height, WIDTH, heads, lines, boxes
    )


def _places(ways: Sequence[Way]) -> Mapping[Node, float]:
    """Return the vertical position of each box.

    The first column has the order of the paths. Each further box is near the boxes that lead to it, so that few lines
    cross. The boxes of each column are spread over the height of the tallest column.
    """
    columns = [list(dict.fromkeys(way[column] for way in ways)) for column in range(len(COLUMNS))]
    tallest = max((len(nodes) for nodes in columns), default=0)
    places: dict[Node, float] = {}
    for column, nodes in enumerate(columns):
        if column:
            leading: dict[Node, list[float]] = {node: [] for node in nodes}
            for left, right in dict.fromkeys((way[column - 1], way[column]) for way in ways):
                leading[right].append(places[left])
            nodes.sort(key=lambda node: (not node.key, fmean(leading[node])))
        for index, node in enumerate(nodes):
            places[node] = TOP + ((index + 0.5) * tallest / len(nodes) - 0.5) * STEP
    return places


def _x(column: int) -> int:
    return _EDGE + column * (WIDTH - BOX - 2 * _EDGE) // (len(COLUMNS) - 1)


def _line(places: Mapping[Node, float], edge: tuple[Node, Node], ways: str) -> Markup:
    left, right = edge
    x1, x2 = _x(left.column) + BOX, _x(right.column)
    middle, y1, y2 = (x1 + x2) // 2, places[left] + HEIGHT / 2, places[right] + HEIGHT / 2
    curve = f"M{x1} {y1:.0f} C{middle} {y1:.0f} {middle} {y2:.0f} {x2} {y2:.0f}"
    return _LINE % (ways, curve)


def _box(node: Node, y: float, ways: str) -> Markup:
    """Draw one box. A long name is cut in its middle: names and addresses can differ at their end only.

    The text is HTML, because HTML can cut a text that is still too wide, and SVG cannot. The end of the name is an
    element of its own, so the browser does not cut it.
    """
    notes = Markup(" · ").join(_NOTE % (its, note) for note, its in node.notes)
    name = cut_middle(node.name, _LONGEST[node.column])
    told = _NOTES % notes if notes else ""
    place, ends = (_x(node.column), f"{y:.0f}", BOX, HEIGHT), (name[:-_END], name[-_END:])
    return _DRAWN_BOX % (ways, node.path(), node.tone, node.title, *place, *place, *ends, told)


# The operator % of Markup escapes as `format` does, in a fifth of the time.
_LINE = Markup('<path class="picture-line" data-ways="%s" d="%s"/>')
_NOTE = Markup('<b class="%s">%s</b>')
_NOTES = Markup("<small>%s</small>")
_DRAWN_BOX = Markup(
    '<a data-ways="%s" href="%s" class="picture-box %s"><title>%s</title>'
    '<rect x="%s" y="%s" width="%s" height="%s" rx="6"/>'
    '<foreignObject x="%s" y="%s" width="%s" height="%s"><div>'
    "<p><span>%s</span><span>%s</span></p>%s</div></foreignObject></a>"
)


def _page(delegation_id: str) -> str:
    return f"/console/delegations/{delegation_id}"


def _whole(role: str, delegation: Delegation) -> str:
    """Return the link to the diagram of all delegations that grant the same as this one."""
    query = {"role": role, "owner": delegation.owner, "group": group_of(delegation)}
    return f"{PICTURE}?{urlencode(query)}"


def _focus(kind: str, value: str) -> str:
    return f"{PICTURE}?{urlencode({kind: value})}"
