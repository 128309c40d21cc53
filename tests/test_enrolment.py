"""A pod's agent on its developer's laptop: the real command, over real HTTP, with the lines of the operator's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.sqlite_suffices

Running = Any
AUTHSEC = Path(sys.executable).with_name("authsec")


@pytest.fixture
def its(serve: Callable[..., Running]) -> Running:
    """An authority with an agent of a cluster, and something delegated to it."""
    its = serve()
    agent = its.agent(
        "Support", platform="kubernetes", selectors=[{"key": "k8s:ns", "value": "p"}, {"key": "k8s:sa", "value": "s"}]
    )
    its.delegate(its.role("Readers", "customers:read"), agent, "customers:read")
    return its


class Laptop:
    """A machine that knows nothing but what was pasted into its shell."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.variables: dict[str, str] = {}

    def paste(self, lines: str) -> tuple[int, str]:
        """Run the lines as a shell would; the last one's status, and all that was printed."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        variables = kept | self.variables | {"HOME": str(self.home), "PATH": f"{AUTHSEC.parent}:{kept['PATH']}"}
        done = subprocess.run(
            ["/bin/sh", "-c", f"{lines}\nstatus=$?; env | grep ^AUTHSEC > shell; exit $status"],
            cwd=self.home, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        shell = (self.home / "shell").read_text().splitlines()
        self.variables = dict(line.split("=", 1) for line in shell)
        return done.returncode, done.stdout


def test_the_lines_of_the_operator_let_the_laptop_in(its: Running, tmp_path: Path) -> None:
    (home := tmp_path / "laptop").mkdir()
    laptop = Laptop(home)
    lines = its.cli("agents", "enrolment", "support", "--hours", "2").partition("\n")[2]
    status, said = laptop.paste(lines)
    assert status == 0, said
    assert "as Support" in said
    assert "in 1 h 59 min" in said or "in 2 h 0 min" in said
    (key,) = (home / ".config" / "authsec" / "keys").iterdir()
    assert key.name == f"{laptop.variables['AUTHSEC_AGENT_CLIENT_ID']}.pem"
    status, said = laptop.paste("authsec smoke")
    assert status == 0, said
    assert "key_pair" in said
    assert "enrolled: with a key that this machine got for some hours" in said
    again, said = laptop.paste(lines)
    assert (again, "enrolment_refused (HTTP 403)" in said) == (1, True)
    shown = json.loads(its.cli("agents", "show", "support", "--json"))
    assert [each["machine"] for each in shown["proofs"] if each["kind"] == "enrolled_key"] == [os.uname().nodename]
    code = re.findall(r"enrol (\S+)", lines)[0]
    log = its.log.read_text()
    assert "/authsec/v1/enrolments" in log
    assert code not in log
    assert code.replace("-", "") not in log
    events = its.cli("audit", "list", "--json")
    assert code.replace("-", "") not in events.replace("-", "")
    assert "proof.enrolled" in events
    assert "Support on a laptop" in its.cli("audit", "list")
