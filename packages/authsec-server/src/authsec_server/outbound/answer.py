"""What came back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from authsec import strict_json

from authsec_server.outbound.failure import FailureReason, OutboundFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer of any status but a redirect. Its body may hold a token, so it is in no repr.

    `source` is what was asked, for messages; `headers` have names in lower case.
    """

    source: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def json_object(self, *, max_depth: int = 8) -> Mapping[str, Any]:
        """The body as one strict JSON object. Raises `OutboundFailed`."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not (kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))):
            raise self._not_json(f"is not served as JSON (status {self.status})")
        try:
            value = strict_json.loads(self.body, max_bytes=len(self.body), max_depth=max_depth)
        except strict_json.StrictJsonError as error:
            raise self._not_json(f"is not strict JSON: {error}") from None
        if not isinstance(value, dict):
            raise self._not_json("is not a JSON object")
        return value

    def _not_json(self, what: str) -> OutboundFailed:
        return OutboundFailed(FailureReason.NOT_JSON, f"the answer of {self.source} {what}")
