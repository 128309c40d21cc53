"""The claims that tokens of a delegation would carry, as a page shows them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from authsec_server.console.delegations.faults import NOT_YET
from authsec_server.console.site import Visit
from authsec_server.db import Tx
from authsec_server.delegations.model import Standing
from authsec_server.tokens.decision import Denied
from authsec_server.tokens.preview import preview_delegation

VERSION = "(the authority's version when the token is asked for)"
"""Creating a delegation is a change of authority, so that the version of now is none that its tokens can have."""
_LAST = "~"  # as an id: behind all that can be given, as NOT_YET is before them


def foreseen(tx: Tx, visit: Visit, standing: Standing) -> dict[str, Any]:
    """What the template wants to know of it: `claims` as JSON, or else `denied`; and whether the client can `prove`."""
    shown = preview_delegation(tx, visit.act, visit.console.tokens.issuance, standing)
    if isinstance(shown, Denied):
        return {"claims": "", "denied": shown.details or shown.reason, "provable": False, "by_id": False}
    return {"claims": _as_text(shown.claims), "denied": "", "provable": shown.provable, "by_id": False}


def foreseen_draft(tx: Tx, visit: Visit, standing: Standing) -> dict[str, Any]:
    """The same of one that has no id yet; with `by_id`, its id will settle what stands beside those there are."""
    seen = foreseen(tx, visit, standing)
    if not seen["claims"]:
        return seen
    first = json.loads(seen["claims"]) | {"authority_version": VERSION}
    as_last = replace(standing, delegation=replace(standing.delegation, id=_LAST))
    last = json.loads(foreseen(tx, visit, as_last)["claims"]) | {"authority_version": VERSION}
    last["delegation_ids"] = [NOT_YET if each == _LAST else each for each in last["delegation_ids"]]
    return seen | {"claims": _as_text(first), "by_id": first != last}


def _as_text(claims: dict[str, Any]) -> str:
    return json.dumps(claims, indent=2, ensure_ascii=False)
