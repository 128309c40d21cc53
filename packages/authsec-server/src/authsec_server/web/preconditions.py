"""Read `If-Match` (RFC 9110 section 13.1.1): the revision that the editor read."""

from __future__ import annotations

from starlette.requests import Request

from authsec_server.failures import Invalid
from authsec_server.web.errors import PreconditionRequired
from authsec_server.web.etags import Tag, read_tag


def expected(request: Request, *, wanted: bool, known: bool) -> Tag | None:
    """Return the tag in If-Match, or None for `*` or a missing header.

    `wanted`: the header is required. `known`: the header is allowed. Raises `PreconditionRequired` for a missing
    header. Raises `Invalid` for a header that is not allowed, or for a tag that is not ours.
    """
    given = request.headers.getlist("if-match")
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
