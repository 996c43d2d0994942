"""How far back a network remembers: the gradient of its forecast by lag, and what one row does to its state."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import pandas as pd
from keras import ops

from app.dataset.windows import Windows
from app.insight.anatomy import Watched, carries_state, phase, responder, standardised
from app.insight.gates import BAND, pooled
from app.insight.gradients import jacobian
from app.insight.replay import Replay
from app.insight.sample import reaching_back, sessions_held

PARTS = ("median", "width")
"""Of a forecast: its median, and the distance from its lowest to its highest quantile."""

ROWS_AT_ONCE = 200_000
"""Copies of rows in one backward pass: memory stays below a gigabyte."""

SHARE_REACHED = 0.99
STATE_ROWS = 10
"""Rows of a window at which the state's Jacobian is taken, evenly spread."""


def rows_asked(models: Sequence[keras.Model], windows: Windows, wanted: int) -> int:
    """Rows of the longest windows that a network can be asked with, up to `wanted` and never below its lookback.

    Only a network that carries a state sees beyond its lookback; one with clocks grows by whole turns of them, so
    that they stand at the origin as they did in training. Half of the windows must have so long a past.
    """
    lookback = windows.spec.lookback
    if not carries_state(models[0]) or not len(windows):
        return lookback
    turn, longest = phase(models[0]), int(np.quantile(sessions_held(windows), 0.5, method="lower"))
    return max(lookback, lookback + (min(wanted, longest) - lookback) // turn * turn)


def sensitivities(models: Sequence[keras.Model], windows: Windows, rows: int) -> tuple[np.ndarray, list]:
    """Norm of the derivative of each part of the forecast by the features of each session.

    Forecasts in units of volatility times the square root of the horizon, features in standard deviations.

    Args:
        models: the members of one network, whose mean is the forecast.
        windows: those asked; each is extended to `rows` sessions, or left out where it cannot be.

    Returns:
        (n, outputs, rows) norms over features, by lag, 0 being the origin; and the (part, horizon) of each output.
    """
    asked = reaching_back(windows, rows)
    answer, outputs = parts_of(models, windows.spec.horizons)
    norms = []
    for batch in asked.batches(max(1, ROWS_AT_ONCE // (rows * len(outputs)))):
        found = jacobian(answer, standardised(models[0], batch.gather()), len(outputs))
        norms.append(np.sqrt((found**2).sum(axis=-1))[:, :, ::-1])
    return np.concatenate([np.zeros((0, len(outputs), rows)), *norms]), outputs


def parts_of(models: Sequence[keras.Model], horizons: Sequence[int]) -> tuple[Callable, list[tuple[str, int]]]:
    """The numbers of a forecast that are differentiated.

    Returns:
        A function from standardised rows, a tensor (n, rows, features), to (n, outputs); the (part, horizon) of each.
    """
    respond = responder(models)

    def answer(x):
        quantiles = respond(x)
        middle = quantiles.shape[-1] // 2
        return ops.concatenate([quantiles[..., middle], quantiles[..., -1] - quantiles[..., 0]], axis=-1)

    return answer, [(part, horizon) for part in PARTS for horizon in horizons]


def memory_by_lag(norms: np.ndarray, outputs: list[tuple[str, int]]) -> pd.DataFrame:
    """Columns part, horizon, lag, mean, low, high: norms over windows, 80 % of which lie between the last two."""
    tables = []
    for place, (part, horizon) in enumerate(outputs):
        low, high = np.quantile(norms[:, place], BAND, axis=0)
        values = {"lag": np.arange(norms.shape[-1]), "mean": norms[:, place].mean(axis=0), "low": low, "high": high}
        tables.append(pd.DataFrame({"part": part, "horizon": horizon, **values}))
    return pd.concat(tables, ignore_index=True)


def half_lives(norms: np.ndarray, outputs: list[tuple[str, int]]) -> pd.DataFrame:
    """The half-life of each part of the forecast.

    Returns:
        Columns part, horizon, half_life of the mean over windows, low and high (80 % of single windows lie between),
        reach (newest sessions that hold 99 % of the sum), rows and windows asked.
    """
    rows = []
    for place, (part, horizon) in enumerate(outputs):
        mean = norms[:, place].mean(axis=0)
        low, high = np.nanquantile([half_life(one) for one in norms[:, place]], BAND) if mean.sum() else (np.nan,) * 2
        rows.append((part, horizon, half_life(mean), low, high, half_life(mean, SHARE_REACHED), len(mean), len(norms)))
    columns = ["part", "horizon", "half_life", "low", "high", "reach", "rows", "windows"]
    return pd.DataFrame(rows, columns=columns)


def half_life(norms: np.ndarray, share: float = 0.5) -> float:
    """How many of the newest sessions hold half of the sum of the norms over all lags.

    Where norms fall by the same factor every session, this is the number of sessions in which they halve.
    Where they do not fall at all, it is half of the rows asked. Between whole sessions it is
    interpolated. NaN where the forecast depends on nothing.

    Args:
        norms: (lags,) from the origin back.
        share: another share than one half.
    """
    total = np.concatenate([[0.0], np.cumsum(norms)])
    return float(np.interp(share * total[-1], total, np.arange(len(total)))) if total[-1] > 0 else float("nan")


def state_spectrum(seen: Sequence[Watched]) -> pd.DataFrame:
    """Singular values of the Jacobian of each layer's state, h or (h, c), by its state one row before.

    All below 1: whatever is remembered fades; above 1: a small difference grows from row to row.

    Returns:
        Columns layer, rank (from 1), of (how many), mean, low, high: over windows, rows and members, 80 % between.
    """
    tables = []
    for layer, replays in pooled(seen).items():
        if replays[0].inputs.shape[1] < 2:  # a single row has no step from one state to the next
            continue
        values = np.concatenate([singular_values(one) for one in replays])
        low, high = np.quantile(values, BAND, axis=0)
        ranked = {"rank": np.arange(1, values.shape[1] + 1), "of": values.shape[1]}
        tables.append(pd.DataFrame({"layer": layer, **ranked, "mean": values.mean(axis=0), "low": low, "high": high}))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=SPECTRUM_COLUMNS)


SPECTRUM_COLUMNS = ["layer", "rank", "of", "mean", "low", "high"]


def singular_values(seen: Replay) -> np.ndarray:
    """(windows x rows, size of the state) singular values, falling, at `STATE_ROWS` rows of each window."""
    found = state_jacobian(seen, np.unique(np.linspace(1, seen.inputs.shape[1] - 1, STATE_ROWS).round().astype(int)))
    return np.linalg.svd(found, compute_uv=False)


def state_jacobian(seen: Replay, rows: np.ndarray) -> np.ndarray:
    """(windows x rows, size, size) derivative of the state after each row by the state before it.

    The state is h, with c beside it where the cell has a memory; a clock is no state that could differ.
    """
    size = seen.states[0].shape[-1]
    parts = [part for part in seen.states if part.shape[-1] == size]
    clock = [part for part in seen.states if part.shape[-1] != size]
    width = size * len(parts)
    before = np.concatenate([part[:, rows - 1] for part in [*parts, *clock]], axis=-1)
    given = np.concatenate([before, seen.inputs[:, rows]], axis=-1)

    def step(together):
        states = [together[:, start : start + size] for start in range(0, width, size)]
        states += [together[:, width : width + 1]] * len(clock)
        _, after = seen.cell(together[:, before.shape[-1] :], states)
        return ops.concatenate(after[: len(parts)], axis=-1)

    return jacobian(step, given.reshape(-1, given.shape[-1]), width)[:, :, :width]
