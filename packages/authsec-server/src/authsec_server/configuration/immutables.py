"""Values that a document cannot change: slugs and kinds.

A disabled entity also stays disabled, unless the document enables it.
"""

from __future__ import annotations

from typing import Final

from authsec_server import naming
from authsec_server.failures import Invalid

STAYS_OFF: Final = "This entry is disabled and stays disabled, because the document does not have `enabled: true`."


def new_slug(text: str) -> str:
    """Return the slug of a new entity. Raises `Invalid` if the text is not a slug, but for example a name."""
    if naming.is_slug(text):
        return text
    remedy = "e.g. customer-support"
    if text.isascii() and any(map(str.isalnum, text)):
        remedy = f"Use the slug {naming.slug_of('slug', text)}, and write name: {text} below it."
    raise Invalid("slug", "This is not a slug: use 1 to 63 lower-case letters, digits or hyphens.", remedy)


def require_kind(held: str, asked: str, *, told: str) -> None:
    """Raise `Invalid` if the document changes the kind of an entity. `told` describes the current kind."""
    if held != asked:
        raise Invalid(
            "kind", f"This entry is {told}, and its kind cannot be changed.", "Use another slug for the new entry."
        )
