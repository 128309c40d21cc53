"""While a page stays open, what it says of times goes on being true."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect


@pytest.mark.soak
def test_a_counted_refusal_is_told_as_of_the_end_of_its_minute(place: Any, browse: Any) -> None:
    client = place.its.post("clients", name="Clockwork", platform="unattested")["client_id"]
    place.its.http.get("/authsec/uflow/sdk/delegation-token", params={"client_id": client})
    page: Page = browse(place.url, storage_state=place.mary, reused=False)
    page.goto(f"/console/clients/{client}")
    time = page.get_by_role("region", name="Last tokens and refusals").get_by_role("time")
    minute = datetime.fromisoformat(time.get_attribute("datetime") or "")
    page.clock.install(time=minute + timedelta(seconds=30))
    page.reload()
    for seconds, said in ((15, "this minute"), (60, "1 minute ago"), (75, "2 minutes ago"), (7200, "2 hours ago")):
        page.clock.fast_forward(seconds * 1000)  # each timer fires once at most: of two hours, each second would
        expect(time).to_have_text(said)
