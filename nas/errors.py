"""Errors of the search: studies, data, supernets, exports."""

from searchspaces.errors import NasError


class StudyNotFoundError(NasError, LookupError):
    """No study has this id."""


class StudyExistsError(NasError, ValueError):
    """A study with this id exists with other settings."""


class TrialNotFoundError(NasError, LookupError):
    """The study has no trial of this number."""


class TrialFinishedError(NasError, RuntimeError):
    """A finished trial was reported again with another evaluation."""


class UnknownSearcherError(NasError, LookupError):
    """No searcher has this name, or the package that it needs is not installed."""


class InfeasibleError(NasError, ValueError):
    """No architecture that the search can find satisfies a constraint; the message names it."""


class DataError(NasError, ValueError):
    """A data source is missing, damaged or of the wrong shape; the message names the file."""


class ConfigError(NasError, ValueError):
    """A configuration value is out of range; the message names field, value and what is allowed."""


class CheckpointError(NasError, ValueError):
    """A checkpoint is damaged or belongs to another space; the message names the file."""


class FidelityError(NasError, ValueError):
    """Estimates and truth that cannot be compared; the message names the field and the value."""


class EvaluatorError(NasError, RuntimeError):
    """An evaluator itself is broken, as opposed to one bad architecture."""


class TrainingError(NasError, RuntimeError):
    """A process of a training on several devices failed; its state in the folder can be continued."""


class ExportError(NasError, RuntimeError):
    """A subnet could not be written in a format, or failed its parity check."""


class MissingExtraError(NasError, ImportError):
    """An optional package is missing; the message holds the install line."""
