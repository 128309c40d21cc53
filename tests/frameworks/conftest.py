"""The tests of `inside` are run by the interpreters of other environments: those of the .txt files here."""

from __future__ import annotations

collect_ignore = ["inside"]
