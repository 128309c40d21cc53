"""docs/langchain.md: what it shows runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import requests
from authsec.testing import ThrowawayAuthority

from .scripted import ScriptedModel

PAGE = Path(__file__).resolve().parents[3] / "docs" / "langchain.md"


def test_the_page_runs(authsec_authority: ThrowawayAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []

    def get(url: str, *, headers: dict[str, str], timeout: float) -> requests.Response:
        sent.append(headers["Authorization"])
        response = requests.Response()
        response.status_code, response._content = 200, f'{{"url": "{url}", "sent": "{sent[-1]}"}}'.encode()
        return response

    monkeypatch.setattr(requests, "get", get)
    there: dict[str, Any] = {"CRM": "https://crm.example.com", "model": ScriptedModel(names=("fetch_customer",))}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), there)  # noqa: S102 - the page's own lines
    assert [asked.scope for asked in authsec_authority.asked] == ["customers:read", None]
    assert len(set(sent)) == 2
    assert "https://crm.example.com/customers/42" in there["model"].read[-1]
    assert not any(header.removeprefix("Bearer ") in text for header in sent for text in there["model"].read)
