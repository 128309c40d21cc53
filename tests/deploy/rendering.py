"""Render folders with kustomize, and validate each object strictly. The environment of packages.txt runs this program.

python rendering.py LIBRARY FOLDER…        prints {FOLDER: {"objects": […], "problems": […], "not_checked": […]}}
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any

import kubernetes_validate
import yaml

OLDEST, NEWEST = "1.30", "1.37"
CUSTOM = "monitoring.coreos.com/"  # the Prometheus Operator's, whose schema is in the cluster


def build(library: ctypes.CDLL, folder: str) -> list[dict[str, Any]]:
    """The objects that `kustomize build` prints."""
    library.pykustomize_last_error.restype = ctypes.c_char_p
    result = ctypes.c_char_p()
    if library.pykustomize_build(folder.encode(), b"{}", ctypes.byref(result)) != 0:
        raise SystemExit(f"{folder}: {library.pykustomize_last_error().decode()}")
    return [each for each in yaml.safe_load_all(result.value or b"") if each]


def checked(objects: list[dict[str, Any]]) -> dict[str, Any]:
    problems, not_checked = [], []
    for each in objects:
        if each["apiVersion"].startswith(CUSTOM):
            not_checked.append(each["kind"])
            continue
        for version in (OLDEST, NEWEST):
            try:
                kubernetes_validate.validate(each, version, strict=True)
            except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
                problems.append(f"{each['kind']} {each['metadata']['name']}, Kubernetes {version}: {error}")
    return {"objects": objects, "problems": problems, "not_checked": not_checked}


loaded = ctypes.CDLL(sys.argv[1])
json.dump({folder: checked(build(loaded, folder)) for folder in sys.argv[2:]}, sys.stdout)
