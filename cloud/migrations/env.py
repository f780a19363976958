"""Alembic's entry: the URL comes from `cloud.database.migrate`, never from a file."""

import sqlalchemy as sa
from alembic import context

import cloud.tables  # noqa: F401  fills the metadata
from cloud.database import connect, metadata

engine: sa.Engine = connect(context.config.attributes["url"])
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
