"""Errors a person can act on: each says what is wrong, the value, what is allowed and the way out.

Every child carries the exit code of the command line (docs/operations.md lists them).
"""


class AppError(Exception):
    """Anything the application refuses or cannot do, in one line."""

    exit_code = 1


class SettingsError(AppError):
    """Wrong usage or settings."""

    exit_code = 2


class SourceError(AppError):
    """A source of prices cannot be reached, or does not answer."""

    exit_code = 3


class DataError(AppError):
    """The data were refused: empty, malformed, too short."""

    exit_code = 4


class LockError(AppError):
    """Another run is at work."""

    exit_code = 5


class TrainingError(AppError):
    """Training gave no finite model."""

    exit_code = 6


class StaleError(AppError):
    """The newest forecast is older than the last closed session allows."""

    exit_code = 7


class DamageError(AppError):
    """The ledger or a saved model is not what was written."""

    exit_code = 8


class StorageError(AppError):
    """The disk is full, or a folder cannot be written."""

    exit_code = 9
