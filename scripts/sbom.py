"""Print the software bill of materials of the authority: CycloneDX 1.6 in JSON.

    uv run --no-sync python scripts/sbom.py > authsec-server.cdx.json

The components are `authsec-server` and all that it requires at runtime, in the versions of this environment. Tests,
checks and the demo add nothing. The document has no path of this machine and no address of a package index.

Raises `PackageNotFoundError` if a requirement is not installed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import Distribution, distribution
from typing import Final

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License, LicenseAcknowledgement
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.spdx import is_expression
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = "authsec-server"
OURS: Final = ("authsec", "authsec-server")
# Packages without `License-Expression` (PEP 639) say their licence in these words of PyPI.
_SPDX: Final = {"MIT License": "MIT", "Apache Software License": "Apache-2.0"}


@dataclass(slots=True)
class _Requirer:
    """A package, the extras that others require of it, and the names of its own requirements."""

    installed: Distribution
    extras: set[str] = field(default_factory=set)
    requires: set[str] = field(default_factory=set)


def main() -> None:
    """Print the document."""
    sys.stdout.write(JsonV1Dot6(bom()).output_as_string(indent=2) + "\n")


def bom() -> Bom:
    """Return the bill of materials of the installed authority."""
    packages = runtime_packages()
    components = {name: _component(name, package.installed) for name, package in packages.items()}
    made = Bom(components=[component for name, component in components.items() if name != ROOT])
    made.metadata.component = components[ROOT]
    for name, package in packages.items():
        made.register_dependency(components[name], [components[each] for each in sorted(package.requires)])
    return made


def runtime_packages() -> dict[str, _Requirer]:
    """Return all packages that the authority requires on this machine, by name."""
    found: dict[str, _Requirer] = {}
    waiting: list[tuple[str, set[str]]] = [(ROOT, set())]
    while waiting:
        name, extras = waiting.pop()
        is_known = name in found
        package = found.setdefault(name, _Requirer(distribution(name)))
        if is_known and extras <= package.extras:
            continue
        package.extras |= extras
        for each in _applicable(package):
            package.requires.add(canonicalize_name(each.name))
            waiting.append((canonicalize_name(each.name), each.extras))
    return dict(sorted(found.items()))


def _applicable(package: _Requirer) -> Iterator[Requirement]:
    """Return the requirements that apply to this Python, this platform and the extras of the package."""
    for text in package.installed.requires or ():
        requirement = Requirement(text)
        environments = [{"extra": extra} for extra in ("", *package.extras)]
        if requirement.marker is None or any(map(requirement.marker.evaluate, environments)):
            yield requirement


def _component(name: str, installed: Distribution) -> Component:
    # Strangers may hold our names on the public index. So the purl of our packages must not lead there.
    purl = PackageURL("generic" if name in OURS else "pypi", name=name, version=installed.version)
    return Component(
        type=ComponentType.APPLICATION if name == ROOT else ComponentType.LIBRARY,
        name=name,
        version=installed.version,
        bom_ref=purl.to_string(),
        purl=purl,
        licenses=_licenses(installed),
    )


def _licenses(installed: Distribution) -> list[License]:
    """Return the licences that the package declares: as an expression of SPDX, or in the words of PyPI."""
    metadata = installed.metadata
    classifiers = metadata.get_all("Classifier") or []
    words = [each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License :: ")]
    texts = [*(metadata.get_all("License-Expression") or []), *(metadata.get_all("License") or [])]
    expressions = [each for each in texts if is_expression(each)]
    words = expressions[:1] or words
    factory = LicenseFactory()
    declared = LicenseAcknowledgement.DECLARED
    return [factory.make_from_string(_SPDX.get(word, word), license_acknowledgement=declared) for word in words]


if __name__ == "__main__":
    main()
