"""What an event of a token says of the proof: by whose word, how it was checked, and how each selector. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from authsec_server.attestation.model import Validation
from authsec_server.audit.model import Event
from authsec_server.sources.model import Provenance, shown_provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One selector: how it is proved, and where another workload came, what is registered and what that showed."""

    key: str
    how: str
    registered: str = ""
    shown: str = ""
    agrees: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The proof behind a token or a refusal. `source` is the name of whose word it was; what is not known is empty.

    `sentence` says what differed; `gone`: the cluster said that the workload is gone. `failed` is what was wrong with a
    token that the source signed, or why the source could not tell.
    """

    source: str = ""
    checked: str = ""
    rows: tuple[Row, ...] = ()
    sentence: str = ""
    gone: bool = False
    failed: str = ""


def told_of(event: Event) -> Told | None:
    """What the event says of it; None where it says nothing of any trust source."""
    its = event.detail
    source = its.get("source")
    if not isinstance(source, dict):
        return None
    miss: Mapping[str, Any] = its.get("miss", {})
    proved: Mapping[str, str] = its.get("proved_by", {})
    rows = [Row(key=key, how=_how(key, how)) for key, how in proved.items()]
    return Told(
        source=str(source.get("name", "")),
        checked=_checked(miss.get("validation") or its.get("validation")),
        rows=(*rows, *map(_missed, miss.get("selectors", ()))),
        sentence=str(miss.get("sentence", "")),
        gone=its.get("gone") is True,
        failed=str(its.get("failed", "")),
    )


def _missed(row: Mapping[str, Any]) -> Row:
    return Row(
        key=row["key"],
        how=_how(row["key"], row.get("proved_by", "")),
        registered=row["registered"],
        shown=row["shown"],
        agrees=row["agrees"],
    )


def _how(key: str, how: str) -> str:
    return shown_provenance(key, Provenance(how)) if how in set(Provenance) else how


def _checked(validation: Any) -> str:
    return Validation(validation).shown if validation in set(Validation) else ""
