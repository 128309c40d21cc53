"""scripts/sbom.py: each package that the authority requires at runtime, and no place of the machine that made it."""

from __future__ import annotations

import json
import re
import runpy
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
TRANSITIVE = {"authsec", "cffi", "h11", "httpcore2", "joserfc", "markupsafe", "psycopg-binary", "pydantic-core"}
OF_TESTS_AND_CHECKS = {"authsec-demo", "authsec-autogen", "cyclonedx-python-lib", "hypothesis", "pytest"}


@pytest.fixture(scope="module")
def text() -> str:
    script = runpy.run_path(str(ROOT / "scripts" / "sbom.py"))
    made: str = script["JsonV1Dot6"](script["bom"]()).output_as_string(indent=2)
    return made


@pytest.fixture(scope="module")
def components(text: str) -> dict[str, Any]:
    return {each["name"]: each for each in json.loads(text)["components"]}


def test_the_document_is_valid_by_the_schema(text: str) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_each_runtime_dependency_has_version_licence_and_purl(components: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "packages" / "authsec-server" / "pyproject.toml").read_text("utf-8"))["project"]
    direct = map(Requirement, project["dependencies"])
    wanted = {canonicalize_name(each.name) for each in direct if each.marker is None or each.marker.evaluate()}
    assert (wanted | TRANSITIVE) - components.keys() == set()
    for name, each in components.items():
        assert each["version"], name
        assert [*each["licenses"]], name
        assert each["purl"].startswith(f"pkg:pypi/{name}@" if name != "authsec" else "pkg:generic/authsec@"), name


def test_the_versions_are_those_of_the_pins(components: dict[str, Any]) -> None:
    pins = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["uv"]["constraint-dependencies"]
    pinned = {each.name: str(each.specifier) for each in map(Requirement, pins)}
    others = {name: each for name, each in components.items() if name != "authsec"}
    assert {name: f"=={each['version']}" for name, each in others.items()} == {name: pinned[name] for name in others}


def test_what_tests_and_checks_need_is_no_component(components: dict[str, Any]) -> None:
    assert components.keys() & OF_TESTS_AND_CHECKS == set()


def test_the_dependencies_lead_from_the_authority_to_each_component(text: str, components: dict[str, Any]) -> None:
    made = json.loads(text)
    requires = {each["ref"]: each.get("dependsOn", []) for each in made["dependencies"]}
    reached: set[str] = set()
    waiting = [made["metadata"]["component"]["bom-ref"]]
    while waiting:
        reached.add(ref := waiting.pop())
        waiting += [each for each in requires[ref] if each not in reached]
    assert {each["bom-ref"] for each in components.values()} <= reached


def test_the_document_has_no_place_of_this_machine_and_no_package_index(text: str) -> None:
    for place in (str(ROOT), sys.prefix, "site-packages", "file:"):
        assert place not in text, place
    assert re.findall(r"https?://[^\"]+", text) == ["http://cyclonedx.org/schema/bom-1.6.schema.json"]
