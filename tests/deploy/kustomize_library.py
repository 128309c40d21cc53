"""The library of kustomize, installed once a user and kept, as `environments.python_with` does with packages."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from ..environments import do_without

PIN = Path(__file__).with_name("kustomize.txt")


def library() -> Path:
    """The shared library for this machine. Without a package index the test is skipped; in CI it fails."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "authsec-tests")
    folder = cache / f"kustomize-{hashlib.sha256(PIN.read_bytes()).hexdigest()[:16]}"
    if not folder.exists():
        _install(folder)
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, "unknown")
    found = list(folder.glob(f"pykustomize/_lib/*-{machine}/libpykustomize.*"))
    return next((each for each in found if each.suffix in {".so", ".dylib"}), None) or do_without(
        f"{PIN.name} has no library for {os.uname().machine}"
    )


def _install(folder: Path) -> None:
    uv = os.environ.get("UV") or shutil.which("uv") or "uv"
    building = folder.with_name(f"{folder.name}.{os.getpid()}")
    building.mkdir(parents=True)
    # With another version than this Python's: see the pin.
    command = [
        uv,
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--python-version",
        "3.14",
        "--target",
        building,
        "-r",
        PIN,
    ]
    done = subprocess.run([*command, "-r", PIN], cwd=folder.parent, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shutil.rmtree(building)
        do_without(done.stderr)
    try:
        building.rename(folder)
    except OSError:  # another worker was quicker
        shutil.rmtree(building)
