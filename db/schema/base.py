"""Column types, the database clock and checks shared by all tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, Double, Integer, MetaData, String, literal
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
LARGEST = "1.7976931348623157e308"  # the largest finite double; NaN sorts above it in PostgreSQL
BIG_KEY = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows only for INTEGER


class UtcTime(TypeDecorator[datetime]):
    """A UTC datetime as whole microseconds since 1970: exact, and ordered alike in every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        """Microseconds of an aware datetime; a naive one raises ValueError."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"datetimes are timezone-aware; got {value!r}")
        return (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """The aware UTC datetime."""
        return None if value is None else EPOCH + timedelta(microseconds=value)


class database_now(FunctionElement[datetime]):  # noqa: N801 - it reads as an SQL function
    """The database's clock plus ``seconds``, as UtcTime. Leases are decided by this clock alone."""

    type = UtcTime()
    inherit_cache = True
    name = "database_now"

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__(literal(round(seconds * 1e6), BigInteger()))


@compiles(database_now, "sqlite")
def _sqlite_now(element: database_now, compiler: SQLCompiler, **options: Any) -> str:
    offset = compiler.process(element.clauses, **options)
    return f"(CAST(ROUND((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER) * 1000 + {offset})"


@compiles(database_now, "postgresql")
def _postgresql_now(element: database_now, compiler: SQLCompiler, **options: Any) -> str:
    # the statement's start, not clock_timestamp(): that one is volatile and would not use an index
    offset = compiler.process(element.clauses, **options)
    return f"(CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000000 AS BIGINT) + {offset})"


class Base(DeclarativeBase):
    """Root of all rows: names of constraints and the column type of each Python type."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - read by SQLAlchemy as it stands
        str: String(),
        float: Double(),
        datetime: UtcTime(),
        dict[str, Any]: JSON(none_as_null=True),
        list[Any]: JSON(none_as_null=True),
    }


def finite(*columns: str) -> list[CheckConstraint]:
    """Checks that the double columns hold no NaN and no infinity (NULL passes where it is allowed)."""
    return [CheckConstraint(f"abs({column}) <= {LARGEST}", name=f"{column}_finite") for column in columns]


def one_of(column: str, values: type[Any]) -> CheckConstraint:
    """Checks that a text column holds a member of a StrEnum."""
    listed = ", ".join(f"'{member}'" for member in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")
