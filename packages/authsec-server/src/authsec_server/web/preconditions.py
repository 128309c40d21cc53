"""`ETag` and `If-Match` (RFC 9110 section 13.1.1): who edits says what they had read. A tag is the quoted revision."""

from __future__ import annotations

import re

from starlette.requests import Request

from authsec_server.failures import Invalid
from authsec_server.web.errors import PreconditionRequired

_TAG = re.compile(r'"([1-9][0-9]{0,8})"')


def etag(revision: int) -> str:
    """The tag of a thing as it is."""
    return f'"{revision}"'


def expected(request: Request, *, wanted: bool, known: bool) -> int | None:
    """The revision that the caller had read; None for `*`, and where none is given and none `wanted`.

    Raises `PreconditionRequired`, or `Invalid` for what is no tag of ours: a weak one promises too little.
    """
    given = request.headers.getlist("if-match")
    if not known:
        if given:
            raise Invalid(
                "If-Match", "This has no revisions, so that none can match. Nothing was done.", "Leave it out."
            )
        return None
    if not given:
        if wanted:
            raise PreconditionRequired
        return None
    if len(given) == 1 and given[0].strip() == "*":
        return None
    tag = _TAG.fullmatch(given[0].strip())
    if len(given) > 1 or tag is None:
        raise Invalid(
            "If-Match",
            "If-Match is not a tag that an answer gave.",
            'Send the ETag of the thing as it was read, like "3"; or *.',
        )
    return int(tag[1])
