"""A folder with small files in place of the SDK's wheels, as the build puts them into the server's wheel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

FILES: Mapping[str, bytes] = {
    "authsec-1.2.0+authsec-py3-none-any.whl": b"the SDK",
    "authsec_autogen-1.2.0+authsec-py3-none-any.whl": b"for AutoGen",
    "authsec_langchain_sdk-1.2.0+authsec-py3-none-any.whl": b"for LangChain",
}


def fake_wheels(folder: Path, files: Mapping[str, bytes] = FILES) -> Path:
    """Write the files into a folder `built_in`."""
    made = folder / "built_in"
    made.mkdir()
    for name, content in files.items():
        (made / name).write_bytes(content)
    return made
