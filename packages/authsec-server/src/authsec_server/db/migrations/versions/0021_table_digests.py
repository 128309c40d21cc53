"""Digests of the tables that decide how events are read: those of the rows that are there."""

from alembic import op
from authsec_server.db import table_digests
from sqlalchemy import Column, LargeBinary, String, inspect

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "table_digests", Column("name", String(40), primary_key=True), Column("product", LargeBinary, nullable=False)
    )
    connection = op.get_bind()
    for name, its in table_digests.DIGESTED.items():
        columns = [each["name"] for each in inspect(connection).get_columns(name) if each["name"] not in its.without]
        rows = connection.execute(table_digests.stored(connection, name, columns)).mappings()
        product = table_digests.product_of_rows(name, map(dict, rows))
        if product != table_digests.EMPTY:
            table_digests.write_product(connection, name, product)
