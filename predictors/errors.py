"""Errors of measuring and predicting."""

from searchspaces.errors import NasError


class NotFittedError(NasError, RuntimeError):
    """A predictor was asked before it was fitted."""


class DeviceMismatchError(NasError, ValueError):
    """Samples or fits of two device fingerprints were mixed."""


class UnstableMeasurementError(NasError, RuntimeError):
    """A measurement campaign does not repeat itself well enough to be used."""


class ImplausibleTimesError(NasError, ValueError):
    """Measured times that no machine can have taken; the message names the network and the field."""


class InvalidValueError(NasError, ValueError):
    """A setting or an input is out of range; the message names the field, the value and what is allowed."""


class MeasurementStoppedError(NasError, RuntimeError):
    """A measurement was asked to stop before it was finished."""


class CorruptFitError(NasError, ValueError):
    """A stored predictor is damaged or belongs to another space; the message names the file."""


class UnknownRuntimeError(NasError, LookupError):
    """No runtime has this name, or the package that it needs is not installed."""


class UnsupportedModelError(NasError, ValueError):
    """A runtime cannot run this network exactly."""


class ServerUnreachableError(NasError, ConnectionError):
    """The agent's server does not answer, or not in a way that makes sense: try again later."""


class AgentRefusedError(NasError, RuntimeError):
    """The agent's server said no; ``status`` is the HTTP status, ``slug`` names the problem."""

    def __init__(self, status: int, slug: str, detail: str) -> None:
        super().__init__(f"HTTP {status} {slug}: {detail}")
        self.status = status
        self.slug = slug


class CredentialsError(NasError, ValueError):
    """The file of the agent's token is missing, damaged or open to others; the message names it."""
