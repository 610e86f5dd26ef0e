"""insert_new: INSERT … ON CONFLICT DO NOTHING, which SQLite and PostgreSQL spell through two dialects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from db.schema.base import Base


def insert_new(session: Session, row: type[Base], values: Mapping[str, Any]) -> bool:
    """Insert one row; False, and nothing changed, when a unique key of it is already taken.

    After False the row that is there can be read in the same transaction.
    """
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(row).values(**values).on_conflict_do_nothing()
    key = next(iter(row.__table__.primary_key))
    return session.execute(statement.returning(key)).first() is not None
