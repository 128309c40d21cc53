"""Run `authsec` commands as a person does. Each command is a separate process with its own environment variables."""

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
_LEFT_OUT: Final = ("AUTHSEC_", "SPIFFE_", "ACTIONS_ID_TOKEN_")  # prefixes of settings and proofs


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The exit status and the output of a finished command."""

    status: int
    out: str
    err: str


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables of this process, without the variables that AuthSec reads, plus `variables`.

    AuthSec's variables may name a real database or a real agent, and the demo must use neither.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith(_LEFT_OUT)} | dict(variables)


def run(*words: str, variables: Mapping[str, str]) -> Done:
    """Run `authsec` with the arguments `words`. `environment` explains which environment variables the command gets."""
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
    """Run an `authsec` command with `--json` and return its parsed output. Raises `StepFailed` if the command fails."""
    done = run(*words, "--json", variables=variables)
    if done.status:
        raise StepFailed(expected=f"authsec {' '.join(words[:2])} to succeed", came=done.err.strip())
    return json.loads(done.out)
