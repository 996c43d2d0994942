"""What the gates of a network do on real windows: how open they are, and when."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np
import pandas as pd

from app.dataset.windows import Windows
from app.insight.anatomy import Watched, watch
from app.insight.replay import Replay
from app.insight.sample import spread

SHUT, OPEN = 0.1, 0.9
"""Below the first a gate counts as shut, above the second as open."""

CELLS = 20
"""Of a histogram from 0 to 1."""

BAND = (0.1, 0.9)
"""Quantiles between which 80 % lie: of units and windows, or of windows."""

ALONG = ["mean", "low", "high", "shut", "open"]
"""What is said of a gate at each row, over units and windows."""


def watched_members(models: Sequence[keras.Model], windows: Windows, count: int) -> list[Watched]:
    """Every member of a network watched on at most `count` windows, far apart."""
    inputs = spread(windows, count).gather()
    return [watch(model, inputs) for model in models]


def gate_shares(seen: Sequence[Watched]) -> pd.DataFrame:
    """How open each gate is, over all windows, rows, units and members.

    Returns:
        Columns layer, gate, mean, deviation, shut (share below 0.1), open (share above 0.9), values.
    """
    rows = [
        (layer, gate, z.mean(), z.std(), (z < SHUT).mean(), (z > OPEN).mean(), z.size)
        for layer, gate, z in _gates([one.layers for one in seen])
    ]
    return pd.DataFrame(rows, columns=["layer", "gate", "mean", "deviation", "shut", "open", "values"])


def gate_histograms(seen: Sequence[Watched]) -> pd.DataFrame:
    """The distribution of each gate: layer, gate, above and below (the ends of a cell), share."""
    edges = np.linspace(0, 1, CELLS + 1)
    tables = []
    for layer, gate, z in _gates([one.layers for one in seen]):
        share = np.histogram(z, edges)[0] / z.size
        tables.append(
            pd.DataFrame({"layer": layer, "gate": gate, "above": edges[:-1], "below": edges[1:], "share": share})
        )
    return _joined(tables, ["layer", "gate", "above", "below", "share"])


def gate_lags(seen: Sequence[Watched]) -> pd.DataFrame:
    """Each gate by lag, the sessions before the origin.

    Returns:
        Columns layer, gate, lag, mean, low, high (80 % of units and windows lie between), shut, open.
    """
    tables = []
    for layer, gate, z in _gates([one.layers for one in seen]):
        tables.append(pd.DataFrame({"layer": layer, "gate": gate, "lag": seen[0].layers[layer].lags, **_along(z)}))
    return _joined(tables, ["layer", "gate", "lag", *ALONG])


def gate_horizons(seen: Sequence[Watched], horizons: Sequence[int]) -> pd.DataFrame:
    """Each gate of a decoder by horizon, in sessions ahead; empty without a decoder.

    Returns:
        Columns layer, gate, horizon, mean, low, high (80 % of units and windows lie between), shut, open.
    """
    tables = []
    for layer, gate, z in _gates([one.decoder for one in seen]):
        tables.append(pd.DataFrame({"layer": layer, "gate": gate, "horizon": list(horizons), **_along(z)}))
    return _joined(tables, ["layer", "gate", "horizon", *ALONG])


def state_traces(model: keras.Model, windows: Windows) -> pd.DataFrame:
    """What every unit holds while a network reads one window, the newest.

    Returns:
        Columns symbol, origin, layer, state ("memory" c where there is one, else "hidden" h), unit, lag, value.
    """
    one = Windows(windows.panel, windows.ends[-1:])
    tables = []
    for layer, seen in watch(model, one.gather()).layers.items():
        state, value = _held(seen)
        lag, unit = np.meshgrid(seen.lags, np.arange(1, value.shape[-1] + 1), indexing="ij")
        columns = {"layer": layer, "state": state, "unit": unit.ravel(), "lag": lag.ravel(), "value": value[0].ravel()}
        tables.append(pd.DataFrame({"symbol": one.symbol[0], "origin": one.origin[0], **columns}))
    return _joined(tables, ["symbol", "origin", "layer", "state", "unit", "lag", "value"])


def attention_lags(seen: Sequence[Watched]) -> pd.DataFrame:
    """The attention paid to each row: lag, mean, low, high (80 % of windows lie between); empty without attention."""
    weights = [one.attention for one in seen if one.attention is not None]
    if not weights:
        return pd.DataFrame(columns=["lag", "mean", "low", "high"])
    every = np.concatenate(weights)[:, ::-1]
    low, high = np.quantile(every, BAND, axis=0)
    return pd.DataFrame({"lag": np.arange(every.shape[1]), "mean": every.mean(axis=0), "low": low, "high": high})


def pooled(seen: Sequence[Watched]) -> Mapping[str, list[Replay]]:
    """Layer → what happened there in every member."""
    return {name: [one.layers[name] for one in seen] for name in seen[0].layers}


def _gates(members: Sequence[Mapping[str, Replay]]):
    """Layer, gate, and its values (n, rows, units) over all members."""
    for layer, first in members[0].items():
        for gate in first.gates:
            yield layer, gate, np.concatenate([one[layer].gates[gate] for one in members])


def _along(z: np.ndarray) -> dict[str, np.ndarray]:
    """Of a gate (n, rows, units), row by row: the columns `ALONG`."""
    by_row = np.moveaxis(z, 1, 0).reshape(z.shape[1], -1)
    low, high = np.quantile(by_row, BAND, axis=1)
    shares = {"shut": (by_row < SHUT).mean(axis=1), "open": (by_row > OPEN).mean(axis=1)}
    return {"mean": by_row.mean(axis=1), "low": low, "high": high, **shares}


def _held(seen: Replay) -> tuple[str, np.ndarray]:
    """The memory of a layer where it has one, else its hidden state."""
    hidden, *others = seen.states
    if others and others[0].shape == hidden.shape:
        return "memory", others[0]
    return "hidden", hidden


def _joined(tables: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)
