"""Edit forms of objects that two people can edit at the same time. See `revisions.py`."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from authsec_server.console.site import PageRequest
from authsec_server.failures import Failure, Outdated
from authsec_server.revisions import Revised


def revision_of(visit: PageRequest, stored: Revised, problem: Failure | None) -> int:
    """Return the revision for the edit form: the revision that the person has read.

    After `Outdated`, the form shows the stored values and gets the stored revision. The next attempt can then
    overwrite the stored values.
    """
    if visit.form.ticked("revision") and not isinstance(problem, Outdated):
        return visit.form.number("revision")
    return stored.revision


def stored_meanwhile(problem: Failure | None, stored: Mapping[str, str], typed: Mapping[str, str]) -> Mapping[str, str]:
    """After `Outdated`, return the stored values that differ from the typed values.

    The form shows each of them at its field. Without `Outdated`, return nothing.
    """
    if not isinstance(problem, Outdated):
        return {}
    return {name: value or "empty" for name, value in stored.items() if value != typed[name]}


def saved(visit: PageRequest, path: str, edited: Revised, revision: int) -> Response:
    """Redirect to the object's page after an edit. A notice says whether the edit has changed anything.

    `revision` is the revision before the edit.
    """
    return visit.redirect(path, done="saved" if edited.revision > revision else "unchanged")
