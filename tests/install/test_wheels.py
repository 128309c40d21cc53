"""What `uv build --all-packages` makes, and that the authority runs from it."""

from __future__ import annotations

import email
import shutil
import subprocess
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import pytest

from .conftest import ROOT, UV, Authority, run

Wheels = Any
SDK = ("authsec", "authsec_autogen", "authsec_langchain_sdk")


@pytest.mark.soak  # seconds
def test_the_wheel_of_the_server_contains_the_wheels_of_the_sdk(wheels: Wheels) -> None:
    with zipfile.ZipFile(wheels.of("authsec_server")) as server:
        folder = "authsec_server/sdk_wheels/built_in/"
        built_in = {
            name.removeprefix(folder): name for name in server.namelist() if name.startswith(folder) and name != folder
        }
        assert sorted(built_in) == sorted(wheels.of(name).name for name in SDK)
        for file, name in built_in.items():
            assert server.read(name) == (wheels.folder / file).read_bytes()


@pytest.mark.soak
def test_a_build_leaves_no_wheels_in_the_checkout(wheels: Wheels) -> None:
    assert len(list(wheels.folder.glob("*.whl"))) == 5
    listed = subprocess.run(["git", "ls-files", "--others", "*.whl"], cwd=ROOT, capture_output=True, check=True)
    assert [name for name in listed.stdout.splitlines() if not name.startswith((b"dist/", b".venv"))] == []


@pytest.mark.soak
def test_no_wheel_requires_a_package_of_ours_without_its_version(wheels: Wheels) -> None:
    for wheel in wheels.folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as opened:
            (name,) = (each for each in opened.namelist() if each.endswith(".dist-info/METADATA"))
            metadata = email.message_from_bytes(opened.read(name))
        ours = [each for each in metadata.get_all("Requires-Dist", []) if each.startswith("authsec")]
        assert all(each.endswith(f"=={metadata['Version']}") for each in ours), wheel.name


@pytest.mark.soak
def test_the_server_is_built_from_its_source_distribution_alone(wheels: Wheels, tmp_path: Path) -> None:
    (source,) = wheels.folder.glob("authsec_server-*.tar.gz")
    done = run(UV, "build", "--wheel", "--out-dir", tmp_path, source, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (built,) = tmp_path.glob("*.whl")
    assert sha256(built.read_bytes()).digest() == sha256(wheels.of("authsec_server").read_bytes()).digest()


@pytest.mark.soak
def test_the_server_is_not_built_without_the_sdk(wheels: Wheels, tmp_path: Path) -> None:
    alone = shutil.copytree(ROOT / "packages/authsec-server", tmp_path / "authsec-server")
    done = run(UV, "build", "--wheel", "--out-dir", tmp_path, alone, cwd=tmp_path)
    assert done.returncode != 0
    assert "has no authsec, authsec-autogen, authsec-langchain." in " ".join(done.stderr.split())


@pytest.mark.soak
def test_uvx_serves_from_an_empty_folder(wheels: Wheels, tmp_path: Path) -> None:
    program = [UV, "tool", "run", "--from", wheels.of("authsec"), "--with", wheels.of("authsec_server"), "authsec"]
    started = Authority(program, tmp_path)
    try:
        listed = httpx2.get(f"{started.url}/authsec/sdk/", trust_env=False).json()["wheels"]
        assert [each["file"] for each in listed] == [wheels.of(name).name for name in SDK]
        for each in listed:
            assert sha256(httpx2.get(each["url"], trust_env=False).content).hexdigest() == each["sha256"]
        assert "customer-support" in started.authsec(
            "agents", "create", "Customer Support", "--platform", "unattested", "--json"
        )
    finally:
        started.http.close()
        started.end()


@pytest.mark.soak
def test_the_wheel_of_the_server_alone_installs_no_package_of_others(wheels: Wheels, tmp_path: Path) -> None:
    done = run(UV, "venv", "--quiet", tmp_path / "venv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = run(UV, "pip", "install", "--python", tmp_path / "venv", wheels.of("authsec_server"), cwd=tmp_path)
    assert done.returncode == 1
    assert "there is no version of authsec" in " ".join(done.stderr.split())
