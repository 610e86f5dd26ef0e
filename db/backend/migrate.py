"""Alembic run from code: the migrations travel inside the package and need no configuration file."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text

from db.errors import DatabaseSchemaError

FOLDER = Path(__file__).resolve().parent.parent / "migrations"
ADVISORY_LOCK = 7_305_311_870  # any number that no other program uses in the same database


def config() -> Config:
    """Alembic's configuration for ``db/migrations``."""
    settings = Config()
    settings.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    settings.set_main_option("path_separator", "os")
    return settings


@lru_cache(maxsize=1)
def head_revision() -> str | None:
    """The revision that this version of the code works with."""
    return ScriptDirectory.from_config(config()).get_current_head()


def current_revision(connection: Connection) -> str | None:
    """The revision of the database, None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(connection: Connection) -> None:
    """Run all missing migrations inside the connection's write transaction.

    Raises DatabaseSchemaError for a revision that this version does not know.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))
    if current_revision(connection) == head_revision():
        return
    settings = config()
    settings.attributes["connection"] = connection
    try:
        command.upgrade(settings, "head")
    except CommandError as error:
        raise DatabaseSchemaError(f"the database belongs to another version: {error}") from error
