"""Which windows are looked at: few enough to be quick, chosen by rule and not by result."""

from dataclasses import replace

import numpy as np

from app.dataset.windows import Windows


def whole_days(windows: Windows, count: int) -> Windows:
    """The windows of evenly chosen symbols, with all their days: about `count`, and at least one symbol.

    Days stay neighbours, as tests that allow for overlapping forecasts need them.
    """
    symbols, sizes = np.unique(windows.symbol, return_counts=True)
    if len(symbols) == 0:
        return windows
    kept = int(np.clip(count // max(sizes), 1, len(symbols)))
    chosen = symbols[np.unique(np.linspace(0, len(symbols) - 1, kept).round().astype(int))]
    return Windows(windows.panel, windows.ends[np.isin(windows.symbol, chosen)])


def spread(windows: Windows, count: int) -> Windows:
    """At most `count` windows, as far apart as they can be."""
    if len(windows) <= count:
        return windows
    return Windows(windows.panel, windows.ends[np.linspace(0, len(windows) - 1, count).round().astype(int)])


def reaching_back(windows: Windows, rows: int) -> Windows:
    """The same windows with `rows` sessions each, those whose symbol has as many."""
    panel = replace(windows.panel, spec=replace(windows.spec, lookback=rows))
    return Windows(panel, windows.ends[np.isin(windows.ends, panel.usable_ends(rows))])


def sessions_held(windows: Windows) -> np.ndarray:
    """(n,) sessions of one symbol with finite features, without a gap, up to each window's origin."""
    panel = windows.panel
    row = np.arange(len(panel.date))
    unusable = np.where(np.isfinite(panel.features).all(axis=1), -1, row)
    before = np.maximum(np.maximum.accumulate(unusable), panel.offsets[panel.code] - 1)
    return windows.ends - before[windows.ends]
