"""A document carried out: all of it in one transaction, by the verbs of the rooms, or nothing of it."""

from __future__ import annotations

from authsec_server.configuration.model import Verb
from authsec_server.configuration.planning import Asked, plan, scope_of
from authsec_server.configuration.reading import present
from authsec_server.configuration.steps import Plan, Setting, at
from authsec_server.db import Tx
from authsec_server.principal import Act


def planned(tx: Tx, act: Act, asked: Asked, setting: Setting) -> Plan:
    """What it would change, as things stand in this transaction. Raises `Invalid`."""
    return plan(asked, present(tx, act, scope_of(asked)), setting)


def apply(tx: Tx, act: Act, found: Plan) -> None:
    """Do what was planned, of this very authority version. Each act is recorded, and takes its role, as by itself."""
    parts = [(turn, step.change, do) for step in found.steps for turn, do in step.parts]
    # Of one turn, edits come first: they may give up what something new takes.
    for _, change, do in sorted(parts, key=lambda part: (part[0], part[1].verb is Verb.CREATE)):
        with at(change.section, change.slug):
            do(tx, act)
