"""The first schema."""

from alembic import op
from authsec_server.db.schema import Instant
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Text,
    UniqueConstraint,
)

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG_ID = BigInteger().with_variant(Integer(), "sqlite")


def upgrade() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    op.create_table(
        "admin_keys",
        Column("id", String(36), nullable=False),
        Column("name", Text(), nullable=False),
        Column("role", String(10), nullable=False),
        Column("key_sha256", String(64), nullable=False),
        Column("created_at", Instant(), nullable=False),
        Column("expires_at", Instant()),
        Column("last_used_at", Instant()),
        Column("revoked_at", Instant()),
        PrimaryKeyConstraint("id", name="pk_admin_keys"),
        UniqueConstraint("key_sha256", name="uq_admin_keys_key_sha256"),
        UniqueConstraint("name", name="uq_admin_keys_name"),
    )
    op.create_table(
        "apis",
        Column("id", String(36), nullable=False),
        Column("slug", String(63), nullable=False),
        Column("name", Text(), nullable=False),
        Column("kind", String(20), nullable=False),
        Column("identifier", Text(), nullable=False),
        Column("description", Text(), nullable=False),
        Column("created_at", Instant(), nullable=False),
        PrimaryKeyConstraint("id", name="pk_apis"),
        UniqueConstraint("identifier", name="uq_apis_identifier"),
        UniqueConstraint("slug", name="uq_apis_slug"),
    )
    op.create_table(
        "authority",
        Column(
            "id", Integer(), CheckConstraint("id = 1", name="ck_authority_one_row"), autoincrement=False, nullable=False
        ),
        Column("version", BigInteger(), nullable=False),
        PrimaryKeyConstraint("id", name="pk_authority"),
    )
    op.create_table(
        "clients",
        Column("id", String(36), nullable=False),
        Column("slug", String(63), nullable=False),
        Column("name", Text(), nullable=False),
        Column("kind", String(20), nullable=False),
        Column("platform", String(20), nullable=False),
        Column("owner", Text(), nullable=False),
        Column("description", Text(), nullable=False),
        Column("labels", JSON(), nullable=False),
        Column("enabled", Boolean(), nullable=False),
        Column("created_at", Instant(), nullable=False),
        PrimaryKeyConstraint("id", name="pk_clients"),
        UniqueConstraint("slug", name="uq_clients_slug"),
    )
    op.create_table(
        "events",
        Column("id", BIG_ID, autoincrement=True, nullable=False),
        Column("at", Instant(), nullable=False),
        Column("kind", String(40), nullable=False),
        Column("request_id", String(40), nullable=False),
        Column("principal_kind", String(20)),
        Column("principal_id", String(36)),
        Column("principal_name", Text()),
        Column("principal_role", String(10)),
        Column("client_id", String(36)),
        Column("client_name", Text()),
        Column("delegations", JSON(), nullable=False),
        Column("roles", JSON(), nullable=False),
        Column("subject_id", String(80)),
        Column("subject_name", Text()),
        Column("decision", String(10)),
        Column("reason", String(40), nullable=False),
        Column("address", String(45), nullable=False),
        Column("authority_version", BIG_ID),
        Column("jti", String(40), nullable=False),
        Column("kid", String(64), nullable=False),
        Column("token_sha256", String(64), nullable=False),
        Column("expires_at", Instant()),
        Column("detail", JSON(), nullable=False),
        Column("occurrences", Integer(), nullable=False),
        Column("count_key", String(128)),
        PrimaryKeyConstraint(*(("id", "at") if postgresql else ("id",)), name="pk_events"),
        postgresql_partition_by="RANGE (at)",
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_at", "events", ["at"])
    op.create_index("ix_events_client_id_at", "events", ["client_id", "at"])
    op.create_index("ix_events_jti", "events", ["jti"])
    op.create_index("ix_events_request_id", "events", ["request_id"])
    op.create_index("uq_events_at_count_key", "events", ["at", "count_key"], unique=True)
    op.create_table(
        "revocations",
        Column("sequence", BigInteger(), autoincrement=False, nullable=False),
        Column("subject_kind", String(20), nullable=False),
        Column("subject_id", String(64), nullable=False),
        Column("version", BigInteger(), nullable=False),
        Column("at", Instant(), nullable=False),
        PrimaryKeyConstraint("sequence", name="pk_revocations"),
    )
    op.create_index("ix_revocations_subject_kind_subject_id", "revocations", ["subject_kind", "subject_id"])
    op.create_table(
        "roles",
        Column("id", String(36), nullable=False),
        Column("slug", String(63), nullable=False),
        Column("name", Text(), nullable=False),
        Column("description", Text(), nullable=False),
        Column("created_at", Instant(), nullable=False),
        PrimaryKeyConstraint("id", name="pk_roles"),
        UniqueConstraint("slug", name="uq_roles_slug"),
    )
    op.create_table(
        "signing_keys",
        Column("kid", String(43), nullable=False),
        Column("state", String(10), nullable=False),
        Column("public_jwk", JSON(), nullable=False),
        Column("sealed_private", LargeBinary()),
        Column("created_at", Instant(), nullable=False),
        Column("activated_at", Instant()),
        Column("retired_at", Instant()),
        Column("publish_until", Instant()),
        PrimaryKeyConstraint("kid", name="pk_signing_keys"),
    )
    op.create_index("ix_signing_keys_state", "signing_keys", ["state"])
    op.create_table(
        "trust_sources",
        Column("id", String(36), nullable=False),
        Column("slug", String(63), nullable=False),
        Column("name", Text(), nullable=False),
        Column("kind", String(20), nullable=False),
        Column("issuer", Text(), nullable=False),
        Column("configuration", JSON(), nullable=False),
        Column("revision", Integer(), nullable=False),
        Column("enabled", Boolean(), nullable=False),
        Column("created_at", Instant(), nullable=False),
        PrimaryKeyConstraint("id", name="pk_trust_sources"),
        UniqueConstraint("issuer", name="uq_trust_sources_issuer"),
        UniqueConstraint("slug", name="uq_trust_sources_slug"),
    )
    op.create_table(
        "used_assertions",
        Column("client_id", String(36), nullable=False),
        Column("jti_sha256", String(64), nullable=False),
        Column("until", Instant(), nullable=False),
        PrimaryKeyConstraint("client_id", "jti_sha256", name="pk_used_assertions"),
    )
    op.create_index("ix_used_assertions_until", "used_assertions", ["until"])
    op.create_table(
        "api_actions",
        Column("api_id", String(36), nullable=False),
        Column("action", String(127), nullable=False),
        Column("description", Text(), nullable=False),
        ForeignKeyConstraint(["api_id"], ["apis.id"], name="fk_api_actions_api_id", ondelete="CASCADE"),
        PrimaryKeyConstraint("api_id", "action", name="pk_api_actions"),
    )
    op.create_table(
        "delegations",
        Column("id", String(36), nullable=False),
        Column("role_id", String(36), nullable=False),
        Column("client_id", String(36), nullable=False),
        Column("target_type", String(40), nullable=False),
        Column("actions", JSON(), nullable=False),
        Column("max_duration", Integer(), nullable=False),
        Column("audiences", JSON(), nullable=False),
        Column("excluded_proofs", JSON(), nullable=False),
        Column("ends_at", Instant()),
        Column("enabled", Boolean(), nullable=False),
        Column("revoked_at", Instant()),
        Column("owner", Text(), nullable=False),
        Column("description", Text(), nullable=False),
        Column("created_at", Instant(), nullable=False),
        ForeignKeyConstraint(["client_id"], ["clients.id"], name="fk_delegations_client_id"),
        ForeignKeyConstraint(["role_id"], ["roles.id"], name="fk_delegations_role_id"),
        PrimaryKeyConstraint("id", name="pk_delegations"),
    )
    op.create_index("ix_delegations_client_id", "delegations", ["client_id"])
    op.create_index("ix_delegations_role_id", "delegations", ["role_id"])
    op.create_table(
        "proofs",
        Column("id", String(36), nullable=False),
        Column("client_id", String(36), nullable=False),
        Column("kind", String(20), nullable=False),
        Column("source_id", String(36)),
        Column("selectors", JSON(), nullable=False),
        Column("public_key", JSON()),
        Column("thumbprint", String(43)),
        Column("secret_sha256", String(64)),
        Column("expires_at", Instant()),
        Column("created_at", Instant(), nullable=False),
        ForeignKeyConstraint(["client_id"], ["clients.id"], name="fk_proofs_client_id", ondelete="CASCADE"),
        ForeignKeyConstraint(["source_id"], ["trust_sources.id"], name="fk_proofs_source_id"),
        PrimaryKeyConstraint("id", name="pk_proofs"),
    )
    op.create_index("ix_proofs_client_id", "proofs", ["client_id"])
    op.create_table(
        "role_actions",
        Column("role_id", String(36), nullable=False),
        Column("action", String(127), nullable=False),
        ForeignKeyConstraint(["role_id"], ["roles.id"], name="fk_role_actions_role_id", ondelete="CASCADE"),
        PrimaryKeyConstraint("role_id", "action", name="pk_role_actions"),
    )

    if postgresql:
        # Whatever no month's partition takes is kept all the same.
        op.execute("CREATE TABLE events_default PARTITION OF events DEFAULT")
    op.execute("INSERT INTO authority (id, version) VALUES (1, 0)")
