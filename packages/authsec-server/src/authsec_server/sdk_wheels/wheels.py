"""The wheels of the SDK with their hashes, read once, and the requirements that name them by URL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final
from urllib.parse import quote

PATH: Final = "/authsec/sdk"
AUTHSEC: Final = "authsec"
AUTOGEN_PACKAGE: Final = "authsec-autogen"
PACKAGES: Final = (AUTHSEC, AUTOGEN_PACKAGE, "authsec-langchain-sdk")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A wheel of the SDK. `sha256` is the hash of `content` in hexadecimal digits."""

    name: str
    version: str
    file: str
    sha256: str
    content: bytes = field(repr=False)


@cache
def built_in_wheels() -> Sequence[Wheel]:
    """Read the wheels in this package, once per process. A source checkout has none."""
    return load_wheels(files("authsec_server.sdk_wheels") / "built_in")


def load_wheels(folder: Traversable | Path) -> Sequence[Wheel]:
    """Read the wheels of the SDK in the folder, in the order of `PACKAGES`.

    Return nothing if the folder or one of the packages is missing: an agent needs wheels of one release.
    """
    found = [_wheel(each) for each in folder.iterdir() if each.name.endswith(".whl")] if folder.is_dir() else []
    by_name = {wheel.name: wheel for wheel in found}
    return [by_name[name] for name in PACKAGES] if by_name.keys() >= set(PACKAGES) else []


def _wheel(file: Traversable | Path) -> Wheel:
    name, version = file.name.split("-")[:2]  # binary distribution format: the name has no hyphen
    content = file.read_bytes()
    return Wheel(
        name=name.replace("_", "-"),
        version=version,
        file=file.name,
        sha256=sha256(content).hexdigest(),
        content=content,
    )


class SdkWheels:
    """The wheels of this server, with their URLs. `issuer` is the public URL of the server's settings."""

    def __init__(self, wheels: Iterable[Wheel], *, issuer: str) -> None:
        self.wheels = {wheel.name: wheel for wheel in wheels}
        self._issuer = issuer

    def __bool__(self) -> bool:
        """Whether this server has the wheels. A server in a source checkout has none."""
        return bool(self.wheels)

    @property
    def program(self) -> str:
        """Return how a person starts the command `authsec`. Without wheels, the server runs from a checkout."""
        return "authsec" if self else "uv run authsec"

    def url(self, wheel: Wheel) -> str:
        """Return the URL of the wheel on this server. The `+` of the version is quoted: some servers read a space."""
        return f"{self._issuer}{PATH}/{quote(wheel.file)}"

    def requirement(self, name: str, extra: str = "") -> str:
        """Return the requirement for pip and uv that names the wheel by URL and hash (PEP 508).

        Raises `KeyError` if there is no such wheel.
        """
        wheel = self.wheels[name]
        return f"{name}{f'[{extra}]' if extra else ''} @ {self.url(wheel)}#sha256={wheel.sha256}"
