"""Which versions are kept, and how the others go."""

import logging
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from app.atomic import storage_error
from app.registry.versions import folders, of_model

log = logging.getLogger(__name__)

PREVIOUS = 10
"""How many versions of each model are kept besides, and how many champions before the one in service."""

ABANDONED_S = 24 * 3600.0
"""A draft that nobody touched for so long was left behind by a killed run."""


def sweep(models: Path, lines: Iterable[list[str]], now: float | None = None) -> list[str]:
    """Remove the versions that nothing needs any more.

    Kept are every champion in service and the `PREVIOUS` before it in its line, the newest `PREVIOUS`
    versions of each model and the one being written, and the first version of each model in each month.
    A version goes by one rename, so that a half of one is never seen, whenever the sweep is killed.

    Args:
        models: folder of all versions.
        lines: for each source of prices, its champions, oldest first (`succession.line`).
        now: seconds since 1970, to be told apart from a draft's last change; the clock by default.

    Returns:
        The ids removed.

    Raises:
        StorageError: the folder cannot be written.
    """
    models = Path(models)
    try:
        _clear_drafts(models, time.time() if now is None else now)
        keep = kept(models, lines)
        gone = [path for path in folders(models) if path.name not in keep]
        for path in gone:
            aside = Path(tempfile.mkdtemp(prefix=".removing-", dir=models))
            path.rename(aside / path.name)
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise storage_error(models, error) from error
    if gone:
        log.info("%d old versions removed: %s to %s", len(gone), gone[0].name, gone[-1].name)
    return [path.name for path in gone]


def kept(models: Path, lines: Iterable[list[str]]) -> set[str]:
    """Ids of the versions that `sweep` leaves in place."""
    keep = {version for champions in lines for version in champions[-1 - PREVIOUS :]}
    by_model: dict[str, list[str]] = {}
    for path in folders(models):
        by_model.setdefault(of_model(path), []).append(path.name)
    for ids in by_model.values():
        first = {version[:6]: version for version in reversed(ids)}
        keep |= {*first.values(), *ids[-PREVIOUS:]}
    return keep


def _clear_drafts(models: Path, now: float) -> None:
    """Drafts of killed runs, and what a killed sweep had already taken away."""
    for path in models.glob(".removing-*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in models.glob(".writing-*"):
        changed = max(part.stat().st_mtime for part in [path, *path.rglob("*")])
        if now - changed > ABANDONED_S:
            shutil.rmtree(path, ignore_errors=True)
