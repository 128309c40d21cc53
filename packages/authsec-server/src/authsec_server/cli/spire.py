"""What SPIRE is told of an agent: its registration entries. Pure.

People typed the selectors in them, and the text is fed to programs: every value is quoted for its reader.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

PARENT = "<the SPIFFE ID of the SPIRE agent on its node>"

Agent = Mapping[str, Any]


def spire_entries(agent: Agent, parent_id: str) -> list[dict[str, Any]]:
    """An entry for each proof that stands and that SPIRE can enforce, as `spire-server entry create -data` reads it."""
    return [
        {
            "spiffe_id": agent["spiffe_id"],
            "parent_id": parent_id,
            "selectors": [dict(zip(("type", "value"), _of_spire(each), strict=True)) for each in proof["selectors"]],
        }
        for proof in agent["proofs"]
        if proof["selectors"]
        and proof["state"] != "expired"
        and all(each["key"].startswith(("k8s:", "docker:", "unix:")) for each in proof["selectors"])
    ]


def spire_command(entry: Mapping[str, Any]) -> str:
    """The line that registers the entry, for a POSIX shell."""
    words = ["spire-server", "entry", "create", "-spiffeID", entry["spiffe_id"], "-parentID", entry["parent_id"]]
    for selector in entry["selectors"]:
        words += ["-selector", f"{selector['type']}:{selector['value']}"]
    return shlex.join(words)


def _of_spire(selector: Mapping[str, str]) -> tuple[str, str]:
    """`k8s:pod-label:app` = `x` is of SPIRE's type `k8s`, with the value `pod-label:app:x`.

    Of `docker:env` it says the variable as Docker does, `env:NAME=x`; else the entry would match nothing.
    """
    kind, _, rest = selector["key"].partition(":")
    joint = "=" if selector["key"].startswith("docker:env:") else ":"
    return kind, f"{rest}{joint}{selector['value']}"
