"""That the log is append-only, as a fact which the database holds: triggers refuse to change it or to thin it out.

No line is ever changed. Lines older than `deletable_before` may go, and only a retention job moves that bound; the
newest line stays whatever its age, since SQLite would give its id to another. Inserts cost nothing more.

A partition of PostgreSQL that is dropped as a whole is no DELETE, and is the table owner's business; who moves lines
from one partition to another says so, by ``SET LOCAL domino.moves_frames = 'on'``.
"""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import event

from cloud.database import Instant, insert, metadata
from cloud.frames.store import frames

# One row, or none: then nothing may go.
frame_keeping = sa.Table(
    "frame_keeping",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("deletable_before", Instant, nullable=False),
    sa.CheckConstraint("id = 1", name="one_row"),
)

SQLITE = (
    """
CREATE TRIGGER frames_never_change BEFORE UPDATE ON frames
BEGIN SELECT RAISE(ABORT, 'the log of frames is append-only'); END
""",
    """
CREATE TRIGGER frames_are_kept BEFORE DELETE ON frames
WHEN OLD.received_at >= coalesce((SELECT deletable_before FROM frame_keeping), 0)
  OR OLD.id = (SELECT max(id) FROM frames)
BEGIN SELECT RAISE(ABORT, 'the log of frames is append-only'); END
""",
)
POSTGRESQL = (
    """
CREATE OR REPLACE FUNCTION keep_frames() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    IF OLD.received_at < coalesce((SELECT deletable_before FROM frame_keeping), 0)
      OR current_setting('domino.moves_frames', true) = 'on' THEN RETURN OLD; END IF;
  END IF;
  RAISE EXCEPTION 'the log of frames is append-only' USING ERRCODE = 'integrity_constraint_violation';
END $$
""",
    "CREATE TRIGGER frames_are_kept BEFORE UPDATE OR DELETE ON frames FOR EACH ROW EXECUTE FUNCTION keep_frames()",
    "CREATE TRIGGER frames_stay BEFORE TRUNCATE ON frames FOR EACH STATEMENT EXECUTE FUNCTION keep_frames()",
)

for dialect, statements in (("sqlite", SQLITE), ("postgresql", POSTGRESQL)):
    for statement in statements:
        event.listen(frames, "after_create", sa.DDL(statement).execute_if(dialect=dialect))


def let_go(conn: sa.Connection, before: datetime) -> None:
    """From now on the lines that were received before then may be deleted, and no others."""
    bound = insert(conn, frame_keeping).values(id=1, deletable_before=before)
    conn.execute(bound.on_conflict_do_update(index_elements=["id"], set_={"deletable_before": before}))
