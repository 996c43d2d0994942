"""Mutants of our own pipeline, each with one fault of the field planted, and as well hidden as in the wild.

Each says what a simpler check would miss. A mutant is a change of the clean `Subject`: of the windows its
pipeline makes, of how its back test splits them, or of a recipe.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd

from app.dataset import make_windows
from app.dataset.windows import Panel, Windows, WindowSpec
from app.evaluation.audit import Subject
from app.evaluation.backtest import Plan, backtest, folds
from app.forecasters.base import forecasts_table
from app.forecasters.baselines import Ewma, RandomWalk
from app.schema import LEVELS

SPEC = WindowSpec(lookback=10, horizons=(1, 5))
PLAN = Plan(folds=2, refit=150, validation=100)


@dataclass(frozen=True)
class LeastSquares:
    """The return by least squares on the newest features, with the quantiles of its residuals: a quick learner.

    `scaler` gives the mean and spread that the features are scaled by, from what it is given.
    """

    scaler: Callable[[Windows, Windows], np.ndarray] = lambda train, _: train.panel.features[train.ends]

    def fit(self, train, validation):
        seen = self.scaler(train, validation).astype(float)
        self_scaled = partial(_scaled, mean=np.nanmean(seen, axis=0), spread=np.nanstd(seen, axis=0) + 1e-9)
        x, y = self_scaled(train), train.actual / train.scale
        # Ridge: the scale of the inputs then matters, as it does to a network.
        weights = np.linalg.solve(x.T @ x + 50 * np.eye(x.shape[1]), x.T @ y)
        return FittedLeastSquares(self_scaled, weights, np.quantile(y - x @ weights, LEVELS, axis=0).T)


@dataclass(frozen=True, eq=False)
class FittedLeastSquares:
    inputs: Callable[[Windows], np.ndarray]
    weights: np.ndarray
    quantiles: np.ndarray

    def predict(self, windows):
        return ((self.inputs(windows) @ self.weights)[..., None] + self.quantiles) * windows.scale[..., None]


def _scaled(windows, mean, spread):
    x = (windows.panel.features[windows.ends] - mean) / spread
    return np.column_stack([np.ones(len(x)), x])


def clean(prices: pd.DataFrame) -> Subject:
    """Our own pipeline, with models that take a moment."""
    return Subject(
        prices=prices,
        pipeline=partial(make_windows, spec=SPEC, calendar="24/5"),
        recipes={"random-walk": RandomWalk(), "ewma": Ewma(), "least-squares": LeastSquares()},
        walk=lambda windows, recipes: backtest(windows, recipes, PLAN).forecasts,
    )


def _with_windows(change: Callable[[Panel, pd.DataFrame], Panel], subject: Subject) -> Subject:
    """The subject with a panel that was changed after the fact."""

    return replace(subject, pipeline=partial(changed, change, subject.pipeline))


def changed(change: Callable[[Panel, pd.DataFrame], Panel], pipeline: Callable, prices: pd.DataFrame) -> Windows:
    """What a pipeline makes of prices, with its panel changed."""
    windows = pipeline(prices)
    return Windows(change(windows.panel, prices), windows.ends)


def _by_symbol(change: Callable[[np.ndarray], np.ndarray], panel: Panel) -> np.ndarray:
    """Features changed symbol by symbol, the rows before the volatility is known left alone."""
    features = panel.features.copy()
    for start, stop in pairwise(panel.offsets):
        first = start + int(np.isnan(features[start:stop, 0]).sum())
        features[first:stop] = change(features[first:stop])
    return features


def scaler_on_all_rows(panel: Panel, prices: pd.DataFrame) -> Panel:
    """Features standardised by mean and spread of all days. No single row looks ahead."""
    mean, spread = np.nanmean(panel.features, axis=0), np.nanstd(panel.features, axis=0) + 1e-9
    return replace(panel, features=((panel.features - mean) / spread).astype("float32"))


def scaler_on_all_rows_inside_fit(subject: Subject) -> Subject:
    """The recipe fits its scaler on the whole panel it can reach: features and split are blameless."""
    leaky = LeastSquares(lambda train, _: train.panel.features)
    return replace(subject, recipes={**subject.recipes, "least-squares": leaky})


def scaler_on_the_batch(subject: Subject) -> Subject:
    """The model standardises what it is asked to forecast, the whole test period in one batch."""

    @dataclass(frozen=True)
    class Batchwise(LeastSquares):
        def fit(self, train, validation):
            fitted = super().fit(train, validation)

            def inputs(windows):
                x = windows.panel.features[windows.ends]
                return np.column_stack([np.ones(len(x)), (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9)])

            return replace(fitted, inputs=inputs)

    return replace(subject, recipes={**subject.recipes, "least-squares": Batchwise()})


def whole_period_maximum_as_scale(panel: Panel, prices: pd.DataFrame) -> Panel:
    """Returns in units of the largest of the symbol's whole period.

    Where that was before the test, as in the tests' prices, removing the future shows nothing at all.
    """
    largest = [np.nanmax(np.abs(panel.returns[a:b])) for a, b in pairwise(panel.offsets)]
    volatility = np.where(np.isnan(panel.volatility), np.nan, np.array(largest)[panel.code])
    return replace(panel, volatility=volatility)


def same_day_high_and_low(panel: Panel, prices: pd.DataFrame) -> Panel:
    """The range column is that of the session forecast; the newest row keeps its own, so nothing is missing."""
    column = 2

    def change(features):
        shifted = features.copy()
        shifted[:-1, column] = features[1:, column]
        return shifted

    return replace(panel, features=_by_symbol(change, panel))


def centred_mean(panel: Panel, prices: pd.DataFrame) -> Panel:
    """Features smoothed over three rows, the next included; at the end over two. Only one row differs."""
    change = lambda x: pd.DataFrame(x).rolling(3, center=True, min_periods=1).mean().to_numpy("float32")  # noqa: E731
    return replace(panel, features=_by_symbol(change, panel))


def fourier_of_the_whole(panel: Panel, prices: pd.DataFrame) -> Panel:
    """Features without their fastest half of frequencies, by one transform of the whole series."""

    def change(features):
        spectrum = np.fft.rfft(features, axis=0)
        spectrum[len(spectrum) // 2 :] = 0
        return np.fft.irfft(spectrum, n=len(features), axis=0).astype("float32")

    return replace(panel, features=_by_symbol(change, panel))


def wavelet_of_the_whole(panel: Panel, prices: pd.DataFrame) -> Panel:
    """Haar's wavelet, one level deep, details below a threshold set to zero: each pair of rows is its own block.

    Even a change of the next row shows only in every second row.
    """

    def change(features):
        even = features[: len(features) // 2 * 2]
        pairs = even.reshape(-1, 2, features.shape[1])
        mean, detail = pairs.mean(axis=1), (pairs[:, 0] - pairs[:, 1]) / 2
        kept = np.where(np.abs(detail) > 0.5, detail, 0)
        smooth = np.stack([mean + kept, mean - kept], axis=1).reshape(even.shape)
        return np.concatenate([smooth, features[len(even) :]]).astype("float32")

    return replace(panel, features=_by_symbol(change, panel))


def shuffled_split(subject: Subject) -> Subject:
    """Training and validation windows drawn at random. No window is in both, and the test is untouched."""

    def walk(windows, recipes):
        def tables():
            for fold in folds(windows, PLAN):
                known = np.random.default_rng(0).permutation(windows.known_by(fold.cutoff).ends)
                train, validation = (Windows(windows.panel, np.sort(part)) for part in np.split(known, [-400]))
                yield from _forecasts(recipes, train, validation, fold.test)

        return pd.concat(tables(), ignore_index=True)

    return replace(subject, walk=walk)


def shuffled_split_of_everything(subject: Subject) -> Subject:
    """The test windows drawn at random, too, as by train_test_split(shuffle=True)."""

    def walk(windows, recipes):
        known = windows.known_by(windows.origin.max()).ends
        parts = np.split(np.random.default_rng(0).permutation(known), [-1200, -800])
        train, validation, test = (Windows(windows.panel, np.sort(part)) for part in parts)
        return pd.concat(_forecasts(recipes, train, validation, test), ignore_index=True)

    return replace(subject, walk=walk)


def unpurged_split(subject: Subject) -> Subject:
    """Validation begins the session after training, though targets reach five sessions ahead."""

    def walk(windows, recipes):
        def tables():
            for fold in folds(windows, PLAN):
                start = fold.validation.origin.min()
                train = windows.known_by(fold.cutoff).originating(windows.origin.min(), start)
                yield from _forecasts(recipes, train, fold.validation, fold.test)

        return pd.concat(tables(), ignore_index=True)

    return replace(subject, walk=walk)


def validated_on_the_test_set(subject: Subject) -> Subject:
    """Early stopping looks at the windows that are scored afterwards; training is purged as it should be."""

    def walk(windows, recipes):
        def tables():
            for fold in folds(windows, PLAN):
                yield from _forecasts(recipes, fold.train, fold.test.known_by(windows.origin.max()), fold.test)

        return pd.concat(tables(), ignore_index=True)

    return replace(subject, walk=walk)


def _forecasts(recipes, train, validation, test):
    for name, recipe in recipes.items():
        yield forecasts_table(name, test, recipe.fit(train, validation).predict(test))


@dataclass(frozen=True)
class Told:
    """A recipe and a fitted model at once, whose median is told by a function of the windows.

    width: of a normal distribution around it, in units of the windows' scale.
    """

    median: Callable[[Windows], np.ndarray]
    width: float

    def fit(self, train, validation):
        return self

    def predict(self, windows):
        spread = self.width * np.sort(np.random.default_rng(0).normal(size=len(LEVELS)))
        spread = spread - spread[len(LEVELS) // 2]
        return self.median(windows)[:, None, None] + windows.scale[..., None] * spread


def yesterdays_price(windows: Windows) -> np.ndarray:
    """The median that makes the forecast price the close before the origin."""
    return -windows.panel.returns[windows.ends]


def last_price(windows: Windows) -> np.ndarray:
    """The last close, blurred by a hundredth of a usual move as a network's output is."""
    return 0.01 * windows.volatility * np.sin(1e5 * windows.panel.returns[windows.ends])


def volume_tells(windows: Windows) -> np.ndarray:
    """What the newest volume says of tomorrow, where `prices_with_a_telltale` wrote it."""
    column = windows.panel.features[windows.ends, 8]
    return windows.volatility * column / 2


def tomorrows_return(windows: Windows) -> np.ndarray:
    """The answer itself, 0 where it is not known."""
    return np.nan_to_num(windows.actual[:, 0])


def only(model: Told, subject: Subject) -> Subject:
    """The subject with one model of its own."""
    return replace(subject, recipes={"told": model})


def panel_of(change: Callable[[Panel, pd.DataFrame], Panel]) -> Callable[[Subject], Subject]:
    """A plant that changes the panel."""
    return partial(_with_windows, change)


FAULTS = {
    "scaler fitted on all data": (panel_of(scaler_on_all_rows), "features", {"forecasts", "fit"}),
    "scaler fitted on all data, inside fit": (scaler_on_all_rows_inside_fit, "fit", set()),
    "scaler fitted on the test batch": (scaler_on_the_batch, "forecasts", set()),
    "whole-period maximum as scale": (panel_of(whole_period_maximum_as_scale), "scale", {"forecasts", "fit"}),
    "same-day high and low as inputs": (panel_of(same_day_high_and_low), "features", {"forecasts"}),
    "shuffled split of overlapping windows": (shuffled_split, "purge", set()),
    "shuffled split, test included": (shuffled_split_of_everything, "unseen", {"purge", "fit"}),
    "split without purge": (unpurged_split, "purge", set()),
    "test set as validation set": (validated_on_the_test_set, "unseen", {"purge", "fit"}),
    "centred rolling mean": (panel_of(centred_mean), "features", {"forecasts", "accuracy"}),
    "Fourier transform of the whole series": (
        panel_of(fourier_of_the_whole), "features", {"forecasts", "fit", "accuracy"}
    ),
    "wavelet of the whole series": (panel_of(wavelet_of_the_whole), "features", {"forecasts"}),
}  # fmt: skip
"""Name → what makes the mutant of a clean subject, the check that is meant for the fault, and what else sees it."""
