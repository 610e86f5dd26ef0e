"""Field types and the base of all wire models: strict, closed, finite."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
NAME_LENGTH = 100  # characters that NAME_PATTERN allows
SUBNET_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}:[0-9a-f]{16}$"
ID_PATTERN = r"^[0-9a-f]{32}$"
DIGEST_PATTERN = r"^[0-9a-f]{64}$"
MAX_SEED = 2**31 - 1

Name = Annotated[str, Field(pattern=NAME_PATTERN, description="Letters, digits, dot, underscore, hyphen")]
SubnetId = Annotated[str, Field(pattern=SUBNET_PATTERN, description="SUPERNET:ARCHKEY")]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


class Wire(BaseModel):
    """A body that clients send: no coercion, no unknown fields, no NaN or infinity."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Answer(BaseModel):
    """A body that the server sends, made from records by attribute name."""

    model_config = ConfigDict(from_attributes=True, frozen=True, extra="forbid")
