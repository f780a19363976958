"""Alembic's entry: the URL comes from `cloud.database.migrate`, never from a file.

One transaction for all that is to be done, the look at what was done included: of several processes that start at once
the first does it and the others find it done. SQLite's begins IMMEDIATE; PostgreSQL is given a lock to take first.
"""

import re

import sqlalchemy as sa
from alembic import context

import cloud.tables  # noqa: F401  fills the metadata
from cloud.database import connect, metadata

LOCK = 0x5343_4845_4D41  # "SCHEMA"


def is_ours(name: str | None, kind: str, _parents: object) -> bool:
    """The log's tables by month are made as time goes by, by `cloud.frames.months`, and are no part of the schema."""
    return kind != "table" or not re.fullmatch(r"frames_(default|\d{4}_\d\d)", name or "")


engine: sa.Engine = connect(context.config.attributes["url"])
with engine.begin() as connection:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, include_name=is_ours)
    context.run_migrations()
engine.dispose()
