"""Entity tags (RFC 9110 section 8.8.3): which thing, and which revision of it.

A slug may be another thing's tomorrow, and that begins with revision 1 as well: by the revision alone an edit of what
was deleted would be one of what came after it.
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
    """What somebody had read: a revision, and how the thing's id begins, empty where that was not said."""

    revision: int
    thing: str = ""

    def is_of(self, thing_id: str) -> bool:
        """Whether it can be that thing's."""
        return thing_id.startswith(self.thing)


def etag_of(shown: Mapping[str, Any]) -> str:
    """That of a thing as the admin API shows it."""
    return etag(shown["revision"], shown["id" if "id" in shown else "client_id"])


def etag(revision: int, thing_id: str) -> str:
    """The tag of a thing as it is."""
    return f'"{revision}-{thing_id[:8]}"'


def read_tag(text: str) -> Tag | None:
    """What the tag says; None for what is no tag of ours. A weak one promises too little."""
    parts = _PARTS.fullmatch(text) if re.fullmatch(ACCEPTED, text) else None
    return Tag(int(parts[1]), parts[2] or "") if parts else None
