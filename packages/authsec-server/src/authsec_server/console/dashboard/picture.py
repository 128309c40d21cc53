"""The picture of authority: owners → roles → trust delegations → agents → APIs, drawn by the server as SVG.

Five columns of boxes, and lines between those that belong together. Each box is a link that makes it the picture's
middle. The list that stands beside the picture says the same in words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from urllib.parse import urlencode

from markupsafe import Markup

from authsec_server.delegations.model import Standing

COLUMNS = ("Owners", "Roles", "Trust delegations", "Agents", "APIs")
WIDTH, BOX, HEIGHT, STEP, TOP = 1200, 184, 30, 42, 34
_SHOWN = 22  # letters of a name that fit a box


@dataclass(frozen=True, slots=True)
class Node:
    """A box: in which column, what makes it one, its name, where it leads, and whether it is to be seen in red."""

    column: int
    key: str
    name: str = field(compare=False)
    path: str = field(compare=False)
    tone: str = field(default="", compare=False)


def paths(standing: Standing, default_audience: str, now: datetime) -> list[tuple[Node, ...]]:
    """One way through the picture for each audience of a delegation."""
    delegation, role, client = standing.delegation, standing.role, standing.client
    grants = f"{len(delegation.actions)} action{'' if len(delegation.actions) == 1 else 's'}"
    begin = (
        Node(0, delegation.owner, delegation.owner, _focus("owner", delegation.owner)),
        Node(1, role.id, role.name, _focus("role", role.slug)),
        Node(2, delegation.id, grants, f"/console/delegations/{delegation.id}"),
        Node(3, client.id, client.name, _focus("client", client.slug), "bad" if client.unattested(now) else ""),
    )
    audiences = delegation.audiences or (default_audience,)
    return [
        (*begin, Node(4, each, each, _focus("api", each), "warn" if each == default_audience else ""))
        for each in audiences
    ]


def draw(standings: Iterable[Standing], default_audience: str, now: datetime) -> Markup:
    """The picture of these delegations."""
    ways = [way for standing in standings for way in paths(standing, default_audience, now)]
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
    """From top to bottom in the order in which they come up, each column in the middle of the tallest."""
    columns = [list(dict.fromkeys(way[column] for way in ways)) for column in range(len(COLUMNS))]
    tallest = max((len(column) for column in columns), default=0)
    return {
        node: TOP + (index + (tallest - len(column)) / 2) * STEP
        for column in columns
        for index, node in enumerate(column)
    }


def _x(column: int) -> int:
    return column * (WIDTH - BOX) // (len(COLUMNS) - 1)


def _line(y1: float, y2: float, left: Node, right: Node) -> Markup:
    x1, x2 = _x(left.column) + BOX, _x(right.column)
    middle = (x1 + x2) / 2
    return Markup('<path class="picture-line" d="M{} {:.0f} C{:.0f} {:.0f} {:.0f} {:.0f} {} {:.0f}"/>').format(
        x1, y1 + HEIGHT / 2, middle, y1 + HEIGHT / 2, middle, y2 + HEIGHT / 2, x2, y2 + HEIGHT / 2
    )


def _box(node: Node, y: float) -> Markup:
    name = node.name.removeprefix("https://")
    name = name if len(name) <= _SHOWN else f"{name[: _SHOWN - 1]}…"
    return Markup(
        '<a href="{}" class="picture-box {}"><title>{}</title><rect x="{}" y="{:.0f}" width="{}" height="{}" rx="6"/>'
        '<svg x="{}" y="{:.0f}" width="{}" height="{}"><text x="12" y="20">{}</text></svg></a>'  # cuts wide letters off
    ).format(
        *(node.path, node.tone, node.name, _x(node.column), y, BOX, HEIGHT),
        *(_x(node.column), y, BOX - 8, HEIGHT, name),
    )


def _focus(kind: str, value: str) -> str:
    return f"/console/picture?{urlencode({kind: value})}"
