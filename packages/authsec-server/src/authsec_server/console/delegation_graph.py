"""The delegation diagram: owners → roles → trust delegations → agents → APIs, drawn by the server as SVG.

The picture has five columns of boxes, and lines that connect related boxes. Each box is a link. Most links
show the same picture for that box only. A list beside the picture has the same content as text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from urllib.parse import urlencode

from markupsafe import Markup

from authsec_server.console.client_status import ClientStatus
from authsec_server.console.formatting import duration, plural, tone
from authsec_server.delegations.model import ResolvedDelegation

COLUMNS = ("Owners", "Roles", "Trust delegations", "Agents", "APIs")
WIDTH, BOX, HEIGHT, STEP, TOP = 940, 164, 40, 48, 26
_EDGE = 1  # margin for the half of the border that lies outside the box


@dataclass(frozen=True, slots=True)
class Node:
    """A box of the picture: its column, identity (`key`), name, link (`path`) and notes.

    Each note has the colour of its tone. `tone` selects the colour of the box in the stylesheet: a tone of a badge.
    `whole` is the full name if `name` is shortened.
    """

    column: int
    key: str
    name: str = field(compare=False)
    path: str = field(compare=False)
    notes: tuple[tuple[str, str], ...] = field(default=(), compare=False)  # (note, its tone)
    tone: str = field(default="", compare=False)
    whole: str = field(default="", compare=False)

    @property
    def title(self) -> str:
        """Return the full name and the notes."""
        return ", ".join((self.whole or self.name, *(note for note, _ in self.notes)))


def paths(resolved: ResolvedDelegation, status: ClientStatus, default_audience: str) -> list[tuple[Node, ...]]:
    """Return one path through the columns (one box each) for each audience of the delegation."""
    delegation, role, client = resolved.delegation, resolved.role, resolved.client
    actions = delegation.actions
    notes = tuple((badge.word, tone(badge.word)) for badge in status.badges)
    its_tone = notes[1 if status.is_ready and len(notes) > 1 else 0][1]  # a warning matters if the client gets tokens
    begin = (
        Node(0, delegation.owner, delegation.owner, _focus("owner", delegation.owner)),
        Node(1, role.id, role.name, _focus("role", role.slug)),
        Node(
            2,
            delegation.id,
            actions[0] if len(actions) == 1 else plural(len(actions), "action"),
            f"/console/delegations/{delegation.id}",
            notes=((duration(delegation.max_duration), ""),),
            whole=", ".join(actions),
        ),
        Node(
            3,
            client.id,
            client.name,
            _focus("client", client.slug),
            notes=notes,
            tone=its_tone,
        ),
    )
    return [(*begin, _api(each, default_audience)) for each in delegation.audiences or (default_audience,)]


def _api(audience: str, default_audience: str) -> Node:
    shared = audience == default_audience
    name, path = audience.removeprefix("https://"), _focus("api", audience)
    notes, its_tone = ((("shared audience", "warn"),), "warn") if shared else ((), "")
    return Node(4, audience, name, path, notes=notes, tone=its_tone, whole=audience)


def draw(
    resolved_delegations: Iterable[ResolvedDelegation], statuses: Mapping[str, ClientStatus], default_audience: str
) -> Markup:
    """Draw the picture of these delegations. `statuses` has the badges of each client, by the client's id."""
    ways = [
        way
        for resolved in resolved_delegations
        for way in paths(resolved, statuses[resolved.client.id], default_audience)
    ]
    places = _places(ways)
    height = TOP + STEP * max((len({way[c] for way in ways}) for c in range(len(COLUMNS))), default=0)
    edges = dict.fromkeys(pair for way in ways for pair in pairwise(way))
    heads = Markup("").join(
        Markup('<text class="picture-head" x="{}" y="16">{}</text>').format(_x(column), name)
        for column, name in enumerate(COLUMNS)
    )
    lines = Markup("").join(_line(places[left], places[right], left, right) for left, right in edges)
    boxes = Markup("").join(_box(node, y) for node, y in places.items())
    return Markup('<svg class="picture" viewBox="0 0 {} {}" width="{}">{}{}{}</svg>').format(
        WIDTH, height, WIDTH, heads, lines, boxes
    )


def _places(ways: Sequence[tuple[Node, ...]]) -> Mapping[Node, float]:
    """Return the vertical position of each box.

    Boxes appear in the order of the paths. Each column is centred vertically, relative to the tallest column.
    """
    columns = [list(dict.fromkeys(way[column] for way in ways)) for column in range(len(COLUMNS))]
    tallest = max((len(column) for column in columns), default=0)
    return {
        node: TOP + (index + (tallest - len(column)) / 2) * STEP
        for column in columns
        for index, node in enumerate(column)
    }


def _x(column: int) -> int:
    return _EDGE + column * (WIDTH - BOX - 2 * _EDGE) // (len(COLUMNS) - 1)


def _line(y1: float, y2: float, left: Node, right: Node) -> Markup:
    x1, x2 = _x(left.column) + BOX, _x(right.column)
    middle = (x1 + x2) / 2
    return Markup('<path class="picture-line" d="M{} {:.0f} C{:.0f} {:.0f} {:.0f} {:.0f} {} {:.0f}"/>').format(
        x1, y1 + HEIGHT / 2, middle, y1 + HEIGHT / 2, middle, y2 + HEIGHT / 2, x2, y2 + HEIGHT / 2
    )


def _box(node: Node, y: float) -> Markup:
    """Draw one box. Its text is HTML, because HTML can cut a long text with an ellipsis, and SVG cannot."""
    notes = Markup(" · ").join(Markup('<b class="{}">{}</b>').format(its, note) for note, its in node.notes)
    told = Markup("<small>{}</small>").format(notes) if notes else ""
    return Markup(
        '<a href="{}" class="picture-box {}"><title>{}</title><rect x="{}" y="{:.0f}" width="{}" height="{}" rx="6"/>'
        '<foreignObject x="{}" y="{:.0f}" width="{}" height="{}"><div><span>{}</span>{}</div></foreignObject></a>'
    ).format(
        *(node.path, node.tone, node.title, _x(node.column), y, BOX, HEIGHT),
        *(_x(node.column), y, BOX, HEIGHT, node.name, told),
    )


def _focus(kind: str, value: str) -> str:
    return f"/console/picture?{urlencode({kind: value})}"
