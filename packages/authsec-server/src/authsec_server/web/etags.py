"""Entity tags (RFC 9110 section 8.8.3). A tag contains the revision and the beginning of the object's id.

The revision alone is not sufficient. After an object is deleted, a new object can get the same slug, and its
first revision is also 1. An edit meant for the deleted object would then change the new object.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

OURS: Final = r'"[1-9][0-9]{0,8}-[0-9a-f]{8}"'
"""The pattern of an ETag."""
ACCEPTED: Final = r'"[1-9][0-9]{0,8}(-[0-9a-f]{8})?"'
"""The pattern of an ETag, or of a revision alone."""
_PARTS: Final = re.compile(r'"([0-9]+)(?:-([0-9a-f]+))?"')


@dataclass(frozen=True, slots=True)
class Tag:
    """An entity tag that a caller sent: the revision, and the beginning of the object's id in `thing`.

    `thing` is empty if the tag has only a revision.
    """

    revision: int
    thing: str = ""

    def is_of(self, thing_id: str) -> bool:
        """Whether the tag can belong to the object with this id."""
        return thing_id.startswith(self.thing)


def etag_of(shown: Mapping[str, Any]) -> str:
    """Return the tag of an object. `shown` is the object as the admin API shows it."""
    return etag(shown["revision"], shown["id" if "id" in shown else "client_id"])


def etag(revision: int, thing_id: str) -> str:
    """Return the tag of an object from its revision and id."""
    return f'"{revision}-{thing_id[:8]}"'


def read_tag(text: str) -> Tag | None:
    """Parse the tag. Return None for a weak tag, or for a tag in another format.

    A weak tag does not identify one revision.
    """
    parts = _PARTS.fullmatch(text) if re.fullmatch(ACCEPTED, text) else None
    return Tag(int(parts[1]), parts[2] or "") if parts else None
