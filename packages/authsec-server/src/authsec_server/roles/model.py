"""Roles of agents. No I/O.

The class is called `RoleDefinition`, because `principal.Role` is something else: the role of an
administrator.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from authsec_server import naming
from authsec_server.apis.model import parse_action
from authsec_server.failures import FailureList, Invalid
from authsec_server.revisions import Editable, Fields

MAX_ACTIONS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleDefinition:
    """A named set of actions. `actions` are sorted and never empty."""

    id: str
    slug: str
    name: str
    description: str = ""
    actions: tuple[str, ...]
    created_at: datetime
    revision: int = 1
    changed_at: datetime | None = None
    changed_by: str = ""


def parse_actions(texts: Iterable[str]) -> tuple[str, ...]:
    """Check the actions and return them sorted, without duplicates.

    Raises `Invalid` for `actions` if an action is malformed, if there are no actions, or if there are too many.
    """
    problems, actions = FailureList(), []
    for index, text in enumerate(texts):
        try:
            actions.append(parse_action(text))
        except Invalid as error:
            problems.add(Invalid(f"actions.{index}", error.message, error.remedy))
    problems.raise_all()
    if not actions:
        raise Invalid("actions", "There are no actions.", "Give at least one action: an empty set grants nothing.")
    if len(set(actions)) > MAX_ACTIONS:
        raise Invalid("actions", f"There are more than {MAX_ACTIONS} actions.", "Split them into several roles.")
    return tuple(sorted(set(actions)))


EDITABLE: Fields = {
    "name": Editable(naming.name),
    "description": Editable(naming.text),
    "actions": Editable(lambda _, texts: parse_actions(texts), plain=list),
}
"""The fields of a role that an edit can change. A new field also needs a column in `store`, a JSON type in `api`,
and inputs in the template `roles/fields.html` and the command line. All other code reads this list."""

GRANTING = ("actions",)
"""The editable fields that decide about authority."""
