"""Errors of the service, and the one table that gives every error of the project its HTTP status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from db import errors as db
from nas import errors as nas
from predictors import errors as predictors
from searchspaces import errors as spaces
from searchspaces.errors import NasError


class SettingsError(NasError, ValueError):
    """A setting is out of range or unsafe; the message names it."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field: ``pointer`` is a JSON pointer into the body, as a URI fragment."""

    pointer: str
    detail: str


class InvalidFieldsError(NasError, ValueError):
    """A body is well-formed but makes no sense here; ``fields`` names the fields at fault."""

    def __init__(self, *fields: FieldError) -> None:
        super().__init__("; ".join(f"{field.pointer}: {field.detail}" for field in fields))
        self.fields = fields


class InvalidJobError(InvalidFieldsError):
    """A job cannot be done as it is described."""


class InvalidAgentRequestError(InvalidFieldsError):
    """What an agent says of itself or of its measurement cannot be true."""


class AgentUnavailableError(NasError, TimeoutError):
    """An agent that a job waits for has not been heard of for too long, or gave its task up."""


class NoFeasiblePointError(NasError, LookupError):
    """No point of a front satisfies the constraints; ``extra`` holds constraint and nearest point."""

    def __init__(self, detail: str, extra: Mapping[str, Any]) -> None:
        super().__init__(detail)
        self.extra = extra


class ArtifactDamagedError(NasError, OSError):
    """A stored artifact is missing or its bytes do not have the digest that names it."""


class JobStoppedError(NasError, RuntimeError):
    """A runner was asked to stop and did; what it had stored stays."""


class ProblemError(NasError, RuntimeError):
    """The server answered with a problem document (client side); ``status`` 0: no answer at all."""

    def __init__(self, status: int, title: str, detail: str, document: Mapping[str, Any]) -> None:
        super().__init__(f"{title}: {detail}" if detail else title)
        self.status = status
        self.document = document


class ServerStartError(NasError, RuntimeError):
    """A server could not be started; the message says why."""


class DatabaseInUseError(ServerStartError):
    """Another server has the SQLite file open; the message names the file."""


class UnknownTableFormatError(NasError, ValueError):
    """A table cannot be written to a file of this suffix; the message names the ones it can."""


STATUS: Mapping[type[NasError], int] = {
    spaces.InvalidArchError: 422,
    spaces.UnknownSpaceError: 404,
    spaces.TableError: 422,
    spaces.ForbiddenRouteError: 422,
    spaces.AnchorMismatchError: 422,
    spaces.InvalidFeaturesError: 500,
    spaces.InvalidSpaceError: 422,
    predictors.NotFittedError: 409,
    predictors.DeviceMismatchError: 409,
    predictors.MeasurementStoppedError: 409,
    predictors.UnstableMeasurementError: 409,
    predictors.UnknownRuntimeError: 422,
    predictors.UnsupportedModelError: 422,
    nas.StudyNotFoundError: 404,
    nas.StudyExistsError: 409,
    nas.TrialNotFoundError: 404,
    nas.TrialFinishedError: 409,
    nas.UnknownSearcherError: 404,
    nas.InfeasibleError: 422,
    nas.DataError: 422,
    nas.ConfigError: 422,
    nas.CheckpointError: 409,
    nas.FidelityError: 422,
    nas.EvaluatorError: 500,
    nas.TrainingError: 500,
    nas.ExportError: 500,
    nas.MissingExtraError: 501,
    db.InvalidRecordError: 422,
    db.InvalidCursorError: 400,
    db.JobNotFoundError: 404,
    db.JobStateError: 409,
    db.LeaseLostError: 409,
    db.IdempotencyConflictError: 422,
    db.SupernetNotFoundError: 404,
    db.SupernetExistsError: 409,
    db.DeviceNotFoundError: 404,
    db.PredictorNotFoundError: 404,
    db.PredictorExistsError: 409,
    db.SubnetNotFoundError: 404,
    db.ArtifactNotFoundError: 404,
    db.ArtifactExistsError: 409,
    db.AgentNotFoundError: 404,
    db.AgentCodeError: 401,
    db.AgentNameTakenError: 409,
    db.AgentQuarantinedError: 409,
    db.TaskNotFoundError: 404,
    db.DatabaseUrlError: 500,
    db.DatabaseSchemaError: 503,
    db.DatabaseBusyError: 503,
    db.DatabaseUnavailableError: 503,
    SettingsError: 500,
    InvalidFieldsError: 422,
    InvalidJobError: 422,
    InvalidAgentRequestError: 422,
    AgentUnavailableError: 503,
    NoFeasiblePointError: 404,
    ArtifactDamagedError: 500,
    JobStoppedError: 409,
    ProblemError: 502,
    ServerStartError: 503,
    DatabaseInUseError: 503,
    UnknownTableFormatError: 422,
    predictors.CorruptFitError: 409,
    predictors.ImplausibleTimesError: 422,
    predictors.InvalidValueError: 422,
    predictors.ServerUnreachableError: 503,
    predictors.AgentRefusedError: 502,
    predictors.CredentialsError: 500,
}


def status_of(error: NasError) -> int:
    """HTTP status of an error: that of the nearest class in STATUS, 500 if none is."""
    return next((STATUS[cls] for cls in type(error).__mro__ if cls in STATUS), 500)
