"""Parse a request into a verb on a resource, or a verb on a path that is not a resource.

The functions are pure: no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_VERBS: Final = {"POST": "create", "PUT": "update", "PATCH": "patch"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A parsed request: a verb, and the object or path that the verb applies to.

    - With `name`, the request is about one object.
    - With `resource` but no `name`, the request is about all objects of the resource.
    - With no `resource`, the request is about `path`.
    """

    verb: str
    path: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""


def parse(method: str, path: str) -> Asked:
    """Parse the method and path. Does not check whether the resource exists."""
    parts = path.strip("/").split("/")
    if parts[:2] == ["api", "v1"]:
        group, rest = "", parts[2:]
    elif parts[0] == "apis" and len(parts) > 3 and parts[2] == "v1":
        group, rest = parts[1], parts[3:]
    else:
        return Asked(verb=method.lower(), path=path)
    if not rest or not all(rest):
        return Asked(verb=method.lower(), path=path)
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        # For authorisation, the namespace of a namespace object is the namespace itself.
        rest = rest[2:] or rest
    if len(rest) > 3:
        return Asked(verb=method.lower(), path=path)
    resource, name, subresource = (*rest, "", "")[:3]
    return Asked(
        verb=_verb(method, name),
        path=path,
        group=group,
        resource=resource,
        subresource=subresource,
        namespace=namespace,
        name=name,
    )


def _verb(method: str, name: str) -> str:
    if method in ("GET", "HEAD"):
        return "get" if name else "list"
    if method == "DELETE":
        return "delete" if name else "deletecollection"
    return _VERBS.get(method, method.lower())
