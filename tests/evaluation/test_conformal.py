"""The correction restores coverage, leaves a right forecast alone, and knows nothing of the future."""

import numpy as np
import pandas as pd
import pytest

from app.dataset import make_windows
from app.dataset.windows import WindowSpec
from app.errors import SettingsError
from app.evaluation.conformal import conformal, corrected_newest
from app.evaluation.metrics import score
from app.forecasters.base import forecasts_table
from app.schema import LEVELS, MEDIAN, QUANTILES
from tests.evaluation.planted import NORMAL, gaussian, overlapping
from tests.reference import adaptive_conformal

COLUMNS = list(QUANTILES)


@pytest.fixture
def known():
    """Forecasts 5 sessions ahead of 3 symbols on 80 days, a third too narrow, some actuals not known."""
    random = np.random.default_rng(0)
    actual = overlapping(random, 3, 80, 5)
    actual[0, 10], actual[:, 40], actual[:, 76:] = np.nan, np.nan, np.nan
    centre = random.normal(size=actual.shape)
    return gaussian("lstm", actual, 1.5, centre, horizon=5)


@pytest.mark.parametrize("horizon", [1, 5])
def test_it_agrees_with_a_loop(horizon):
    random = np.random.default_rng(horizon)
    actual = overlapping(random, 3, 60, horizon)
    actual[0, 10], actual[:, 40], actual[:, 57:] = np.nan, np.nan, np.nan
    table = gaussian("lstm", actual, random.gamma(3, size=actual.shape), random.normal(size=actual.shape), horizon)
    given = table[COLUMNS].to_numpy().reshape(3, 60, 19)
    expected = adaptive_conformal(given, actual, LEVELS, 0.2 / np.sqrt(horizon), delay=horizon)
    np.testing.assert_allclose(conformal(table, 0.2)[COLUMNS].to_numpy().reshape(3, 60, 19), expected)


@pytest.mark.parametrize(("horizon", "spread"), [(1, 0.7), (1, 1.5), (5, 0.7)])
def test_coverage_is_restored(horizon, spread):
    actual = overlapping(np.random.default_rng(horizon), 5, 2500, horizon)
    table = gaussian("lstm", actual, spread * np.sqrt(horizon), horizon=horizon)
    late = conformal(table)["origin"] >= table["origin"].unique()[500]
    before, after = score(table[late]).iloc[0], score(conformal(table)[late]).iloc[0]
    for nominal in (50, 80, 90):
        assert abs(before[f"coverage_{nominal}"] - nominal / 100) > 0.05
        assert after[f"coverage_{nominal}"] == pytest.approx(nominal / 100, abs=0.015)
    assert after["crps"] < before["crps"]


def test_coverage_is_restored_in_calm_and_in_stormy_markets():
    """Two thirds as wide as it should be where it is narrow, a third too wide where it is wide: right on average."""
    random = np.random.default_rng(7)
    spread = np.repeat(np.exp(0.5 * random.normal(size=150)), 20)
    said = spread * np.where(spread < 0.8, 0.67, np.where(spread > 1.25, 1.33, 1.0))
    table = gaussian("lstm", spread * random.normal(size=(5, 3000)), np.broadcast_to(said, (5, 3000)))
    found = conformal(table)
    width = (table["q0.90"] - table["q0.10"]).to_numpy()
    late = (table["origin"] >= table["origin"].unique()[500]).to_numpy()
    for part in pd.qcut(width, 3, labels=False) == np.arange(3)[:, None]:
        before, after = score(table[part & late]).iloc[0], score(found[part & late]).iloc[0]
        assert after["coverage_80"] == pytest.approx(0.8, abs=0.02)
        assert abs(after["coverage_80"] - 0.8) < abs(before["coverage_80"] - 0.8)
    assert score(found[late]).iloc[0]["crps"] < score(table[late]).iloc[0]["crps"]


def test_a_forecast_that_is_right_stays_right():
    actual = np.random.default_rng(3).normal(size=(5, 2000))
    table = gaussian("lstm", actual)
    before, after = score(table).iloc[0], score(conformal(table)).iloc[0]
    for nominal in (50, 80, 90):
        assert after[f"coverage_{nominal}"] == pytest.approx(nominal / 100, abs=0.01)
    assert after["crps"] == pytest.approx(before["crps"], rel=0.002)
    assert after["width_80"] == pytest.approx(before["width_80"], rel=0.02)


def test_it_follows_a_market_that_changes():
    random = np.random.default_rng(4)
    actual = random.normal(size=(5, 3000)) * np.where(np.arange(3000) < 1500, 1.0, 2.0)
    found = conformal(gaussian("lstm", actual))
    last = score(found[found["origin"] >= found["origin"].unique()[2000]]).iloc[0]
    assert last["coverage_90"] == pytest.approx(0.9, abs=0.015)


def test_a_correction_knows_nothing_of_the_future(known):
    whole = conformal(known, 0.3)
    for day in known["origin"].unique()[[5, 30, 60]]:
        past = known[known["origin"] <= day]
        then = past.assign(actual=past["actual"].where(past["date"] <= day))
        pd.testing.assert_frame_equal(
            conformal(then, 0.3)[COLUMNS], whole.loc[whole["origin"] <= day, COLUMNS], check_exact=True
        )


@pytest.mark.parametrize("horizon", [1, 5])
def test_an_actual_is_first_felt_on_the_day_it_is_known(horizon):
    table = gaussian("lstm", overlapping(np.random.default_rng(1), 1, 60, horizon), 3.0, horizon=horizon)
    changed = table.assign(actual=table["actual"].where(table.index != 20, 99.0))
    one, other = conformal(table)[COLUMNS], conformal(changed)[COLUMNS]
    differs = (one != other).any(axis=1).to_numpy()
    assert not differs[: 20 + horizon].any()
    assert differs[20 + horizon :].all()


def test_the_median_stays_and_quantiles_never_cross(known):
    shrunk = known.assign(actual=known[MEDIAN] + 0.01)
    for table in (known, shrunk, known.assign(actual=1e6), known.assign(actual=-1e6)):
        found = conformal(table, rate=1.0)
        assert (np.diff(found[COLUMNS].to_numpy(), axis=1) >= 0).all()
        np.testing.assert_array_equal(found[MEDIAN], table[MEDIAN])


def test_the_rows_are_the_same_in_the_same_order_under_another_name(known):
    mixed = known.sample(frac=1, random_state=0).astype(dict.fromkeys(COLUMNS, "float32"))
    found = conformal(mixed)
    assert set(found["model"]) == {"lstm-conformal"}
    facts = ["symbol", "origin", "horizon", "date", "origin_close", "actual"]
    pd.testing.assert_frame_equal(found[facts], mixed[facts])
    assert (found[COLUMNS].dtypes == "float32").all()
    ordered = conformal(known.astype(dict.fromkeys(COLUMNS, "float32")))
    pd.testing.assert_frame_equal(found.sort_index(), ordered)


def test_models_and_horizons_are_corrected_apart(known):
    other = gaussian("gru", np.random.default_rng(9).normal(size=(2, 50)), 0.2)
    both = conformal(pd.concat([known, other], ignore_index=True))
    pd.testing.assert_frame_equal(both[both["model"] == "lstm-conformal"], conformal(known))
    pd.testing.assert_frame_equal(both[both["model"] == "gru-conformal"].reset_index(drop=True), conformal(other))


def test_days_are_the_unit_and_symbols_are_not():
    actual = np.random.default_rng(6).normal(size=(1, 300))
    once, many = (conformal(gaussian("lstm", np.tile(actual, (count, 1)), 0.5)) for count in (1, 10))
    np.testing.assert_allclose(many[COLUMNS].head(300), once[COLUMNS])


def test_the_newest_forecast_is_corrected_by_all_that_went_before(known):
    newest = conformal(known)[known["actual"].isna().to_numpy()]
    before = known[known["actual"].isna()]
    assert (newest["q0.95"] - newest["q0.05"]).mean() > 1.1 * (before["q0.95"] - before["q0.05"]).mean()


def test_no_forecasts_are_no_corrections(known):
    assert len(conformal(known.head(0))) == 0


@pytest.mark.parametrize("rate", [0, -0.1, 1.1, float("nan")])
def test_a_rate_that_cannot_learn_is_refused(known, rate):
    with pytest.raises(SettingsError, match=r"rate must be above 0 and at most 1, got"):
        conformal(known, rate)


@pytest.fixture
def windows(prices):
    return make_windows(prices, WindowSpec(10, (1, 5)))


class Narrow:
    """A fitted model whose quantiles are four times too narrow."""

    def predict(self, windows):
        return windows.restored(np.broadcast_to(0.25 * NORMAL, (len(windows), 2, 19)))


def test_a_live_forecast_is_corrected_by_what_the_same_model_would_have_said(windows, monkeypatch):
    """It is the last origin of the correction of all its forecasts, one row for each symbol and horizon."""
    monkeypatch.setattr("app.evaluation.conformal.RECENT", 1000)
    live = corrected_newest("lstm", Narrow(), windows)
    whole = conformal(forecasts_table("lstm", windows, Narrow().predict(windows)))
    expected = whole[whole["origin"] == whole["origin"].max()].reset_index(drop=True)
    pd.testing.assert_frame_equal(live, expected)
    assert live["model"].unique().tolist() == ["lstm-conformal"]
    plain = forecasts_table("lstm", windows.newest(), Narrow().predict(windows.newest()))
    assert ((live["q0.95"] - live["q0.05"]) > 1.5 * (plain["q0.95"] - plain["q0.05"])).all()


def test_a_live_forecast_depends_on_nothing_older_than_a_year(windows, monkeypatch):
    monkeypatch.setattr("app.evaluation.conformal.RECENT", 50)
    cut = np.unique(windows.origin)[-50]
    recent = windows.originating(cut, windows.origin.max() + 1)
    pd.testing.assert_frame_equal(
        corrected_newest("lstm", Narrow(), windows), corrected_newest("lstm", Narrow(), recent)
    )
