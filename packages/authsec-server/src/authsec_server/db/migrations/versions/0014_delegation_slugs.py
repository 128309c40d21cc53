"""Slugs of trust delegations. Those that are there get theirs made of client and role, what is not revoked first."""

from itertools import count

from alembic import op
from authsec_server.naming import is_uuid
from sqlalchemy import Column, String, text

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

LONGEST = 63


def upgrade() -> None:
    op.add_column("delegations", Column("slug", String(LONGEST)))
    taken: set[str] = set()
    rows = []
    for row in op.get_bind().execute(
        text(
            "SELECT d.id, c.slug AS client, r.slug AS role FROM delegations d"
            " JOIN clients c ON c.id = d.client_id JOIN roles r ON r.id = d.role_id"
            " ORDER BY CASE WHEN d.revoked_at IS NULL THEN 0 ELSE 1 END, d.created_at, d.id"
        )
    ):
        slug = _made(f"{row.client}-{row.role}", taken)
        taken.add(slug)
        rows.append({"id": row.id, "slug": slug})
    if rows:
        op.get_bind().execute(text("UPDATE delegations SET slug = :slug WHERE id = :id"), rows)
    op.create_index("uq_delegations_slug", "delegations", ["slug"], unique=True)
    op.drop_index("ix_delegations_created_at", "delegations")
    parties, state = ["role_id", "client_id", "target_type"], ["enabled", "revoked_at", "ends_at"]
    op.create_index("ix_delegations_created_at", "delegations", ["created_at", "id", *parties, *state, "slug"])


def _made(stem: str, taken: set[str]) -> str:
    """As `delegations/slugs.py` made them when this was written."""
    slug = stem[:LONGEST].rstrip("-")
    numbers = count(2)
    while slug in taken or is_uuid(slug):
        number = next(numbers)
        slug = f"{stem[: LONGEST - len(f'-{number}')].rstrip('-')}-{number}"
    return slug
