"""The build backend of this package: uv_build, which also gets the wheels of the SDK.

The authority serves these wheels to agents (`authsec_server.sdk_wheels`). In the public index, packages of these names
belong to other people. An editable install has no such wheels: they would not have the latest changes of the checkout.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import uv_build
from uv_build import (
    build_editable,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

SDK = ("authsec", "authsec-autogen", "authsec-langchain")  # folders beside this package
BUILT_IN = Path("src/authsec_server/sdk_wheels/built_in")


def build_wheel(
    wheel_directory: str, config_settings: Mapping[Any, Any] | None = None, metadata_directory: str | None = None
) -> str:
    """Build the wheel of the server with the wheels of the SDK (PEP 517)."""
    target = os.path.abspath(wheel_directory)
    metadata = metadata_directory and os.path.abspath(metadata_directory)
    with _with_sdk_wheels():
        return uv_build.build_wheel(target, config_settings, metadata)


def build_sdist(sdist_directory: str, config_settings: Mapping[Any, Any] | None = None) -> str:
    """Build the source distribution of the server with the wheels of the SDK (PEP 517)."""
    target = os.path.abspath(sdist_directory)
    with _with_sdk_wheels():
        return uv_build.build_sdist(target, config_settings)


@contextmanager
def _with_sdk_wheels() -> Iterator[None]:
    """Change to a copy of this package with the wheels of the SDK.

    A copy, because an interrupted build must leave no wheels in the checkout: its servers would serve old code. The
    source distribution has the wheels already, and no folders of the SDK beside it.
    """
    here = Path.cwd()
    if (here / BUILT_IN).is_dir():
        yield
        return
    if missing := [name for name in SDK if not (here.parent / name / "pyproject.toml").is_file()]:
        raise SystemExit(
            f"The wheel of the server contains the wheels of the SDK, and {here.parent} has no {', '.join(missing)}. "
            "Build in a whole clone, or from the source distribution."
        )
    with tempfile.TemporaryDirectory(prefix="authsec-build-") as folder:
        copy = Path(folder, here.name)
        shutil.copytree(here, copy, ignore=shutil.ignore_patterns("__pycache__", ".venv*", "dist", "tests"))
        (copy / BUILT_IN).mkdir()
        for name in SDK:
            with chdir(here.parent / name):
                uv_build.build_wheel(str(copy / BUILT_IN))
        with chdir(copy):
            yield
