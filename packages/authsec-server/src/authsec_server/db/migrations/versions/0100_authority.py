"""The first schema: who may do what.

Names of keys and constraints come from the naming convention of `db/schema.py`.
"""

from typing import Any

from alembic import op
from authsec_server.db.schema import Instant
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    true,
)

revision = "0100"  # lower numbers belong to versions before the first release
down_revision = None
branch_labels = None
depends_on = None
oldest_release = "0.1.0"

ByCodePoint = Text().with_variant(Text(collation="C"), "postgresql")


def upgrade() -> None:
    _administrators()
    _apis_and_roles()
    _clients()
    _delegations()
    _authority_and_keys()
    _revocations()


def _revised() -> tuple[Column[Any], ...]:
    return (
        Column("revision", Integer, nullable=False, server_default="1"),
        Column("changed_at", Instant),
        Column("changed_by", Text),
    )


def _administrators() -> None:
    op.create_table(
        "administrators",
        Column("id", String(36), primary_key=True),
        Column("email", String(254), unique=True, nullable=False),
        Column("name", Text, nullable=False),
        Column("role", String(10), nullable=False),
        Column("password_hash", Text),
        Column("issuer", Text),
        Column("subject", String(255)),
        Column("created_at", Instant, nullable=False),
        Column("last_sign_in_at", Instant),
        Column("disabled_at", Instant),
        *_revised(),
        UniqueConstraint("issuer", "subject", name="uq_administrators_issuer_subject"),
    )
    op.create_table(
        "sessions",
        Column("id", String(36), primary_key=True),
        Column("cookie_sha256", String(64), unique=True, nullable=False),
        Column("administrator_id", String(36), ForeignKey("administrators.id"), nullable=False),
        Column("method", String(10), nullable=False),
        Column("created_at", Instant, nullable=False),
        Column("last_seen_at", Instant, nullable=False),
        Column("address", String(45), nullable=False),
        Column("user_agent", Text, nullable=False),
        Column("ended_at", Instant),
    )
    op.create_index("ix_sessions_administrator_id", "sessions", ["administrator_id"])
    op.create_table(
        "setup_links",
        Column("id", String(36), primary_key=True),
        Column("code_sha256", String(64), unique=True, nullable=False),
        Column("purpose", String(20), nullable=False),
        Column("administrator_id", String(36), ForeignKey("administrators.id")),
        Column("created_at", Instant, nullable=False),
        Column("expires_at", Instant, nullable=False),
        Column("used_at", Instant),
        Column("voided_at", Instant),
    )
    op.create_index("ix_setup_links_administrator_id", "setup_links", ["administrator_id"])
    op.create_table(
        "admin_keys",
        Column("id", String(36), primary_key=True),
        Column("name", Text, unique=True, nullable=False),
        Column("role", String(10), nullable=False),
        Column("key_sha256", String(64), unique=True, nullable=False),
        Column("created_at", Instant, nullable=False),
        Column("expires_at", Instant),
        Column("last_used_at", Instant),
        Column("revoked_at", Instant),
    )


def _apis_and_roles() -> None:
    op.create_table(
        "apis",
        Column("id", String(36), primary_key=True),
        Column("slug", String(63), unique=True, nullable=False),
        Column("name", Text, nullable=False),
        Column("kind", String(20), nullable=False),
        Column("identifier", Text, unique=True, nullable=False),
        Column("description", Text, nullable=False),
        Column("created_at", Instant, nullable=False),
        *_revised(),
    )
    op.create_table(
        "api_actions",
        Column("api_id", String(36), ForeignKey("apis.id", ondelete="CASCADE"), primary_key=True),
        Column("action", String(127), primary_key=True),
        Column("description", Text, nullable=False),
    )
    op.create_table(
        "api_credentials",
        Column("id", String(36), primary_key=True),
        Column("api_id", String(36), ForeignKey("apis.id", ondelete="CASCADE"), nullable=False),
        Column("name", Text, nullable=False),
        Column("secret_sha256", String(64), unique=True, nullable=False),
        Column("created_at", Instant, nullable=False),
        Column("expires_at", Instant),
        Column("last_used_at", Instant),
        Column("revoked_at", Instant),
    )
    op.create_index("ix_api_credentials_api_id", "api_credentials", ["api_id"])
    op.create_table(
        "roles",
        Column("id", String(36), primary_key=True),
        Column("slug", String(63), unique=True, nullable=False),
        Column("name", Text, nullable=False),
        Column("description", Text, nullable=False),
        Column("created_at", Instant, nullable=False),
        *_revised(),
    )
    op.create_table(
        "role_actions",
        Column("role_id", String(36), ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True),
        Column("action", String(127), primary_key=True),
    )


def _clients() -> None:
    filtered = ["slug", "kind", "platform", "enabled", "provable_until", "unattested_until"]
    op.create_table(
        "trusted_issuers",
        Column("id", String(36), primary_key=True),
        Column("slug", String(63), unique=True, nullable=False),
        Column("name", Text, nullable=False),
        Column("kind", String(20), nullable=False),
        Column("issuer", Text, nullable=False),
        Column("configuration", JSON, nullable=False),
        *_revised(),
        Column("enabled", Boolean, nullable=False),
        Column("created_at", Instant, nullable=False),
    )
    op.create_index("ix_trusted_issuers_issuer", "trusted_issuers", ["issuer"])
    op.create_table(
        "trusted_issuer_keys",
        Column("trusted_issuer_id", String(36), ForeignKey("trusted_issuers.id", ondelete="CASCADE"), primary_key=True),
        Column("revision", Integer, nullable=False),
        Column("jwks", JSON),
        Column("fetched_at", Instant),
        Column("refresh_seconds", Integer),
        Column("failed_at", Instant),
        Column("failure", Text),
    )
    op.create_table(
        "clients",
        Column("id", String(36), primary_key=True),
        Column("slug", String(63), unique=True, nullable=False),
        Column("name", Text, nullable=False),
        Column("kind", String(20), nullable=False),
        Column("platform", String(20), nullable=False),
        Column("owner", Text, nullable=False),
        Column("description", Text, nullable=False),
        Column("labels", JSON, nullable=False),
        Column("enabled", Boolean, nullable=False),
        Column("created_at", Instant, nullable=False),
        *_revised(),
        Column("sort_name", ByCodePoint, nullable=False, server_default=""),
        Column("sort_owner", ByCodePoint, nullable=False, server_default=""),
        Column("provable_until", Instant),
        Column("unattested_until", Instant),
    )
    op.create_index("ix_clients_by_name", "clients", ["sort_name", "id", "sort_owner", *filtered])
    op.create_index("ix_clients_by_owner", "clients", ["sort_owner", "sort_name", "id", *filtered, "owner"])
    op.create_index("ix_clients_by_creation", "clients", ["created_at", "id", "sort_name", "sort_owner", *filtered])
    op.create_table(
        "client_labels",
        Column("client_id", String(36), ForeignKey("clients.id", ondelete="CASCADE"), primary_key=True),
        Column("name", String(63), primary_key=True),
        Column("value", Text, nullable=False),
    )
    op.create_index("ix_client_labels_name_value", "client_labels", ["name", "value", "client_id"])
    op.create_table(
        "proofs",
        Column("id", String(36), primary_key=True),
        Column("client_id", String(36), ForeignKey("clients.id", ondelete="CASCADE"), nullable=False),
        Column("kind", String(20), nullable=False),
        Column("trusted_issuer_id", String(36), ForeignKey("trusted_issuers.id")),
        Column("trusted_issuer_enabled", Boolean, nullable=False, server_default=true()),
        Column("selectors", JSON, nullable=False),
        Column("public_key", JSON),
        Column("thumbprint", String(43)),
        Column("secret_sha256", String(64)),
        Column("enrolled_by", Text),
        Column("machine", Text),
        Column("expires_at", Instant),
        Column("created_at", Instant, nullable=False),
    )
    op.create_index("ix_proofs_client_id", "proofs", ["client_id"])
    op.create_index("uq_proofs_thumbprint", "proofs", ["thumbprint"], unique=True)
    op.create_index("ix_proofs_trusted_issuer_id", "proofs", ["trusted_issuer_id"])
    op.create_index("ix_proofs_kind", "proofs", ["kind", "expires_at", "client_id"])
    op.create_table(
        "enrolments",
        Column("id", String(36), primary_key=True),
        Column("client_id", String(36), ForeignKey("clients.id", ondelete="CASCADE"), nullable=False),
        Column("code_sha256", String(64), unique=True, nullable=False),
        Column("hours", Integer, nullable=False),
        Column("made_by_kind", String(20), nullable=False),
        Column("made_by_id", String(36), nullable=False),
        Column("made_by_name", Text, nullable=False),
        Column("created_at", Instant, nullable=False),
        Column("expires_at", Instant, nullable=False),
    )
    op.create_index("ix_enrolments_client_id", "enrolments", ["client_id"])
    op.create_index("ix_enrolments_expires_at", "enrolments", ["expires_at"])
    op.create_table(
        "used_assertions",
        Column("client_id", String(36), primary_key=True),
        Column("jti_sha256", String(64), primary_key=True),
        Column("until", Instant, nullable=False),
    )
    op.create_index("ix_used_assertions_until", "used_assertions", ["until"])


def _delegations() -> None:
    op.create_table(
        "delegations",
        Column("id", String(36), primary_key=True),
        Column("slug", String(63)),
        Column("role_id", String(36), ForeignKey("roles.id"), nullable=False),
        Column("client_id", String(36), ForeignKey("clients.id"), nullable=False),
        Column("target_type", String(40), nullable=False),
        Column("actions", JSON, nullable=False),
        Column("max_duration", Integer, nullable=False),
        Column("audiences", JSON, nullable=False),
        Column("excluded_proofs", JSON, nullable=False),
        Column("ends_at", Instant),
        Column("enabled", Boolean, nullable=False),
        Column("revoked_at", Instant),
        Column("owner", Text, nullable=False),
        Column("description", Text, nullable=False),
        Column("created_at", Instant, nullable=False),
        *_revised(),
    )
    op.create_index("ix_delegations_client_id", "delegations", ["client_id"])
    op.create_index(
        "ix_delegations_role_id_created_at",
        "delegations",
        ["role_id", "created_at", "id", "enabled", "revoked_at", "ends_at"],
    )
    op.create_index("ix_delegations_ends_at", "delegations", ["ends_at", "id"])
    op.create_index("uq_delegations_slug", "delegations", ["slug"], unique=True)
    op.create_index(
        "ix_delegations_created_at",
        "delegations",
        ["created_at", "id", "role_id", "client_id", "target_type", "enabled", "revoked_at", "ends_at", "slug"],
    )
    op.create_table(
        "delegation_audiences",
        Column("delegation_id", String(36), ForeignKey("delegations.id", ondelete="CASCADE"), primary_key=True),
        Column("audience", Text, primary_key=True),
        Column("created_at", Instant, nullable=False),
    )
    op.create_index(
        "ix_delegation_audiences_audience", "delegation_audiences", ["audience", "created_at", "delegation_id"]
    )


def _authority_and_keys() -> None:
    op.create_table(
        "authority",
        Column("id", Integer, CheckConstraint("id = 1", name="one_row"), autoincrement=False, primary_key=True),
        Column("version", BigInteger, nullable=False),
        Column("issuer", Text),
        Column("checkpoints_file", Text),
    )
    op.execute("INSERT INTO authority (id, version) VALUES (1, 0)")
    op.create_table(
        "table_digests", Column("name", String(40), primary_key=True), Column("product", LargeBinary, nullable=False)
    )
    op.create_table(
        "signing_keys",
        Column("kid", String(43), primary_key=True),
        Column("state", String(10), nullable=False),
        Column("public_jwk", JSON, nullable=False),
        Column("sealed_private", LargeBinary),
        Column("created_at", Instant, nullable=False),
        Column("activated_at", Instant),
        Column("retired_at", Instant),
        Column("publish_until", Instant),
    )
    op.create_index("ix_signing_keys_state", "signing_keys", ["state"])
    op.create_table(
        "feed_keys",
        Column("kid", String(43), primary_key=True),
        Column("sealed_private", LargeBinary, nullable=False),
        Column("created_at", Instant, nullable=False),
    )
    op.create_table(
        "sealing_keys",
        Column("kid", String(43), primary_key=True),
        Column("sealed_private", LargeBinary, nullable=False),
        Column("created_at", Instant, nullable=False),
    )
    op.create_table(
        "sealing_key_lists",
        Column("kid", String(43), primary_key=True),
        Column("signed", Text, nullable=False),
        Column("created_at", Instant, nullable=False),
    )


def _revocations() -> None:
    op.create_table(
        "revocations",
        Column("sequence", BigInteger, autoincrement=False, primary_key=True),
        Column("subject_kind", String(20), nullable=False),
        Column("subject_id", String(64), nullable=False),
        Column("version", BigInteger, nullable=False),
        Column("at", Instant, nullable=False),
    )
    op.create_index("ix_revocations_subject_kind_subject_id", "revocations", ["subject_kind", "subject_id"])
    op.create_index("ix_revocations_at", "revocations", ["at"])
    op.create_table(
        "feed_followers",
        Column("audience", Text, primary_key=True),
        Column("seen_at", Instant, nullable=False),
        Column("proved_at", Instant),
    )
