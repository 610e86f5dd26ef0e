"""NasError, the root of every error of the project, and the errors of search spaces."""


class NasError(Exception):
    """Root of all errors; every concrete one also derives from the builtin a caller would catch."""


class InvalidArchError(NasError, ValueError):
    """Genes or values that do not denote an architecture of the space."""


class UnknownSpaceError(NasError, LookupError):
    """No search space has this name."""


class ForbiddenRouteError(InvalidArchError):
    """A route through anchors that the space does not allow; the message names both."""


class AnchorMismatchError(NasError, ValueError):
    """Anchors whose shapes cannot be stitched; the message names both sides."""


class TableError(NasError, ValueError):
    """A table of recorded measurements is damaged, or belongs to another space."""


class InvalidFeaturesError(NasError, ValueError):
    """A space's structural features are not finite, or not one row per arch."""


class InvalidSpaceError(NasError, ValueError):
    """A description of a search space that cannot be read; the message names the parameter."""
