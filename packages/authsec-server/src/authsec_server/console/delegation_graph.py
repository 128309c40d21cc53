"""The delegation diagram: owners → roles → trust delegations → agents → APIs, drawn by the server as SVG.

The picture has five columns of boxes, and lines that connect related boxes. Each box is a link. Most links
show the same picture for that box only. A list beside the picture has the same content as text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from urllib.parse import urlencode

from markupsafe import Markup

from authsec_server.clients.model import Client
from authsec_server.console.formatting import duration, plural
from authsec_server.delegations.model import ResolvedDelegation

COLUMNS = ("Owners", "Roles", "Trust delegations", "Agents", "APIs")
WIDTH, BOX, HEIGHT, STEP, TOP = 940, 164, 40, 48, 26
_EDGE = 1  # margin for the half of the border that lies outside the box


@dataclass(frozen=True, slots=True)
class Node:
    """A box of the picture: its column, identity (`key`), name, link (`path`) and note.

    `tone` selects its colour in the stylesheet: `bad`, `warn`, or `off` for a client that gets no token.
    `whole` is the full name if `name` is shortened.
    """

    column: int
    key: str
    name: str = field(compare=False)
    path: str = field(compare=False)
    note: str = field(default="", compare=False)
    tone: str = field(default="", compare=False)
    whole: str = field(default="", compare=False)

    @property
    def title(self) -> str:
        """Return the full name and the note."""
        return ", ".join(filter(None, (self.whole or self.name, self.note)))


def paths(resolved: ResolvedDelegation, default_audience: str, now: datetime) -> list[tuple[Node, ...]]:
    """Return one path through the columns (one box each) for each audience of the delegation."""
    delegation, role, client = resolved.delegation, resolved.role, resolved.client
    actions = delegation.actions
    note, tone = _agent(client, now)
    begin = (
        Node(0, delegation.owner, delegation.owner, _focus("owner", delegation.owner)),
        Node(1, role.id, role.name, _focus("role", role.slug)),
        Node(
            2,
            delegation.id,
            actions[0] if len(actions) == 1 else plural(len(actions), "action"),
            f"/console/delegations/{delegation.id}",
            note=duration(delegation.max_duration),
            whole=", ".join(actions),
        ),
        Node(3, client.id, client.name, _focus("client", client.slug), note=note, tone=tone),
    )
    return [(*begin, _api(each, default_audience)) for each in delegation.audiences or (default_audience,)]


def _agent(client: Client, now: datetime) -> tuple[str, str]:
    """Return the note and the tone of a client. A client that gets no token looks different from other clients."""
    if not client.enabled:
        return "disabled: gets no token", "off"
    if client.unattested(now):
        return "unattested", "bad"
    if not client.can_prove_itself(now):
        return "cannot authenticate yet", "warn"
    return ("weak: a secret", "warn") if client.holds_secret(now) else ("", "")


def _api(audience: str, default_audience: str) -> Node:
    shared = audience == default_audience
    name, path = audience.removeprefix("https://"), _focus("api", audience)
    note, tone = ("shared audience", "warn") if shared else ("", "")
    return Node(4, audience, name, path, note=note, tone=tone, whole=audience)


def draw(resolved_delegations: Iterable[ResolvedDelegation], default_audience: str, now: datetime) -> Markup:
    """Draw the picture of these delegations."""
    ways = [way for resolved in resolved_delegations for way in paths(resolved, default_audience, now)]
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
    note = Markup("<small>{}</small>").format(node.note) if node.note else ""
    return Markup(
        '<a href="{}" class="picture-box {}"><title>{}</title><rect x="{}" y="{:.0f}" width="{}" height="{}" rx="6"/>'
        '<foreignObject x="{}" y="{:.0f}" width="{}" height="{}"><div><span>{}</span>{}</div></foreignObject></a>'
    ).format(
        *(node.path, node.tone, node.title, _x(node.column), y, BOX, HEIGHT),
        *(_x(node.column), y, BOX, HEIGHT, node.name, note),
    )


def _focus(kind: str, value: str) -> str:
    return f"/console/picture?{urlencode({kind: value})}"
