"""Entity tags (RFC 9110 section 8.8.3): the object's id and its revision.

A slug can later belong to another object, which also begins with revision 1. With only the revision in the
tag, an edit of a deleted object would change its successor.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

OURS: Final = r'"[1-9][0-9]{0,8}-[0-9a-f]{8}"'
"""A tag, as a pattern."""
ACCEPTED: Final = r'"[1-9][0-9]{0,8}(-[0-9a-f]{8})?"'
"""The same; or the revision alone, for whoever knows no more."""
_PARTS: Final = re.compile(r'"([0-9]+)(?:-([0-9a-f]+))?"')


@dataclass(frozen=True, slots=True)
class Tag:
    """The revision that a caller read, and the beginning of the object's id (`thing`), empty if unknown."""

    revision: int
    thing: str = ""

    def is_of(self, thing_id: str) -> bool:
        """Whether the tag can belong to this object."""
        return thing_id.startswith(self.thing)


def etag_of(shown: Mapping[str, Any]) -> str:
    """Return the tag of an object in the admin API's form."""
    return etag(shown["revision"], shown["id" if "id" in shown else "client_id"])


def etag(revision: int, thing_id: str) -> str:
    """Return the tag of an object from its revision and id."""
    return f'"{revision}-{thing_id[:8]}"'


def read_tag(text: str) -> Tag | None:
    """Parse the tag. Return None for another format, and for a weak tag, which does not identify a revision."""
    parts = _PARTS.fullmatch(text) if re.fullmatch(ACCEPTED, text) else None
    return Tag(int(parts[1]), parts[2] or "") if parts else None
