"""Figures for Prometheus, as a text file for node_exporter's textfile collector: written whole, by rename.

The age of a forecast in it is that of the moment of writing. An alert should compare
`stock_forecast_fresh_until_seconds` with time(), which also rings when nothing is started any more.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from app.atomic import publish_text
from app.daily.status import Status

HELP = {
    "stock_forecast_age_sessions": "closed sessions since the newest forecast's origin, of the symbol furthest behind",
    "stock_forecast_fresh_until_seconds": "from this Unix time on the newest forecast is stale",
    "stock_forecast_stale": "1 when the newest forecast is stale or missing",
    "stock_symbols_behind": "symbols whose newest forecast is behind their last closed session",
    "stock_last_run_seconds": "Unix time at which the last start ended",
    "stock_last_run_exit_code": "exit code of the last start; see docs/operations.md",
    "stock_sessions": "sessions by how they ended",
    "stock_promotions": "promotions and rollbacks since the first champion",
    "stock_champion": "1 for the version in service",
    "stock_alarms": "alarms of the live record and of the champion's files",
    "stock_coverage_80": "share of actuals inside the champion's central 80 % interval",
    "stock_crps_against_random_walk": "CRPS of the champion over that of the random walk, less 1",
    "stock_quarantined_rows": "rows told and not believed yet",
    "stock_disk_bytes": "bytes on disk",
}


def write_failure(path: Path, source: str, now: pd.Timestamp, exit_code: int) -> Path:
    """Publish when the last start ended and how, where its state cannot be read; the other figures go.

    Raises:
        StorageError: the folder cannot be written.
    """
    values = {"stock_last_run_seconds": now.timestamp(), "stock_last_run_exit_code": exit_code}
    return _publish(path, source, ((name, {}, value) for name, value in values.items()))


def write_metrics(path: Path, found: Status, exit_code: int) -> Path:
    """Publish the file.

    Raises:
        StorageError: the folder cannot be written.
    """
    return _publish(path, found.source, _figures(found, exit_code))


def _publish(path: Path, source: str, figures: Iterable[tuple[str, dict[str, str], float]]) -> Path:
    """Write the file whole; figures of one name stand together."""
    lines, told = [], ""
    for name, labels, value in figures:
        if name != told:
            lines += [f"# HELP {name} {HELP[name]}", f"# TYPE {name} gauge"]
            told = name
        shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in {"source": source, **labels}.items())
        lines.append(f"{name}{{{shown}}} {value:g}" if abs(value) < 1e6 else f"{name}{{{shown}}} {value:.0f}")
    return publish_text(path, "\n".join([*lines, ""]))


def _figures(found: Status, exit_code: int) -> Iterator[tuple[str, dict[str, str], float]]:
    """(name, labels, value), those of one name together."""
    if found.fresh.age is not None:
        yield "stock_forecast_age_sessions", {}, found.fresh.age
    if found.fresh.until is not None:
        yield "stock_forecast_fresh_until_seconds", {}, found.fresh.until.timestamp()
    yield "stock_forecast_stale", {}, bool(found.stale)
    yield "stock_symbols_behind", {}, sum(count > 0 for count in found.fresh.behind.values()) + len(found.missing)
    yield "stock_last_run_seconds", {}, pd.Timestamp(found.now).timestamp()
    yield "stock_last_run_exit_code", {}, exit_code
    for outcome, count in found.settled.items():
        yield "stock_sessions", {"outcome": outcome}, count
    yield "stock_promotions", {}, found.promotions
    if found.champion:
        yield "stock_champion", {"version": found.champion.version}, 1
    yield "stock_alarms", {}, len(found.alarms)
    for line in found.record:
        yield "stock_coverage_80", {"horizon": str(line.horizon)}, line.coverage
    for line in found.record:
        if line.excess is not None:
            yield "stock_crps_against_random_walk", {"horizon": str(line.horizon)}, line.excess
    yield "stock_quarantined_rows", {}, found.quarantined
    for place, size in found.disk.items():
        yield "stock_disk_bytes", {"folder": place}, size


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
