"""A link preview, a health check or a prefetcher sends HEAD (or another method), and a token is issued to nobody.

Frameworks answer HEAD wherever they answer GET; this endpoint mints for GET alone.
"""

from __future__ import annotations

from typing import Any

import pytest

ENDPOINT = "/authsec/uflow/sdk/delegation-token"


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_only_get_mints(house: Any, method: str) -> None:
    its = house()
    client_id = its.delegated_name()
    before = len(its.events())
    answer = its.door().request(method, ENDPOINT, params={"client_id": client_id})
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")
    assert len(its.events()) == before
