"""Read the header `If-Match` (RFC 9110 section 13.1.1), which names the revision that the editor read."""

from __future__ import annotations

from starlette.requests import Request

from authsec_server.failures import Invalid
from authsec_server.web.errors import PreconditionRequired
from authsec_server.web.etags import Tag, read_tag


def expected(request: Request, *, wanted: bool, known: bool) -> Tag | None:
    """Return the tag in If-Match. Return None for `*`, or for a missing header that is not required.

    `wanted`: the header is required. `known`: the header is allowed.

    Raises `PreconditionRequired` if a required header is missing. Raises `Invalid` for a header that is not
    allowed, and for a tag in another format than this server's.
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
