"""Failures of the drivers as errors of ours: busy (try again), unavailable, damaged or not migrated."""

from __future__ import annotations

import sqlite3

from sqlalchemy import exc

from db.errors import (
    DatabaseBusyError,
    DatabaseSchemaError,
    DatabaseUnavailableError,
    InvalidRecordError,
)
from searchspaces.errors import NasError

SQLITE_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
SQLITE_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
# serialization failure, deadlock, lock timeout: PostgreSQL has rolled back for certain
POSTGRESQL_BUSY = ("40001", "40P01", "55P03")
POSTGRESQL_SCHEMA = ("42P01", "42703", "3F000")  # undefined table, column, schema


def as_nas_error(error: exc.SQLAlchemyError) -> NasError | None:
    """The error of ours that this failure stands for; None when it is a defect of ours, to be raised as is.

    Messages hold the driver's words, never the URL, which may hold a password.
    """
    if isinstance(error, exc.TimeoutError):
        return DatabaseBusyError(f"no free connection to the database: {error}")
    if not isinstance(error, exc.DBAPIError):
        return None
    words = str(error.orig).strip()
    if isinstance(error.orig, sqlite3.Error):
        return _of_sqlite(error.orig, words)
    if isinstance(error, exc.DataError):  # such as NUL in a name that is looked up
        return InvalidRecordError(f"the database cannot hold a value: {words}")
    state = getattr(error.orig, "sqlstate", None)
    if state in POSTGRESQL_BUSY:
        return DatabaseBusyError(f"the database is busy: {words}")
    if state in POSTGRESQL_SCHEMA:
        return DatabaseSchemaError(f"the database is not migrated to this version: {words}")
    if isinstance(error, exc.OperationalError | exc.InterfaceError):
        return DatabaseUnavailableError(f"the database is unavailable: {words}")
    return None


def _of_sqlite(error: sqlite3.Error, words: str) -> NasError | None:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the extended code's low byte is the primary one
    if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
        return None
    if code in SQLITE_BUSY:
        return DatabaseBusyError(f"the database is busy: {words}")
    if code in SQLITE_DAMAGED:
        return DatabaseSchemaError(f"the database is damaged or not migrated to this version: {words}")
    return DatabaseUnavailableError(f"the database is unavailable: {words}")
