"""Entity tags (RFC 9110 section 8.8.3), and `If-Match` (section 13.1.1): the revision that the editor read.

A tag contains the revision and the beginning of the object's id. The revision alone is not sufficient. After an
object is deleted, a new object can get the same slug, and its first revision is also 1. An edit meant for the
deleted object would then change the new object.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from authsec_server.failures import Invalid

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


class PreconditionRequired(Exception):
    """The edit has no If-Match, so the server cannot know which revision the caller read."""


def expected(given: Sequence[str], *, wanted: bool, known: bool) -> Tag | None:
    """Return the tag in If-Match. Return None for `*`, or for a missing header that is not required.

    `given`: the values of If-Match. `wanted`: the header is required. `known`: the header is allowed.

    Raises `PreconditionRequired` if a required header is missing. Raises `Invalid` for a header that is not
    allowed, and for a tag in another format than this server's.
    """
    if not known:
        if given:
            raise Invalid(
                "If-Match",
                "This object has no revisions, so If-Match cannot match. Nothing was done.",
                "Leave out If-Match.",
            )
        return None
    if not given:
        if wanted:
            raise PreconditionRequired
        return None
    if len(given) == 1 and given[0].strip() == "*":
        return None
    tag = read_tag(given[0].strip())
    if len(given) > 1 or tag is None:
        raise Invalid(
            "If-Match",
            "If-Match is not a valid ETag.",
            'Send the ETag that you read, like "3-5b0c9e12"; or *.',
        )
    return tag
