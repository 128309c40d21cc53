"""The URL of the console page where a person grants an agent what it lacks, filled in as far as known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

LONGEST: Final = 900
"""Characters of a query: models read these addresses, and a proxy takes some thousand."""


def grant_page(
    issuer: str,
    client_id: str,
    *,
    roles: Sequence[str] = (),
    actions: Sequence[str] = (),
    audiences: Sequence[str] = (),
) -> str:
    """The first step of a new trust delegation, with these chosen; a role only where there is one to choose.

    Where that would be too long, with the agent alone: some of the actions would look as if they were all.
    """
    chosen = [("role", roles[0])] if len(roles) == 1 else []
    chosen += [("actions", each) for each in actions] + [("audiences", each) for each in audiences]
    query = "".join(f"&{name}={quote(value, safe='')}" for name, value in chosen)
    page = f"{issuer.removesuffix('/')}/console/delegations/new?client={quote(client_id, safe='')}"
    return page + query if len(query) <= LONGEST else page
