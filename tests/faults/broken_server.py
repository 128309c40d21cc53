"""`authsec` with a defect, so that the harness is seen to find it: `broken_server.py DEFECT serve …`."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from authsec.cli import main
from authsec_server.audit import service as audit
from authsec_server.clients import service as clients
from authsec_server.clients.model import Client
from authsec_server.tokens.facts import KeptFacts


def issues_unrecorded() -> None:
    """Tokens leave without a record."""
    setattr(audit, "record_all", lambda *_: None)  # noqa: B010 - the defect


def decides_on_kept_facts() -> None:
    """Facts that were kept are taken for those of each later change."""
    setattr(KeptFacts, "are_of", lambda *_: True)  # noqa: B010 - the defect


def forgets_disabled_clients() -> None:
    """A disabled client gets tokens on."""
    load = clients.load

    def enabled(*arguments: Any) -> Client | None:
        client = load(*arguments)
        return client and replace(client, enabled=True)

    setattr(clients, "load", enabled)  # noqa: B010 - the defect


if __name__ == "__main__":
    defects = {
        "unrecorded": issues_unrecorded,
        "disabled": forgets_disabled_clients,
        "kept": decides_on_kept_facts,
    }
    defects[sys.argv.pop(1)]()
    main()
