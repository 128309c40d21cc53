"""The object store of the cluster: JSON objects with the metadata that the API server adds."""

from __future__ import annotations

import copy
import itertools
import re
import secrets
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from authsec_demo.cluster.resources import Resource
from authsec_demo.cluster.statuses import already_exists, bad_request, invalid, not_found

Json = dict[str, Any]
Clock = Callable[[], float]

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.:]*[a-z0-9])?")
_NAME_RULE: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
# The letters of generated names. Without vowels, no word appears by chance.
_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"


class Objects:
    """All objects of the cluster, by resource, namespace and name.

    Methods copy their arguments and results, so callers cannot change a stored object.
    """

    def __init__(self, now: Clock) -> None:
        self.now = now
        self._lock = threading.RLock()
        self._objects: dict[tuple[str, str, str, str], Json] = {}
        self._versions = itertools.count(1)

    def create(self, resource: Resource, namespace: str, given: Mapping[str, Any]) -> Json:
        """Store a new object. Raises `Refusal` if the name is taken or invalid."""
        made = copy.deepcopy(dict(given))
        metadata = made.setdefault("metadata", {})
        name = metadata.get("name") or _generated(metadata.get("generateName", ""))
        if not _NAME.fullmatch(name):
            raise invalid(resource.kind, name, resource.group, "metadata.name", name, _NAME_RULE)
        with self._lock:
            if self._key(resource, namespace, name) in self._objects:
                raise already_exists(resource.plural, name, resource.group)
            metadata.update(name=name, uid=str(uuid.uuid4()), creationTimestamp=self.timestamp())
            if resource.namespaced:
                metadata["namespace"] = namespace
            made = {"kind": resource.kind, "apiVersion": resource.api_version, **made}
            self._keep(resource, namespace, name, made)
            return copy.deepcopy(made)

    def get(self, resource: Resource, namespace: str, name: str) -> Json:
        """Return the object. Raises `Refusal` if it does not exist."""
        with self._lock:
            return copy.deepcopy(self._found(resource, namespace, name))

    def find(self, resource: Resource, namespace: str, name: str) -> Json | None:
        """Return the object, or None if it does not exist."""
        with self._lock:
            return copy.deepcopy(self._objects.get(self._key(resource, namespace, name)))

    def list(self, resource: Resource, namespace: str = "", labels: str = "") -> list[Json]:
        """Return the objects of a resource, in one namespace or in all of them.

        With `labels` (for example `a=b,c=d`), return only the objects that have all these labels. Raises `Refusal`
        for a label selector in another form.
        """
        wanted = _labels(labels)
        with self._lock:
            return [copy.deepcopy(each) for each in self._each(resource, namespace) if _has(each, wanted)]

    def patch(self, resource: Resource, namespace: str, name: str, change: Mapping[str, Any]) -> Json:
        """Merge `change` into the object as a JSON Merge Patch (RFC 7396), and return the changed object.

        Raises `Refusal` if the object does not exist.
        """
        with self._lock:
            found = self._found(resource, namespace, name)
            kept = {each: found["metadata"][each] for each in ("name", "uid", "creationTimestamp")}
            patched = _merged(found, change)
            patched["metadata"].update(kept)
            self._keep(resource, namespace, name, patched)
            return copy.deepcopy(patched)

    def delete(self, resource: Resource, namespace: str, name: str) -> Json:
        """Delete the object and return it. Raises `Refusal` if it does not exist."""
        with self._lock:
            found = self._found(resource, namespace, name)
            del self._objects[self._key(resource, namespace, name)]
            return found

    def timestamp(self, seconds_from_now: float = 0) -> str:
        """Return the current time plus `seconds_from_now`, as RFC 3339 in UTC and in whole seconds."""
        return datetime.fromtimestamp(self.now() + seconds_from_now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _keep(self, resource: Resource, namespace: str, name: str, made: Json) -> None:
        made["metadata"]["resourceVersion"] = str(next(self._versions))
        self._objects[self._key(resource, namespace, name)] = made

    def _found(self, resource: Resource, namespace: str, name: str) -> Json:
        try:
            return self._objects[self._key(resource, namespace, name)]
        except KeyError:
            raise not_found(resource.plural, name, resource.group) from None

    def _each(self, resource: Resource, namespace: str) -> Iterator[Json]:
        for (group, plural, where, _), each in sorted(self._objects.items()):
            if (group, plural) == (resource.group, resource.plural) and namespace in ("", where):
                yield each

    @staticmethod
    def _key(resource: Resource, namespace: str, name: str) -> tuple[str, str, str, str]:
        return resource.group, resource.plural, namespace if resource.namespaced else "", name


def generated_suffix() -> str:
    """Return five random letters or digits. The API server appends such a suffix to a `generateName`."""
    return "".join(secrets.choice(_LETTERS) for _ in range(5))


def _generated(beginning: str) -> str:
    return beginning + generated_suffix() if beginning else ""


def _labels(text: str) -> dict[str, str]:
    pairs = [part.replace("==", "=").partition("=") for part in text.split(",") if part]
    if not all(equals and not name.endswith("!") for name, equals, _ in pairs):
        raise bad_request("this simulated cluster supports only label selectors of the form a=b,c=d")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _has(each: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    has = each["metadata"].get("labels") or {}
    return labels.items() <= has.items()


def _merged(old: Any, change: Any) -> Any:
    if not isinstance(change, Mapping):
        return copy.deepcopy(change)
    merged = dict(old) if isinstance(old, Mapping) else {}
    for name, value in change.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return merged
