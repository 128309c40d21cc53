"""The selectors of each platform: which keys there are, what each identifies, which values it can have. Pure.

The vocabulary is SPIRE's. A key that ends in a colon is completed by the caller: `k8s:pod-label:` + `app`. Whether a
selector can be proved, and how, is `attestation`'s knowledge.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from authsec_server.clients.model import Platform, Selector
from authsec_server.failures import Invalid
from authsec_server.naming import quoted

MAX_SELECTORS = 32
MAX_VALUE = 255

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"  # RFC 1123 section 2.1
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"  # the name part of a Kubernetes label, and its value
_NO_SPACE = r"\S+"
_UNIX_ID = r"0|[1-9][0-9]{0,9}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectorKey:
    """A key that a platform knows. `parameter` is what completes a key that ends in a colon, as shown to people.

    `meant_by` are spellings that people try; they are not accepted, only answered with this key.
    """

    key: str
    identifies: str
    value: str = _NO_SPACE  # a regular expression for the whole value
    value_is: str = "text without spaces"
    parameter: str = ""
    parameter_pattern: str = ""
    meant_by: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The key as documentation writes it: `k8s:pod-label:<key>`."""
        return f"{self.key}<{self.parameter}>" if self.parameter else self.key

    def fits(self, key: str) -> bool:
        """Whether `key` is this key, completed where it must be."""
        if not self.parameter:
            return key == self.key
        return key.startswith(self.key) and re.fullmatch(self.parameter_pattern, key[len(self.key) :]) is not None


_IS_LABEL = "an RFC 1123 label: up to 63 lower-case letters, digits or hyphens"
_IS_SUBDOMAIN = "an RFC 1123 name: lower-case letters, digits, '-' and '.'"

KUBERNETES = (
    SelectorKey(
        key="k8s:ns",
        identifies="the pod's namespace",
        value=_LABEL,
        value_is=_IS_LABEL,
        meant_by=("k8s:namespace",),
    ),
    SelectorKey(
        key="k8s:sa",
        identifies="the pod's service account",
        value=_SUBDOMAIN,
        value_is=_IS_SUBDOMAIN,
        meant_by=("k8s:serviceaccount", "k8s:service-account"),
    ),
    SelectorKey(key="k8s:pod-name", identifies="one pod by its name", value=_SUBDOMAIN, value_is=_IS_SUBDOMAIN),
    SelectorKey(
        key="k8s:pod-uid",
        identifies="one pod by its uid: a pod that replaces it is another",
        value=r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}",  # the second form: static pods
        value_is="a uid as `kubectl get pod -o jsonpath={.metadata.uid}` shows it",
    ),
    SelectorKey(key="k8s:node-name", identifies="the node the pod runs on", value=_SUBDOMAIN, value_is=_IS_SUBDOMAIN),
    SelectorKey(
        key="k8s:pod-label:",
        parameter="key",
        parameter_pattern=rf"({_SUBDOMAIN}/)?{_QUALIFIED}",
        identifies="the value of a label of the pod",
        value=_QUALIFIED,
        value_is="a label's value: up to 63 letters, digits, '-', '_' and '.'",
    ),
    SelectorKey(
        key="k8s:pod-owner:",
        parameter="kind",
        parameter_pattern=r"[A-Z][A-Za-z0-9]{0,62}",
        identifies="the object that owns the pod, by its kind (such as ReplicaSet) and name",
        value=_SUBDOMAIN,
        value_is=_IS_SUBDOMAIN,
    ),
    SelectorKey(
        key="k8s:container-name", identifies="a container of the pod by its name", value=_LABEL, value_is=_IS_LABEL
    ),
    SelectorKey(
        key="k8s:container-image", identifies="the image of a container of the pod", meant_by=("k8s:pod-image",)
    ),
)
DOCKER = (
    SelectorKey(
        key="docker:label:",
        parameter="key",
        parameter_pattern=r"[A-Za-z0-9][A-Za-z0-9._/-]{0,126}",
        identifies="the value of a label of the container",
        value=r".+",
        value_is="text",
    ),
    SelectorKey(
        key="docker:env:",
        parameter="key",
        parameter_pattern=r"[A-Za-z_][A-Za-z0-9_.-]{0,126}",
        identifies="the value of an environment variable of the container; never put a secret here",
        value=r".+",
        value_is="text",
    ),
    SelectorKey(key="docker:image_id", identifies="the image that the container was started from"),
)
UNIX = (
    SelectorKey(
        key="unix:uid", identifies="the process's user id", value=_UNIX_ID, value_is="a user id in digits, e.g. 1000"
    ),
    SelectorKey(
        key="unix:gid", identifies="the process's group id", value=_UNIX_ID, value_is="a group id in digits, e.g. 1000"
    ),
    SelectorKey(key="unix:user", identifies="the process's user by name"),
    SelectorKey(key="unix:group", identifies="the process's group by name"),
    SelectorKey(
        key="unix:path",
        identifies="the program's file",
        value=r"(/(?!\.{1,2}(/|$))[^/]+)+",
        value_is="an absolute path without '.', '..' or doubled slashes",
    ),
    SelectorKey(
        key="unix:sha256",
        identifies="the program's file by the SHA-256 of its content",
        value=r"[0-9a-f]{64}",
        value_is="64 lower-case hexadecimal digits",
    ),
)
KEYS: dict[Platform, tuple[SelectorKey, ...]] = {
    Platform.KUBERNETES: KUBERNETES,
    Platform.DOCKER: DOCKER,
    Platform.UNIX: UNIX,
}
"""The platforms that are recognised by selectors, and the keys of each."""


def parse_selectors(platform: Platform, pairs: Sequence[tuple[str, str]]) -> tuple[Selector, ...]:
    """The selectors that identify a workload on `platform`, in the order given; all must hold at once.

    Raises `Invalid` for `selectors` or, by its position, for the one that breaks a rule. Nothing to check means no: a
    platform with selectors needs at least one.
    """
    require_fitting_number(platform, len(pairs))
    selectors = tuple(parse_selector(f"selectors.{index}", platform, *pair) for index, pair in enumerate(pairs))
    for index, selector in enumerate(selectors):
        require_new(f"selectors.{index}", selector, selectors[:index])
    return selectors


def require_fitting_number(platform: Platform, number: int) -> None:
    """Raise `Invalid` unless the platform can have so many selectors."""
    known = KEYS.get(platform, ())
    if not known and number:
        raise Invalid("selectors", f"{platform.shown} has no selectors.", "Leave them out, or name the platform.")
    if known and not number:
        raise Invalid(
            "selectors",
            f"{platform.shown} needs at least one selector: without any, nothing would identify the workload.",
            f"Known keys: {', '.join(key.shown for key in known)}",
        )
    if number > MAX_SELECTORS:
        raise Invalid("selectors", f"There are more than {MAX_SELECTORS} selectors.")


def parse_selector(field: str, platform: Platform, key: str, value: str) -> Selector:
    """The one selector. Raises `Invalid` for `field`."""
    known = known_key(platform, key)
    if known is None:
        raise _unknown(field, platform, key)
    if not 1 <= len(value) <= MAX_VALUE or not value.isprintable() or value != value.strip():
        raise Invalid(
            field,
            f"The value of {key} must have 1 to {MAX_VALUE} visible characters, without spaces around them.",
            f"It is {known.value_is}.",
        )
    if not re.fullmatch(known.value, value):
        raise Invalid(
            field, f"{quoted(value)} cannot be the value of {key} ({known.identifies}).", f"It is {known.value_is}."
        )
    return Selector(key=key, value=value)


def require_new(field: str, selector: Selector, before: Iterable[Selector]) -> None:
    """Raise `Invalid` for `field` if the selector's key stands among those before it."""
    if any(selector.key == other.key for other in before):
        raise Invalid(field, f"{selector.key} is given twice.", "All selectors hold at once: give each key once.")


def known_key(platform: Platform, key: str) -> SelectorKey | None:
    """What the platform knows the key as, if it does."""
    return next((each for each in KEYS.get(platform, ()) if each.fits(key)), None)


def nearest_key(platform: Platform, key: str) -> SelectorKey:
    """The platform's key that reads most like this one. Only for a platform that has selectors."""
    by_text = {spelling: each for each in KEYS[platform] for spelling in (each.key, *each.meant_by)}
    # Its length is bounded first: the comparison costs the product of both.
    (nearest,) = get_close_matches(key[:100].lower(), by_text, n=1, cutoff=0)
    return by_text[nearest]


def _unknown(field: str, platform: Platform, key: str) -> Invalid:
    if platform not in KEYS:
        return Invalid(field, f"{platform.shown} has no selectors.", "Leave it out.")
    for other, keys in KEYS.items():
        if other is not platform and any(each.fits(key) for each in keys):
            return Invalid(field, f"{quoted(key)} is a selector of {other.shown}, not of {platform.shown}.")
    for known in KEYS[platform]:
        if known.parameter and key.rstrip(":") == known.key.rstrip(":"):
            return Invalid(field, f"{quoted(key)} does not say which {known.parameter}.", f"Write {known.shown}.")
        if known.parameter and key.startswith(known.key):
            return Invalid(field, f"{quoted(key)} has no valid {known.parameter} behind {known.key}")
    return Invalid(
        field,
        f"{quoted(key)} is no selector of {platform.shown}; the nearest is {nearest_key(platform, key).shown}.",
        f"Known keys: {', '.join(each.shown for each in KEYS[platform])}",
    )
