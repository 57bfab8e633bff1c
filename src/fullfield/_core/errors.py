"""The tree of errors.

FullfieldError
├── ConfigurationError   a setting is unknown, misspelt or impossible
├── ParameterError       a cosmological or model parameter is outside what the model accepts
├── ShapeError           an array has the wrong shape or number of bins
└── DataError            an array or a file holds what it must not (NaN, all masked, wrong format)
    └── DamagedDataError a stored file differs from what was written (checksum)
"""


class FullfieldError(Exception):
    """Says which argument was wrong, what was expected, what came, and what to do.

    Args:
        argument: name of the offending argument, key or file.
        expected: what would have been accepted.
        got: what came instead.
        remedy: what the user can do about it.
    """

    def __init__(self, argument: str, *, expected: str, got: object, remedy: str = ""):
        self.argument, self.expected, self.got, self.remedy = argument, expected, got, remedy
        message = f"{argument}: expected {expected}, got {got}."
        super().__init__(f"{message} {remedy}".rstrip())


class ConfigurationError(FullfieldError):
    """A setting is unknown, misspelt or impossible."""


class ParameterError(FullfieldError):
    """A parameter lies outside what the model accepts."""


class ShapeError(FullfieldError):
    """An array has the wrong shape or number of bins."""


class DataError(FullfieldError):
    """An array or file holds what it must not."""


class DamagedDataError(DataError):
    """A stored file is not what was written."""
