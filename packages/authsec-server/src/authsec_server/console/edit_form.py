"""Edit forms of objects that two people can edit at once (`revisions.py`)."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from authsec_server.console.site import PageRequest
from authsec_server.failures import Failure, Outdated
from authsec_server.revisions import Revised


def revision_of(visit: PageRequest, stored: Revised, problem: Failure | None) -> int:
    """Return the revision that the form sends: the one that the person has read.

    `Outdated` shows the person the stored values, so the next attempt can overwrite these.
    """
    if visit.form.ticked("revision") and not isinstance(problem, Outdated):
        return visit.form.number("revision")
    return stored.revision


def stored_meanwhile(problem: Failure | None, stored: Mapping[str, str], typed: Mapping[str, str]) -> Mapping[str, str]:
    """Return the stored values that differ from the typed ones, after `Outdated`. The form shows them at the fields."""
    if not isinstance(problem, Outdated):
        return {}
    return {name: value or "empty" for name, value in stored.items() if value != typed[name]}


def saved(visit: PageRequest, path: str, edited: Revised, revision: int) -> Response:
    """Redirect to the object's page after an edit of this revision. A notice says whether anything changed."""
    return visit.redirect(path, done="saved" if edited.revision > revision else "unchanged")
