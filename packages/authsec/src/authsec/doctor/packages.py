"""Checks of the installed AuthSec packages, and of packages from other projects with similar names.

On the public index, other projects have packages with names like those of AuthSec. Such packages use the same
HTTP contract but send no proof. Some of them invent an unsigned token when the authority refuses them.
"""

from __future__ import annotations

import platform
import re
import ssl
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distributions, version
from typing import Final

from authsec.doctor.report import Finding
from authsec.safe_text import plain
from authsec.terminal import Grade

_FOLDERS: Final = {  # AuthSec's packages, and their folders in a clone
    "authsec": "authsec",
    "authsec-autogen": "authsec-autogen",
    "authsec-langchain-sdk": "authsec-langchain",
    "authsec-server": "authsec-server",
    "authsec-demo": "authsec-demo",
}
# urllib3 is always needed, the others only for extras
_NEEDED: Final = ("urllib3", "cryptography", "joserfc", "spiffe")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")


def check_packages(installed: Iterable[Distribution] | None = None) -> list[Finding]:
    """Report the versions of AuthSec's packages, and each package of another project with a similar name.

    `installed` defaults to the packages of this Python interpreter.
    """
    ours: list[tuple[str, Distribution]] = []
    strangers: list[tuple[str, Distribution]] = []
    for found in distributions() if installed is None else installed:
        name = _canonical(str(found.name))
        if name.startswith("authsec"):
            (ours if _is_ours(name, found) else strangers).append((name, found))
    facts = [f"Python {platform.python_version()} on {platform.system()}, {ssl.OPENSSL_VERSION}"]
    facts += [", ".join(f"{name} {plain(found.version, 30)}" for name, found in sorted(ours, key=lambda each: each[0]))]
    facts += [", ".join(map(_version, _NEEDED))]
    whole = Finding(step="packages", facts=tuple(filter(None, facts)))
    return [whole, *(_stranger(name, found) for name, found in strangers)]


def _is_ours(name: str, found: Distribution) -> bool:
    """Whether the package belongs to AuthSec.

    The package `authsec` has the command `authsec.cli:main` as an entry point. The other packages of AuthSec
    require `authsec`. No package of another project has such a property by chance.
    """
    if name == "authsec":
        return any(each.value == "authsec.cli:main" for each in found.entry_points)
    needed = (_NAME.match(requirement) for requirement in found.requires or ())
    return "authsec" in {_canonical(each.group()) for each in needed if each}


def _stranger(name: str, found: Distribution) -> Finding:
    """Report a package of another project.

    If the package has the name of one of AuthSec's packages, the finding is a failure. Imports then load the
    wrong package. Otherwise the finding is a warning.
    """
    taken = name in _FOLDERS
    facts = [f"{name} {plain(found.version, 30)} is from another project: it sends no proof, and may invent a token"]
    if any(each.group == "console_scripts" and each.name == "authsec" for each in found.entry_points):
        facts.append(f"{name} also installs a script `authsec`; `python -m authsec` always runs the script of AuthSec")
    install = f"pip install ./packages/authsec ./packages/{_FOLDERS[name]}" if taken and name != "authsec" else ""
    ours = ", and install ours with the command of the console (Connect), or by path in a clone of AuthSec"
    remedy = f"remove the package of the other project{ours * bool(install)}:"
    lines = [f"    pip uninstall {name}", *([f"    {install}"] if install else [])]
    return Finding(
        step="packages",
        grade=Grade.BAD if taken else Grade.AMBER,
        facts=tuple(facts),
        reason="package_of_others",
        remedy="\n".join([remedy, *lines]),
    )


def _version(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"{name} not installed"


def _canonical(name: str) -> str:
    """Normalise a package name as package indexes do."""
    return re.sub(r"[-_.]+", "-", plain(name, 60)).lower()
