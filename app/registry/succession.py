"""Who was champion after whom, read from the rows of the ledger's champion table."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

ROLLBACK = "rollback"
"""Begins the reason of a row that moved the pointer back."""


class Row(Protocol):
    """A row of the champion table, as the journal gives it."""

    @property
    def version(self) -> str:
        """Id of the version that came into service."""
        ...

    @property
    def reason(self) -> str:
        """Why, in words."""
        ...


def line(history: Iterable[Row]) -> list[str]:
    """The champions that a rollback can go back to, oldest first; the last is in service.

    A promotion adds to the line; a rollback leaves out everything after the version it went back to,
    so that the next rollback goes further back and not forward again.
    """
    standing: list[str] = []
    for row in history:
        if row.reason.startswith(ROLLBACK) and row.version in standing:
            while standing[-1] != row.version:
                standing.pop()
        elif standing[-1:] != [row.version]:
            standing.append(row.version)
    return standing


def in_service(models: Path, history: Sequence[Row]) -> list[Path]:
    """Folders of the champion and of those before it, the one in service first: for `first_sound`."""
    return [Path(models) / version for version in dict.fromkeys(reversed(line(history)))]
