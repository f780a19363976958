"""The log of frames is append-only, and says all it takes to take a message in again"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

COLUMNS = ("topic", "renamed", "uplinks_per_day", "downlinks_per_day")


def upgrade() -> None:
    op.add_column("frames", sa.Column("topic", sa.Text(), nullable=True))
    op.add_column("frames", sa.Column("renamed", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("frames", sa.Column("uplinks_per_day", sa.Integer(), nullable=True))
    op.add_column("frames", sa.Column("downlinks_per_day", sa.Integer(), nullable=True))
    op.create_table(
        "frame_keeping",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("deletable_before", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_frame_keeping_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_frame_keeping")),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION keep_frames() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF TG_OP = 'DELETE' THEN "
            "IF OLD.received_at < coalesce((SELECT deletable_before FROM frame_keeping), 0) "
            "OR current_setting('domino.moves_frames', true) = 'on' THEN RETURN OLD; END IF; "
            "END IF; RAISE EXCEPTION 'the log of frames is append-only' "
            "USING ERRCODE = 'integrity_constraint_violation'; END $$"
        )
        op.execute(
            "CREATE TRIGGER frames_are_kept BEFORE UPDATE OR DELETE ON frames "
            "FOR EACH ROW EXECUTE FUNCTION keep_frames()"
        )
        op.execute(
            "CREATE TRIGGER frames_stay BEFORE TRUNCATE ON frames FOR EACH STATEMENT EXECUTE FUNCTION keep_frames()"
        )
    else:
        op.execute(
            "CREATE TRIGGER frames_never_change BEFORE UPDATE ON frames "
            "BEGIN SELECT RAISE(ABORT, 'the log of frames is append-only'); END"
        )
        op.execute(
            "CREATE TRIGGER frames_are_kept BEFORE DELETE ON frames "
            "WHEN OLD.received_at >= coalesce((SELECT deletable_before FROM frame_keeping), 0) "
            "OR OLD.id = (SELECT max(id) FROM frames) "
            "BEGIN SELECT RAISE(ABORT, 'the log of frames is append-only'); END"
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER frames_stay ON frames")
        op.execute("DROP TRIGGER frames_are_kept ON frames")
        op.execute("DROP FUNCTION keep_frames()")
    else:
        op.execute("DROP TRIGGER frames_are_kept")
        op.execute("DROP TRIGGER frames_never_change")
    op.drop_table("frame_keeping")
    for column in reversed(COLUMNS):
        op.drop_column("frames", column)
