"""second tables"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0000"


def upgrade() -> None:
    op.create_table("orphaned_things", sa.Column("id", sa.Uuid(), primary_key=True))
    op.execute("alter table orphaned_thing add column name text")


def downgrade() -> None:
    op.drop_table("orphaned_things")
