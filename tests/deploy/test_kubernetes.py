"""deploy/kubernetes: rendered by kustomize, valid by the schemas of Kubernetes, and true about the authority."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from authsec.cli import commands
from authsec_server.settings import Settings
from click.testing import CliRunner

from ..environments import python_with, variables
from .kustomize_library import library

HERE, ROOT = Path(__file__).parent, Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
FOLDERS = ("base", "migration", "overlays/production")
PREFIX = "AUTHSEC_SERVER_"
NAME, COMPONENT = "app.kubernetes.io/name", "app.kubernetes.io/component"
Object = dict[str, Any]


def render(*folders: Path) -> dict[str, Any]:
    """What kustomize makes of the folders, and what is wrong with it."""
    command = [python_with(HERE / "packages.txt"), HERE / "rendering.py", library(), *folders]
    done = subprocess.run(command, env=variables(), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    return made


@pytest.fixture(scope="module")
def rendered() -> Mapping[str, Any]:
    made = render(*(KUBERNETES / folder for folder in FOLDERS))
    return {folder: made[str(KUBERNETES / folder)] for folder in FOLDERS}


@pytest.fixture(params=FOLDERS)
def objects(request: pytest.FixtureRequest, rendered: Mapping[str, Any]) -> list[Object]:
    """The objects of each folder."""
    made: list[Object] = rendered[request.param]["objects"]
    return made


@pytest.fixture
def production(rendered: Mapping[str, Any]) -> list[Object]:
    made: list[Object] = rendered["overlays/production"]["objects"]
    return made


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [each for each in objects if each["kind"] in kinds]


def pods(objects: list[Object]) -> list[Object]:
    """The pods of Deployments and Jobs."""
    return [each["spec"]["template"] for each in of_kind(objects, "Deployment", "Job")]


def test_every_object_fits_its_schema_but_for_custom_resources(rendered: Mapping[str, Any]) -> None:
    assert {folder: made["problems"] for folder, made in rendered.items()} == {folder: [] for folder in FOLDERS}
    assert {folder: made["not_checked"] for folder, made in rendered.items()} == {
        "base": [],
        "migration": [],
        "overlays/production": ["ServiceMonitor"],
    }
    assert {each["kind"] for each in rendered["overlays/production"]["objects"]} == {
        *("ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount"),
        "ServiceMonitor",
    }
    assert [each["kind"] for each in rendered["migration"]["objects"]] == ["Job"]


@pytest.mark.soak  # seconds
def test_the_validator_finds_a_misspelt_field(tmp_path: Path) -> None:
    folder = tmp_path / "base"
    folder.mkdir()
    for file in (KUBERNETES / "base").iterdir():
        text = file.read_text("utf-8").replace("readOnlyRootFilesystem", "readOnlyRootFileSystem")
        (folder / file.name).write_text(text, "utf-8")
    problems = render(folder)[str(folder)]["problems"]
    assert len(problems) == 4
    assert all("readOnlyRootFileSystem" in each for each in problems)


def test_every_variable_is_a_setting_with_a_valid_value(objects: list[Object]) -> None:
    named = {name: value for each in of_kind(objects, "ConfigMap") for name, value in each["data"].items()}
    for pod in pods(objects):
        for container in pod["spec"]["containers"]:
            named |= {each["name"]: each.get("value", "postgresql://db/authsec") for each in container["env"]}
    assert named
    assert all(name.startswith(PREFIX) for name in named)
    settings = {name.removeprefix(PREFIX).lower(): value for name, value in named.items()}
    assert set(settings) <= set(Settings.model_fields)
    Settings(**settings)


def test_every_command_exists_with_its_options(objects: list[Object]) -> None:
    for pod in pods(objects):
        for container in pod["spec"]["containers"]:
            assert "command" not in container, "the image has it"
            assert CliRunner().invoke(commands, [*container["args"], "--help"]).exit_code == 0


def test_every_pod_holds_the_restricted_standard(objects: list[Object]) -> None:
    for pod in pods(objects):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 10001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"]
            assert container["resources"]["limits"]["memory"]


def test_each_surface_has_its_servers_its_service_and_its_probes(production: list[Object]) -> None:
    drain = Settings().drain_seconds + 20
    for surface in ("agents", "admin"):
        labels = {NAME: "authsec", COMPONENT: surface}
        named = [each for each in production if each["metadata"]["name"] == f"authsec-{surface}"]
        made = {each["kind"]: each["spec"] for each in named}
        assert set(made) == {"Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy"}
        deployment = made["Deployment"]
        assert deployment["replicas"] == 2
        pod = deployment["template"]
        assert pod["metadata"]["labels"].items() >= labels.items()
        selectors = [
            deployment["selector"]["matchLabels"],
            made["Service"]["selector"],
            made["PodDisruptionBudget"]["selector"]["matchLabels"],
            made["NetworkPolicy"]["podSelector"]["matchLabels"],
            *(each["labelSelector"]["matchLabels"] for each in pod["spec"]["topologySpreadConstraints"]),
        ]
        assert selectors == [labels] * 6
        assert pod["spec"]["terminationGracePeriodSeconds"] > drain
        (container,) = pod["spec"]["containers"]
        assert container["args"] == ["serve", "--surface", surface]
        ports = {each["name"]: each["containerPort"] for each in container["ports"]}
        assert ports == {"http": 7468, "metrics": 9468}
        probes = {name: container[name]["httpGet"] for name in ("readinessProbe", "livenessProbe", "startupProbe")}
        assert probes == {
            "readinessProbe": {"path": "/readyz", "port": "http"},
            "livenessProbe": {"path": "/healthz", "port": "http"},
            "startupProbe": {"path": "/healthz", "port": "http"},
        }
        (rule,) = made["NetworkPolicy"]["ingress"]
        assert rule["ports"] == [{"port": "http"}], "agents do not reach the metrics"


def test_prometheus_finds_the_port_of_the_metrics(production: list[Object]) -> None:
    (monitor,) = of_kind(production, "ServiceMonitor")
    services = of_kind(production, "Service")
    assert len(services) == 2
    for service in services:
        assert service["metadata"]["labels"].items() >= monitor["spec"]["selector"]["matchLabels"].items()
        assert {each["name"]: each["targetPort"] for each in service["spec"]["ports"]}["metrics"] == "metrics"
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] == "metrics"
    (policy,) = [each for each in of_kind(production, "NetworkPolicy") if each["metadata"]["name"] == "authsec-metrics"]
    assert [each["ports"] for each in policy["spec"]["ingress"]] == [[{"port": "metrics"}]]


def test_a_changed_setting_restarts_the_servers(production: list[Object]) -> None:
    (settings,) = of_kind(production, "ConfigMap")
    name = settings["metadata"]["name"]
    assert name.startswith("authsec-settings-"), "with a hash of the content"
    for pod in pods(production):
        assert [each["configMapRef"]["name"] for each in pod["spec"]["containers"][0]["envFrom"]] == [name]


def test_servers_and_migration_use_the_same_image_and_secret(rendered: Mapping[str, Any]) -> None:
    found = [pod for folder in ("migration", "overlays/production") for pod in pods(rendered[folder]["objects"])]
    containers = [each["spec"]["containers"][0] for each in found]
    assert len({each["image"] for each in containers}) == 1
    urls = [next(var for var in each["env"] if var["name"] == f"{PREFIX}DATABASE") for each in containers]
    assert len({json.dumps(each["valueFrom"]) for each in urls}) == 1
