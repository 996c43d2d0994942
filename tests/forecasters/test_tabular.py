"""Quantile boosting: it finds a planted rule, never crosses, and nothing of the future reaches it."""

import dataclasses

import numpy as np
import pytest
import skops.io

from app.dataset import make_windows
from app.dataset.windows import Windows, WindowSpec
from app.errors import DataError, SettingsError
from app.forecasters import tabular
from app.forecasters.tabular import FittedBoosting, QuantileBoosting, _inputs
from tests.forecasters.planted import learning_sets, price_table, without_future

SPEC = WindowSpec(lookback=8, horizons=(1, 4))
SMALL = QuantileBoosting(rows=1000, iterations=6, least=20)
CUTOFF, VALIDATION = "2024-06-28", "2024-01-01"


@pytest.fixture(scope="module")
def prices():
    rng = np.random.default_rng(0)
    return price_table({symbol: size * rng.standard_t(4, 900) for symbol, size in (("A", 0.01), ("B", 0.02))})


@pytest.fixture(scope="module")
def windows(prices):
    return make_windows(prices, SPEC, "24/5")


@pytest.fixture(scope="module")
def fitted(windows):
    return SMALL.fit(*learning_sets(windows, CUTOFF, VALIDATION))


def test_inputs_by_hand(windows):
    end = windows.ends[50]
    row = _inputs(Windows(windows.panel, np.array([end])))[0]
    features = windows.panel.features
    parts = [features[end], features[end - 4 : end + 1].mean(axis=0), features[end - 7 : end + 1].mean(axis=0)]
    np.testing.assert_allclose(row, np.concatenate(parts), rtol=1e-5, atol=1e-6)


def test_quantiles_rise_and_are_finite(fitted, windows):
    quantiles = fitted.predict(windows)
    assert quantiles.shape == (len(windows), 2, 19)
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=-1) >= 0).all()


def test_ensembles_that_cross_are_sorted(fitted, windows):
    backwards = FittedBoosting(fitted.horizons, tuple(row[::-1] for row in fitted.ensembles))
    np.testing.assert_array_equal(backwards.predict(windows), fitted.predict(windows))


def test_it_learns_a_planted_rule():
    """Every return has the sign opposite to the one before it: the median must say so."""
    rng = np.random.default_rng(1)
    steps = 0.01 * np.where(np.arange(1500) % 2, 1, -1) * np.abs(rng.normal(size=1500))
    windows = make_windows(price_table({"A": steps}), WindowSpec(6, (1,)), "24/5")
    fitted = SMALL.fit(*learning_sets(windows, "2024-01-31", "2023-06-30"))
    test = windows.originating(np.datetime64("2024-02-01"), np.datetime64("2024-12-31"))
    median = fitted.predict(test)[:, 0, 9]
    assert (np.sign(median) == np.sign(test.actual[:, 0])).mean() > 0.95


def test_it_learns_from_train_and_validation_together(windows):
    """All the targets of one set, or the other, doubled: either way the forecast widens."""
    train, validation = learning_sets(windows, CUTOFF, VALIDATION)
    width = [np.ptp(SMALL.fit(train, validation).predict(windows), axis=-1).mean()]
    for doubled in (train, validation):
        actual = windows.panel.actual.copy()
        actual[doubled.ends] *= 2
        panel = dataclasses.replace(windows.panel, actual=actual)
        fitted = SMALL.fit(Windows(panel, train.ends), Windows(panel, validation.ends))
        width.append(np.ptp(fitted.predict(windows), axis=-1).mean())
    assert width[0] * 1.03 < width[2] < width[1]


def test_rows_are_at_most_so_many_and_evenly_spaced(windows, monkeypatch):
    seen = []
    monkeypatch.setattr(tabular, "_inputs", lambda chosen: seen.append(chosen.ends) or _inputs(chosen))
    train, validation = learning_sets(windows, CUTOFF, VALIDATION)
    SMALL.fit(train, validation)
    known = np.union1d(train.ends, validation.ends)
    assert len(seen[0]) == SMALL.rows < len(known)
    assert seen[0][[0, -1]].tolist() == known[[0, -1]].tolist()
    assert np.diff(np.searchsorted(known, seen[0])).max() <= np.ceil(len(known) / SMALL.rows)


@pytest.mark.parametrize("change", ["removed", "noise"])
def test_knows_nothing_of_the_future(change, fitted, prices, windows):
    altered = make_windows(without_future(prices, CUTOFF, change), SPEC, "24/5")
    again = SMALL.fit(*learning_sets(altered, CUTOFF, VALIDATION))
    day = np.datetime64(CUTOFF)
    then, now = fitted.predict(windows.originating(day, day + 1)), again.predict(altered.originating(day, day + 1))
    assert len(then) == 2
    np.testing.assert_array_equal(now, then)


def test_the_same_seed_gives_the_same_forecasts_and_company_does_not_matter(fitted, windows):
    whole = SMALL.fit(*learning_sets(windows, CUTOFF, VALIDATION)).predict(windows)
    np.testing.assert_array_equal(whole, fitted.predict(windows))
    alone = fitted.predict(Windows(windows.panel, windows.ends[77:78]))
    np.testing.assert_array_equal(alone[0], whole[77])
    assert fitted.predict(Windows(windows.panel, windows.ends[:0])).shape == (0, 2, 19)


def test_saved_and_loaded_gives_identical_forecasts(fitted, windows, tmp_path):
    fitted.save(tmp_path)
    np.testing.assert_array_equal(FittedBoosting.load(tmp_path).predict(windows), fitted.predict(windows))


def test_a_file_with_another_type_in_it_is_refused(fitted, tmp_path):
    fitted.save(tmp_path)
    skops.io.dump((print,), tmp_path / "boosting.skops")
    with pytest.raises(Exception, match="print"):
        FittedBoosting.load(tmp_path)


def test_other_horizons_are_refused(fitted, prices):
    other = make_windows(prices, WindowSpec(8, (1, 2)), "24/5")
    with pytest.raises(DataError, match=r"quantile-boosting was fitted for horizons \[1, 4\], asked for \[1, 2\]"):
        fitted.predict(other)


@pytest.mark.parametrize(("name", "value"), [("rows", 10), ("learning_rate", 0.0), ("leaves", 1), ("iterations", 0)])
def test_settings_that_make_no_sense_are_refused(name, value):
    with pytest.raises(SettingsError, match=rf"boosting\.{name} must be .* got {value}"):
        QuantileBoosting(**{name: value})
