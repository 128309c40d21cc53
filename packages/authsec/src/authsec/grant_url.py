"""The URL of the console page where a person grants missing actions to an agent.

The URL's query fills in the form on the page as far as possible.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

LONGEST: Final = 900
"""Characters of a query. Models read this URL, and proxies refuse very long URLs."""


def grant_page(
    issuer: str,
    client_id: str,
    *,
    roles: Sequence[str] = (),
    actions: Sequence[str] = (),
    audiences: Sequence[str] = (),
) -> str:
    """Return the URL of the first step of a new trust delegation, with these values selected in the form.

    A role is selected only if `roles` has exactly one role. If the query would be too long, only the agent is selected.
    With only some of the actions, a person could think that the list is complete.
    """
    chosen = [("role", roles[0])] if len(roles) == 1 else []
    chosen += [("actions", each) for each in actions] + [("audiences", each) for each in audiences]
    query = "".join(f"&{name}={quote(value, safe='')}" for name, value in chosen)
    page = f"{issuer.removesuffix('/')}/console/delegations/new?client={quote(client_id, safe='')}"
    return page + query if len(query) <= LONGEST else page
