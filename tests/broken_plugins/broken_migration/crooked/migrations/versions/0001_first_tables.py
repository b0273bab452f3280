"""first tables"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table("crooked_things", sa.Column("id", sa.Uuid(), primary_key=True))
    op.execute("alter table crooked_thing add column name text")


def downgrade() -> None:
    op.drop_table("crooked_things")
