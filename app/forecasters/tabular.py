"""Quantile boosting: trees on the newest features, one ensemble for each horizon and level."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZIP_DEFLATED

import numpy as np
from threadpoolctl import threadpool_limits

from app.allowed import check_ranges
from app.dataset.windows import Windows
from app.forecasters.baselines import check_horizons, known_windows
from app.schema import LEVELS

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingRegressor

log = logging.getLogger(__name__)

TRUSTED = ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",)
"""The one type in the file that skops does not know to be harmless: arrays of nodes."""

THREADS = 1
"""OpenMP's threads wait for each other in a loop: on two busy cores, two took 20 times the processor time of one."""

MEANS = (5, 20)
"""Newest rows whose mean joins the last row as an input; fewer where the lookback is shorter."""

RANGES = {
    "rows": (1000, 10_000_000), "iterations": (1, 10_000), "leaves": (2, 1024),
    "least": (1, 1_000_000), "learning_rate": (1e-4, 1.0), "l2": (0.0, 1e6), "seed": (0, 2**31 - 1),
}  # fmt: skip


@dataclass(frozen=True)
class QuantileBoosting:
    """Recipe of gradient-boosted quantile regression, pooled over symbols.

    rows: at most so many windows, evenly spaced over all that are known; the newest alone did worse.
    iterations: trees an ensemble. leaves: of a tree; least: windows in each. learning_rate, l2: as in
    scikit-learn. The number of trees is fixed, and validation windows are learnt from, too: stopping
    by them was as good 1 and 5 sessions ahead and 0.2 % worse at 20 (20 US stocks; 2006, 2008, 2010, 2012).

    Source: Friedman (2001), Annals of Statistics 29, 1189-1232; the implementation is scikit-learn's.
    """

    rows: int = 40_000
    iterations: int = 40
    leaves: int = 4
    least: int = 200
    learning_rate: float = 0.1
    l2: float = 1.0
    seed: int = 0

    __pydantic_config__ = {"extra": "forbid"}

    def __post_init__(self) -> None:
        check_ranges("boosting", self, RANGES)

    def fit(self, train: Windows, validation: Windows) -> "FittedBoosting":
        """Grow an ensemble for each horizon and level on the windows of both sets.

        Raises:
            DataError: no window has a known target.
        """
        known = known_windows(train, validation)
        even = np.linspace(0, len(known) - 1, min(self.rows, len(known))).astype(int)
        learnt = Windows(known.panel, known.ends[even])
        inputs, targets = _inputs(learnt), learnt.scaled
        rows = []
        for column, horizon in enumerate(learnt.spec.horizons):
            with threadpool_limits(limits=THREADS):
                rows.append(tuple(self._ensemble(level).fit(inputs, targets[:, column]) for level in LEVELS))
            log.info("quantile-boosting: horizon %d fitted on %d windows", horizon, len(learnt))
        return FittedBoosting(learnt.spec.horizons, tuple(rows))

    def _ensemble(self, level: float) -> "HistGradientBoostingRegressor":
        from sklearn.ensemble import HistGradientBoostingRegressor  # costs two seconds: only when trees grow

        return HistGradientBoostingRegressor(
            loss="quantile",
            quantile=level,
            learning_rate=self.learning_rate,
            max_iter=self.iterations,
            max_leaf_nodes=self.leaves,
            min_samples_leaf=self.least,
            l2_regularization=self.l2,
            early_stopping=False,
            random_state=self.seed,
        )


@dataclass(frozen=True, eq=False)
class FittedBoosting:
    """One ensemble for each horizon and level; their answers are sorted, so that no quantiles cross.

    Source of the sorting: Chernozhukov, Fernández-Val & Galichon (2010), Econometrica 78, 1093-1125:
    the sorted quantiles are never further from the truth than the crossing ones.
    """

    horizons: tuple[int, ...]
    ensembles: tuple[tuple["HistGradientBoostingRegressor", ...], ...]

    def predict(self, windows: Windows) -> np.ndarray:
        """(n, horizons, levels) quantiles of the target.

        Raises:
            DataError: the windows have other horizons than those it was fitted on.
        """
        check_horizons("quantile-boosting", self.horizons, windows)
        scaled = np.zeros((len(windows), len(self.horizons), len(LEVELS)))
        if len(windows):
            inputs = _inputs(windows)
            with threadpool_limits(limits=THREADS):
                for row, ensembles in enumerate(self.ensembles):
                    for column, ensemble in enumerate(ensembles):
                        scaled[:, row, column] = ensemble.predict(inputs)
        return windows.restored(np.sort(scaled, axis=-1))

    def save(self, folder: Path) -> None:
        """The trees without pickle (skops), and the horizons."""
        import skops.io  # loads scikit-learn: only when a model is saved

        skops.io.dump(self.ensembles, Path(folder) / "boosting.skops", compression=ZIP_DEFLATED, compresslevel=6)
        (Path(folder) / "boosting.json").write_text(json.dumps({"horizons": self.horizons}))

    @classmethod
    def load(cls, folder: Path) -> "FittedBoosting":
        """What `save` wrote; forecasts are identical. A file with any other type in it is refused."""
        content = json.loads((Path(folder) / "boosting.json").read_text())
        import skops.io  # loads scikit-learn: only when a model is loaded

        ensembles = skops.io.load(Path(folder) / "boosting.skops", trusted=list(TRUSTED))
        return cls(tuple(content["horizons"]), tuple(tuple(row) for row in ensembles))


def _inputs(windows: Windows) -> np.ndarray:
    """(n, inputs) float32: the last row of each window, and means over its newest rows."""
    features, columns = windows.panel.features, [windows.panel.features[windows.ends]]
    for length in MEANS:
        rows = range(min(length, windows.spec.lookback))
        columns.append(sum(features[windows.ends - row] for row in rows) / np.float32(len(rows)))
    return np.concatenate(columns, axis=1)
