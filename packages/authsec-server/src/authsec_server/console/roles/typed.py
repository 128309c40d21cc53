"""The form of a role. Actions that APIs describe have checkboxes.

A text field has the other actions, one action on each line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from authsec_server.apis import service as apis
from authsec_server.apis.model import Described, parse_action
from authsec_server.console.forms import Form
from authsec_server.db import Tx
from authsec_server.failures import Conflict, Invalid
from authsec_server.principal import Act
from authsec_server.roles.model import EDITABLE, RoleDefinition

TEXTS = ("slug", *(name for name in EDITABLE if name != "actions"))
MOST = 1000  # actions offered; others are written


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """The actions of one resource that APIs describe, each with its meaning at each API."""

    resource: str
    actions: Mapping[str, Sequence[Described]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedRole:
    """The values in the form of a role, typed by a person or stored. `written` is the text field for other actions."""

    texts: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(TEXTS, ""))
    ticked: Sequence[str] = ()
    written: str = ""

    @property
    def actions(self) -> list[str]:
        """Return the actions with a ticked checkbox, then those in the text field. They are not validated yet."""
        return [*self.ticked, *(text for _, text in _lines(self.written))]

    @property
    def begun(self) -> bool:
        """Whether the form has a name or an action."""
        return bool(self.texts["name"] or self.actions)

    @property
    def changes(self) -> dict[str, Any]:
        """Return the fields that an edit can change. They are not validated yet."""
        return {**{name: text for name, text in self.texts.items() if name != "slug"}, "actions": self.actions}

    @property
    def readable(self) -> dict[str, str]:
        """Return each editable field as one line of text."""
        listed = self.changes | {"actions": ", ".join(sorted(set(self.actions)))}
        return {name: text or "nothing" for name, text in listed.items()}


def typed_role(form: Form, prefix: str = "") -> TypedRole:
    """Read the form of a role. The names of its fields begin with `prefix`."""
    return TypedRole(
        texts={name: form.text(f"{prefix}{name}") for name in TEXTS},
        ticked=[text.strip() for text in form.all(f"{prefix}actions") if text.strip()],
        written=form.exact(f"{prefix}other_actions"),
    )


def stored_role(role: RoleDefinition, offered: Sequence[Offered]) -> TypedRole:
    """Return the form filled with the stored role."""
    known = {action for group in offered for action in group.actions}
    return TypedRole(
        texts={name: getattr(role, name) for name in TEXTS},
        ticked=[action for action in role.actions if action in known],
        written="\n".join(action for action in role.actions if action not in known),
    )


def described_actions(tx: Tx, act: Act) -> list[Offered]:
    """Return the actions that APIs describe, grouped by resource. Each action occurs once."""
    actions = sorted(apis.described(tx))[:MOST]
    meanings = apis.describing(tx, act, actions)
    return [
        Offered(resource=resource, actions={action: meanings[action] for action in its})
        for resource, its in groupby(actions, key=lambda action: action.partition(":")[0])
    ]


def at_fields(typed: TypedRole, failure: Invalid | Conflict, prefix: str = "") -> Invalid:
    """Move the problem to the form field that the person must correct."""
    if isinstance(failure, Conflict):  # the only one there is: the slug is taken
        return Invalid(f"{prefix}slug", failure.message, failure.remedy)
    if failure.field.startswith("actions"):
        return _at_lines(typed, failure, prefix)
    return Invalid(f"{prefix}{failure.field}", failure.message, failure.remedy)


def _at_lines(typed: TypedRole, invalid: Invalid, prefix: str) -> Invalid:
    """Return one problem that names every wrong line of the text field by its number.

    The problem `invalid` of the service names only the first wrong action.
    """
    wrong, remedy = [], invalid.remedy
    for line, text in _lines(typed.written):
        try:
            parse_action(text)
        except Invalid as problem:
            wrong.append(f"Line {line}: {problem.message}")
            remedy = problem.remedy
    return Invalid(f"{prefix}other_actions", " ".join(wrong) or invalid.message, remedy)


def _lines(written: str) -> list[tuple[int, str]]:
    lines = enumerate(written.splitlines(), start=1)
    return [(number, text) for number, line in lines for text in line.replace(",", " ").split()]
