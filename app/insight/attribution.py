"""Which features and which sessions a forecast rests on: integrated gradients, and permutation."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import pandas as pd
from keras import ops

from app.dataset.windows import Windows
from app.evaluation.metrics import crps
from app.insight.anatomy import standardised
from app.insight.gradients import jacobian
from app.insight.memory import ROWS_AT_ONCE, parts_of

NODES, COMPLETE = (16, 64, 256), 5e-3
"""Of the Gauss-Legendre rule along the path: more, until contributions add up to this share of the largest
difference. A network that remembers is smooth; one whose gradients explode, or with relu, is not."""

BATCH = 1024
IMPORTANCE_COLUMNS = ["feature", "horizon", "crps", "permuted", "increase", "deviation", "repeats", "windows", "days"]


def integrated_gradients(models: Sequence[keras.Model], windows: Windows) -> tuple:
    """What each feature of each session adds to a forecast, against the mean row of the training data.

    With z the standardised window, 0 the baseline and F a part of the forecast:

        A[k, j] = z[k, j] * integral over a from 0 to 1 of dF / dz[k, j] at a z,     sum of A = F(z) - F(0)

    Args:
        models: the members of one network, whose mean is the forecast.
        windows: (n) to be explained, at least one.

    Returns:
        (n, outputs, lags, features) contributions, lag 0 being the origin; (n, outputs) F(z) - F(0), which
        they should add up to; the (part, horizon) of each output.

    Source: Sundararajan, Taly & Yan (2017), "Axiomatic attribution for deep networks", ICML, eq. 1, prop. 1.
    """
    answer, outputs = parts_of(models, windows.spec.horizons)
    z = standardised(models[0], windows.gather())
    difference = ops.convert_to_numpy(answer(z)) - ops.convert_to_numpy(answer(np.zeros_like(z[:1])))
    for nodes in NODES:
        parts = _path_integral(answer, z, len(outputs), nodes)
        if np.abs(parts.sum(axis=(2, 3)) - difference).max() <= COMPLETE * np.abs(difference).max():
            break
    return parts[:, :, ::-1], difference, outputs


def _path_integral(answer: Callable, z: np.ndarray, outputs: int, nodes: int) -> np.ndarray:
    """(n, outputs, rows, features) contributions by the Gauss-Legendre rule, all nodes of a window side by side."""
    place, weight = np.polynomial.legendre.leggauss(nodes)
    windows = max(1, ROWS_AT_ONCE // (z.shape[1] * outputs * nodes))
    parts = []
    for start in range(0, len(z), windows):
        some = z[start : start + windows]
        points = (place[:, None, None, None] + 1) / 2 * some
        slopes = jacobian(answer, points.reshape(-1, *z.shape[1:]), outputs)
        mean = np.tensordot(weight / 2, slopes.reshape(nodes, len(some), outputs, *z.shape[1:]), axes=1)
        parts.append(some[:, None] * mean)
    return np.concatenate(parts)


def attribution_table(parts: np.ndarray, outputs: list[tuple[str, int]], features: Sequence[str]) -> pd.DataFrame:
    """Means over windows: part, horizon, feature, lag, size (of absolute values), net (with their signs)."""
    lag, feature = np.meshgrid(np.arange(parts.shape[2]), np.array(features), indexing="ij")
    tables = []
    for place, (part, horizon) in enumerate(outputs):
        size, net = np.abs(parts[:, place]).mean(axis=0), parts[:, place].mean(axis=0)
        columns = {"feature": feature.ravel(), "lag": lag.ravel(), "size": size.ravel(), "net": net.ravel()}
        tables.append(pd.DataFrame({"part": part, "horizon": horizon, **columns}))
    return pd.concat(tables, ignore_index=True)


def completeness(parts: np.ndarray, differences: np.ndarray, outputs: list[tuple[str, int]]) -> pd.DataFrame:
    """How well contributions add up: part, horizon, difference (mean absolute F(z) - F(0)), gap (largest miss)."""
    gaps = np.abs(parts.sum(axis=(2, 3)) - differences)
    rows = [
        (part, horizon, np.abs(differences[:, place]).mean(), gaps[:, place].max())
        for place, (part, horizon) in enumerate(outputs)
    ]
    return pd.DataFrame(rows, columns=["part", "horizon", "difference", "gap"])


def permutation_importance(
    models: Sequence[keras.Model], windows: Windows, features: Sequence[str], repeats: int = 5, seed: int = 0
) -> pd.DataFrame:
    """How much worse the CRPS gets when one feature comes from a window of another day.

    The feature's whole past in a window is replaced by that of another window, so that it stays a possible
    past, and no two windows take the same one.

    Args:
        windows: with known actuals, of two days at least.
        features: names of the columns of the panel.
        repeats: permutations of each feature.

    Returns:
        Columns feature, horizon, crps (as it is), permuted (mean over repeats), increase (permuted / crps - 1),
        deviation (of the increase between repeats; NaN if there is but one), repeats, windows, days.

    Source: Breiman (2001), "Random forests", Machine Learning 45, section 10; for any model and loss: Fisher,
    Rudin & Dominici (2019), JMLR 20, 177.
    """
    inputs, rng = windows.gather(), np.random.default_rng(seed)
    whole = _crps(models, inputs, windows)
    rows = []
    for column, feature in enumerate(features):
        found = []
        for _ in range(repeats):
            mixed = inputs.copy()
            mixed[:, :, column] = inputs[_donors(windows.origin, rng), :, column]
            found.append(_crps(models, mixed, windows))
        for place, horizon in enumerate(windows.spec.horizons):
            ratio = np.array(found)[:, place] / whole[place] - 1
            deviation = ratio.std(ddof=1) if repeats > 1 else np.nan
            scores = (whole[place], np.mean(found, axis=0)[place], ratio.mean(), deviation)
            rows.append((feature, horizon, *scores, repeats, len(windows), len(np.unique(windows.origin))))
    return pd.DataFrame(rows, columns=IMPORTANCE_COLUMNS)


def _donors(origin: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n,) a permutation that takes every window from another day, unless one day holds more than half of them.

    Windows are laid in a circle, day after day in random order; each takes from the one as many places
    on as the fullest day has windows.
    """
    days, day = np.unique(origin, return_inverse=True)
    order = np.lexsort([rng.random(len(day)), rng.permutation(len(days))[day]])
    donors = np.empty(len(day), int)
    donors[order] = np.roll(order, -np.bincount(day).max())
    return donors


def _crps(models: Sequence[keras.Model], inputs: np.ndarray, windows: Windows) -> np.ndarray:
    """(horizons,) mean over days of the mean over the symbols of a day."""
    quantiles = windows.restored(answers(models, inputs))
    day = np.unique(windows.origin, return_inverse=True)[1]
    losses = [crps(quantiles[:, place], windows.actual[:, place]) for place in range(quantiles.shape[1])]
    return np.array([(np.bincount(day, loss) / np.bincount(day)).mean() for loss in losses])


def answers(models: Sequence[keras.Model], inputs: np.ndarray) -> np.ndarray:
    """(n, horizons, levels) scaled quantiles of inputs, the mean over members: what `FittedNetwork.predict` scales."""
    filled = np.concatenate([inputs, np.repeat(inputs[:1], -len(inputs) % BATCH, axis=0)])
    parts = [
        np.mean([model.predict_on_batch(filled[start : start + BATCH]) for model in models], axis=0)
        for start in range(0, len(filled), BATCH)
    ]
    return np.concatenate(parts)[: len(inputs)].astype("float64")
