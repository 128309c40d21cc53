"""Validate display names, slugs, descriptions and ids. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from authsec_server.failures import Conflict, Invalid
from authsec_server.suggest import told_nearest

T = TypeVar("T")

MAX_NAME = 120
MAX_TEXT = 2000
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def name(field: str, value: str) -> str:
    """Return the display name in NFC: one line of 1 to 120 visible characters. Raises `Invalid`."""
    cleaned = unicodedata.normalize("NFC", value).strip()
    if not cleaned:
        raise Invalid(field, f"{field} must not be empty.")
    if len(cleaned) > MAX_NAME:
        raise Invalid(field, f"{field} must have 1 to {MAX_NAME} characters.")
    _refuse_unseen(field, cleaned)
    return cleaned


def is_name(value: str) -> bool:
    """Whether `value` is a valid display name in NFC. Callers look up only valid names."""
    try:
        return name("name", value) == value
    except Invalid:
        return False


def text(field: str, value: str) -> str:
    """Return the description in NFC: at most 2000 characters, no control characters except line breaks.

    Raises `Invalid`.
    """
    cleaned = unicodedata.normalize("NFC", value).strip()
    if len(cleaned) > MAX_TEXT:
        raise Invalid(field, f"{field} must have at most {MAX_TEXT} characters.")
    _refuse_unseen(field, cleaned.replace("\n", "").replace("\r", ""))
    return cleaned


def slug(field: str, value: str) -> str:
    """Return the slug unchanged: lower-case letters, digits and hyphens, but not a UUID. Raises `Invalid`."""
    if not is_slug(value):
        raise Invalid(field, f"{field} must be 1 to 63 lower-case letters, digits or hyphens.", "e.g. customer-support")
    return value


def slug_of(field: str, display_name: str) -> str:
    """Derive a slug from a display name: `Customer Support` becomes `customer-support`. Raises `Invalid`."""
    plain = unicodedata.normalize("NFKD", display_name).encode("ascii", "ignore").decode().lower()
    made = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:63].rstrip("-")
    if not made or is_uuid(made):
        raise Invalid(
            field, f"No slug can be made from {display_name!r}.", "Give a slug: lower-case letters, digits and hyphens."
        )
    return made


def chosen_slug(given: str | None, display_name: str) -> str:
    """Return the given slug, or else the slug derived from the unverified display name. Raises `Invalid`."""
    return slug_of("slug", name("name", display_name)) if given is None else slug("slug", given)


def meant(asked: str, near: Callable[[str], Collection[str]], otherwise: str) -> str:
    """Return a hint for the unknown slug `asked`, for example the slug of a display name that somebody typed.

    `near` returns existing slugs that are similar to a slug. `otherwise` is the hint if no slug is similar.
    """
    try:
        slug = slug_of("slug", asked)
    except Invalid:  # `asked` looks like no slug, for example because it is an id
        return otherwise
    slugs = near(slug)
    return (
        f"Names are not accepted here; the slug is {slug}." if slug in slugs else told_nearest(slug, slugs, otherwise)
    )


def is_slug(value: str) -> bool:
    """Whether `value` is a valid slug. Callers look up only valid slugs: PostgreSQL, for example, rejects a NUL."""
    return _SLUG.fullmatch(value) is not None and not is_uuid(value)


def is_uuid(value: str) -> bool:
    """Whether this is a UUID in its canonical form (RFC 9562 section 4: lower-case hex, hyphens)."""
    return _UUID.fullmatch(value) is not None


def only_one(found: Sequence[T], called: str) -> T | None:
    """Return the only object with this id or slug, or None if there is none. Raises `Conflict` for several objects.

    A unique index prevents several objects. But a person with write access to the database can change the index.
    """
    if len(found) > 1:
        raise Conflict(
            f"The slug {quoted(called)} belongs to {len(found)} rows of the database.",
            "Give the id. `authsec audit verify` lists the rows.",
        )
    return next(iter(found), None)


def folded(value: str) -> str:
    """Return the text in Unicode's case folding, for comparing, searching and sorting.

    The server folds the text and stores the result: SQLite folds only ASCII, and PostgreSQL folds by its locale.
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", value).casefold())


def quoted(value: str) -> str:
    """Quote a caller's value for a message: one line, no invisible characters, at most 80 characters of the value."""
    return repr(value if len(value) <= 80 else f"{value[:79]}…")


def _refuse_unseen(field: str, value: str) -> None:
    # Cc: terminal escapes and log forging. Cf: bidi overrides, which display another name. Cs, Co, Cn: not text.
    if any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} for char in value):
        raise Invalid(field, f"{field} has control or invisible characters.", "Remove them.")
