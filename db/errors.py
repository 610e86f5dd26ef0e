"""Errors of the database: unknown records, refused transitions, lost leases, sick storage."""

from searchspaces.errors import NasError


class InvalidRecordError(NasError, ValueError):
    """A field cannot be stored; the message names the field, the value and what is allowed."""


class InvalidCursorError(NasError, ValueError):
    """A page cursor that this list, with these filters, did not hand out."""


class JobNotFoundError(NasError, LookupError):
    """No job has this id."""


class JobStateError(NasError, RuntimeError):
    """The job's state does not allow this event; a finished job allows none."""


class LeaseLostError(NasError, RuntimeError):
    """The caller's epoch no longer holds the job: somebody else may be running it."""


class IdempotencyConflictError(NasError, ValueError):
    """An idempotency key was used again with another request."""


class SupernetNotFoundError(NasError, LookupError):
    """No supernet has this name."""


class SupernetExistsError(NasError, ValueError):
    """A supernet of this name with other weights exists."""


class DeviceNotFoundError(NasError, LookupError):
    """No device has this name."""


class PredictorNotFoundError(NasError, LookupError):
    """No predictor has this id, or none fits this supernet, device and metric."""


class PredictorExistsError(NasError, ValueError):
    """A predictor with this id and other contents exists."""


class SubnetNotFoundError(NasError, LookupError):
    """No stored trial or sample of the supernet has this arch key."""


class ArtifactNotFoundError(NasError, LookupError):
    """No artifact has this digest."""


class ArtifactExistsError(NasError, ValueError):
    """An artifact of this digest is stored with another size."""


class AgentNotFoundError(NasError, LookupError):
    """No agent has this name."""


class AgentCodeError(NasError, PermissionError):
    """A one-time code is unknown, used or expired."""


class AgentNameTakenError(NasError, ValueError):
    """A device that is no agent has this name."""


class AgentQuarantinedError(NasError, RuntimeError):
    """The agent gets no tasks until an operator lifts its quarantine; the message says why."""


class TaskNotFoundError(NasError, LookupError):
    """The agent has no measurement task of this id."""


class DatabaseUrlError(NasError, ValueError):
    """The database URL names no supported database, or its driver is not installed."""


class DatabaseSchemaError(NasError, RuntimeError):
    """The database has not been migrated to this version, or is damaged."""


class DatabaseBusyError(NasError, TimeoutError):
    """Others held the database for so long that the transaction was given up; nothing was stored."""


class DatabaseUnavailableError(NasError, OSError):
    """The database cannot be reached, read or written (gone, full, read-only)."""
