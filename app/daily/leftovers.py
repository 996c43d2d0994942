"""What runs leave behind: drafts of killed ones, old logs and pages, versions that nothing needs any more."""

import itertools
import logging
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from app import registry
from app.config import SOURCES, Settings
from app.daily.steps import scratch
from app.errors import StorageError
from app.journal import Journal

log = logging.getLogger(__name__)

ABANDONED_S = 24 * 3600.0
"""A draft that nobody touched for so long was left by a killed run."""

LEAST_FREE = 200e6
"""Bytes that must be free before work begins."""

DAY_S = 86400.0


def sweep(settings: Settings, now: float | None = None) -> None:
    """Remove what earlier starts left. To be called by the holder of the lock.

    Args:
        now: seconds since 1970; the clock by default.

    Raises:
        StorageError: too little space is free to begin.
    """
    moment = time.time() if now is None else now
    shutil.rmtree(scratch(settings), ignore_errors=True)
    for path in _old(settings.data, moment, settings.daily.keep_days * DAY_S):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    lines = [registry.line(Journal(settings.ledger, source).champions()) for source in SOURCES]
    if settings.versions.is_dir():
        registry.sweep(settings.versions, lines)
    settings.home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.home).free
    if free < LEAST_FREE:
        raise StorageError(
            f"{settings.home}: {free / 1e6:.0f} MB are free, a run needs {LEAST_FREE / 1e6:.0f}. "
            "Free some space and run again."
        )


def _old(data: Path, now: float, keep_s: float) -> Iterator[Path]:
    """Abandoned drafts, and the daily run's own logs and pages that are older than they are kept."""
    drafts = [data.glob(f"{place}.{kind}-*") for place in ("", "*/", "reports/*/") for kind in ("writing", "replaced")]
    for draft in itertools.chain.from_iterable(drafts):
        if now - draft.stat().st_mtime > ABANDONED_S:
            yield draft
    for path in [*data.glob("logs/*.jsonl"), *data.glob("reports/daily-*")]:
        dated = re.search(r"\d{4}-\d{2}-\d{2}", path.name)
        if dated and now - path.stat().st_mtime > keep_s:
            yield path
