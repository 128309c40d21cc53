"""The packages that other people published under names like ours are told from ours, by `authsec doctor`."""

from __future__ import annotations

from importlib.metadata import distributions
from typing import Any

from authsec.doctor.packages import check_packages
from authsec.terminal import Grade


def test_other_peoples_packages_are_recognised(foreign_python: Any) -> None:
    folder = foreign_python.run("import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip()
    told = {finding.facts[0].split()[0]: finding for finding in check_packages(distributions(path=[folder]))}
    for name, folder in (("authsec-autogen", "authsec-autogen"), ("authsec-langchain-sdk", "authsec-langchain")):
        assert told[name].grade is Grade.BAD  # an agent that imports authsec_autogen would get theirs
        assert f"pip install ./packages/authsec ./packages/{folder}" in told[name].remedy
    for name in ("authsec-sdk", "authsec-llamaindex"):
        assert told[name].grade is Grade.AMBER
        assert f"pip uninstall {name}" in told[name].remedy
    assert "`python -m authsec` always runs the script of AuthSec" in told["authsec-sdk"].facts[1]
