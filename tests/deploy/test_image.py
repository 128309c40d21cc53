"""deploy/Dockerfile without a container engine: its script in a clean folder, and what it starts, as another user."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from authsec_server.settings import Settings
from free_ports import free_port

from ..environments import do_without, variables

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
UID = 10001
NO_INDEX = re.compile("No matching distribution|Could not find a version|[Cc]onnection|Name or service not known")


def instructions(name: str) -> list[str]:
    """What follows this instruction in the Dockerfile, once for each."""
    return re.findall(rf"^{name} (.*(?:\\\n.*)*)$", DOCKERFILE, re.MULTILINE)


def environment() -> dict[str, str]:
    """The variables that the image sets."""
    return dict(each.split("=", 1) for each in instructions("ENV"))


def test_the_image_has_no_private_registry_no_root_and_no_unknown_setting() -> None:
    assert {each.split(" ")[0] for each in instructions("FROM")} == {"python:3.13-slim-trixie"}
    assert instructions("USER") == [f"{UID}:{UID}"]
    ours = {each.removeprefix("AUTHSEC_SERVER_").lower() for each in environment() if each.startswith("AUTHSEC")}
    assert ours <= set(Settings.model_fields)
    assert instructions("EXPOSE") == [str(Settings().port)]
    assert f":{Settings().port}/healthz" in instructions("HEALTHCHECK")[0]


def test_the_builder_gets_what_the_image_copies_and_nothing_else() -> None:
    copied = {each.split(" ")[0] for each in instructions("COPY") if not each.startswith("--from")}
    kept = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert "*" in kept
    assert {each.removeprefix("!") for each in kept if each.startswith("!")} == copied


def interpreter() -> Path:
    """A Python with what the script needs, which another user may run too. Without one the test is skipped."""
    needs = "import ensurepip, pip, sys, venv; sys.exit(sys.version_info < (3, 11))"
    places = (Path(sys.base_prefix, "bin", "python3"), Path("/usr/local/bin/python3"), Path("/usr/bin/python3"))
    ready = (
        each
        for each in places
        if each.exists()
        and (os.getuid() != 0 or all(folder.stat().st_mode & stat.S_IXOTH for folder in each.resolve().parents))
        and subprocess.run([each, "-c", needs], capture_output=True, check=False).returncode == 0
    )
    return next(ready, None) or do_without("no Python with pip and venv is open to other users")


@pytest.fixture(scope="module")
def prefix() -> Iterator[Path]:
    """The folder that the script fills from a copy of the files that the Dockerfile copies, read-only.

    Another user has to reach it, which is not so below the temporary folder of pytest.
    """
    with tempfile.TemporaryDirectory(prefix="authsec-image-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        source = folder / "source"
        listed = subprocess.run(
            ["git", "ls-files", "-z", "pyproject.toml", "packages", "deploy/image-build.sh"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        for file in filter(None, listed.stdout.split("\0")):
            (source / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, source / file)
        made = folder / "authsec"
        (folder / "bin").mkdir()
        (folder / "bin" / "python3").symlink_to(interpreter().resolve())
        path = f"{folder / 'bin'}:/usr/local/bin:/usr/bin:/bin"
        done = subprocess.run(
            ["sh", source / "deploy" / "image-build.sh", made],
            cwd=folder, env=variables() | {"PATH": path}, capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip
        if done.returncode:
            assert NO_INDEX.search(done.stderr), done.stderr
            do_without(done.stderr)
        for each in [made, *made.rglob("*")]:
            if not each.is_symlink():
                each.chmod(each.stat().st_mode & ~0o222)
        try:
            yield made
        finally:
            for each in [made, *(each for each in made.rglob("*") if each.is_dir() and not each.is_symlink())]:
                each.chmod(0o755)


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder that other users may enter."""
    with tempfile.TemporaryDirectory(prefix="authsec-image-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.soak
def test_all_code_is_compiled_and_nothing_installs_packages(prefix: Path) -> None:
    (packages,) = prefix.glob("lib/python3*/site-packages")
    sources = [each for each in packages.rglob("*.py") if "authsec" in str(each.relative_to(packages))]
    assert len(sources) > 200
    assert [each for each in sources if not list(each.parent.glob(f"__pycache__/{each.stem}.*.pyc"))] == []
    assert not (packages / "pip").exists()
    assert not (prefix / "bin" / "pip").exists()


@pytest.mark.soak
def test_the_image_serves_as_another_user_from_a_read_only_folder(prefix: Path, elsewhere: Path) -> None:
    """The command, the variables and the check of the Dockerfile, with other folders and another port."""
    port = free_port()
    data = elsewhere / "data"
    data.mkdir(mode=0o700)
    as_user: dict[str, Any] = {}
    if os.getuid() == 0:
        shutil.chown(data, UID, UID)
        as_user = {"user": UID, "group": UID, "extra_groups": []}
    settings = {
        name: value.replace("/opt/authsec", str(prefix)).replace("/var/lib/authsec", str(data))
        for name, value in environment().items()
    }
    settings |= {"AUTHSEC_SERVER_PORT": str(port), "AUTHSEC_SERVER_PUBLIC_URL": f"http://127.0.0.1:{port}"}
    before = {each: each.lstat().st_mtime_ns for each in prefix.rglob("*")}
    command = json.loads(instructions("ENTRYPOINT")[0]) + json.loads(instructions("CMD")[0])
    log = elsewhere / "log"
    program = shutil.which(command[0], path=settings["PATH"])
    assert program == str(prefix / "bin" / "authsec")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, *command[1:]], cwd=data, env=settings, stdout=output, stderr=output, **as_user
        )
    try:
        until = time.monotonic() + 60
        while not is_ready(port):
            assert process.poll() is None, log.read_text("utf-8")
            assert time.monotonic() < until, log.read_text("utf-8")
            time.sleep(0.1)
        wheels = httpx2.get(f"http://127.0.0.1:{port}/authsec/sdk/", trust_env=False).json()["wheels"]
        assert len(wheels) == 3
        check = json.loads(instructions("HEALTHCHECK")[0].partition("CMD ")[2])
        check = [each.replace(":7468/", f":{port}/") for each in check]
        subprocess.run(check, env=settings, cwd=data, check=True, timeout=20, **as_user)
        assert (data / "authsec.sqlite3").stat().st_mode & 0o777 == 0o600
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0
        assert {each: each.lstat().st_mtime_ns for each in prefix.rglob("*")} == before
    finally:
        process.kill()
        process.wait()


def is_ready(port: int) -> bool:
    with suppress(httpx2.TransportError):
        return httpx2.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code == 200
    return False
