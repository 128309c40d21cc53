"""The token demands an extension, and the verifier shrugs.

`crit` names header members that the receiver must understand or refuse (RFC 7515 §4.1.11); `b64` changes which octets
are signed (RFC 7797). A verifier that ignores them verifies something else than what was meant.
"""

from __future__ import annotations

from typing import Any

import pytest

from ..fake_keys import reason_of, token, verifier_of


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": ["b64"], "b64": False},
        {"crit": ["http://example.com/UNDEFINED"], "http://example.com/UNDEFINED": True},
        {"crit": []},
        {"crit": None},
        {"crit": "alg"},
        {"b64": False},
        {"b64": True},
    ],
)
def test_every_demand_is_refused(header: dict[str, Any]) -> None:
    assert reason_of(verifier_of(), token(header=header)) == "header_not_allowed"
