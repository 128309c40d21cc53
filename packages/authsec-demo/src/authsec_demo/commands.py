"""The commands of `authsec`, as people run them: each in a process of its own, with an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from authsec_demo.stage import StepFailed

AUTHSEC: Final = (sys.executable, "-P", "-c", "from authsec.cli import main; main()")
_SECONDS: Final = 60.0
_LEFT_OUT: Final = ("AUTHSEC_", "SPIFFE_", "ACTIONS_ID_TOKEN_")  # settings and proofs


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Ours without what AuthSec reads: that may name a real database or agent, which is none of a demonstration's."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_LEFT_OUT)} | dict(variables)


def run(*words: str, variables: Mapping[str, str]) -> Done:
    """Run `authsec` with these words, and with these variables beside our own environment."""
    done = subprocess.run(  # noqa: S603 - our own interpreter and program
        [*AUTHSEC, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        env=environment(variables),
        check=False,
    )
    return Done(status=done.returncode, out=done.stdout, err=done.stderr)


def result(*words: str, variables: Mapping[str, str]) -> Any:
    """What a command says with `--json`. Raises `StepFailed` when it fails."""
    done = run(*words, "--json", variables=variables)
    if done.status:
        raise StepFailed(expected=f"authsec {' '.join(words[:2])} to succeed", came=done.err.strip())
    return json.loads(done.out)
