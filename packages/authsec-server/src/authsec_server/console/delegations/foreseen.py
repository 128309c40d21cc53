"""The claims that tokens of a delegation would carry, as a page shows them."""

from __future__ import annotations

import json
from typing import Any

from authsec_server.console.site import Visit
from authsec_server.db import Tx
from authsec_server.delegations.model import Standing
from authsec_server.tokens.model import Denied
from authsec_server.tokens.preview import preview_delegation


def foreseen(tx: Tx, visit: Visit, standing: Standing) -> dict[str, Any]:
    """What the template wants to know of it: `claims` as JSON, or else `denied`; and whether the client can `prove`."""
    shown = preview_delegation(tx, visit.act, visit.console.tokens.issuance, standing)
    if isinstance(shown, Denied):
        return {"claims": "", "denied": shown.details or shown.reason, "provable": False}
    claims = json.dumps(shown.claims, indent=2, ensure_ascii=False)
    return {"claims": claims, "denied": "", "provable": shown.provable}
