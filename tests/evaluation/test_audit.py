"""The audit catches every planted fault by the check that is meant for it, and finds nothing where nothing is."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

from app.errors import DataError
from app.evaluation import audit as auditing
from app.evaluation.alarms import no_copy, plausible
from app.evaluation.audit import audit
from app.evaluation.trials import altered, observe, world
from app.forecasters.baselines import Ewma
from app.prices.quality import inspect, sound
from app.prices.sources import Files, Sample
from tests.evaluation import planted_faults as planted
from tests.forecasters.planted import gjr_returns, price_table

DYNAMICS = (0.0002, 3e-6, 0.05, 0.08, 0.88, 6.0)
CALM = (0.0, 1e-4, 0.0, 0.0, 0.0, 30.0)
CHECKS = ["accuracy", "cleaning", "copy", "features", "fit", "forecasts", "purge", "scale", "targets", "unseen"]


def simulated(seed: int = 0, dynamics: tuple = DYNAMICS, symbols: int = 3, sessions: int = 900) -> pd.DataFrame:
    """Random walks with GJR-GARCH noise, whose largest move by far is a crash long before the test."""
    returns = {f"S{i}": gjr_returns(dynamics, sessions, seed=100 * seed + i) for i in range(symbols)}
    for steps in returns.values():
        steps[200] = -0.5
    return price_table(returns)


def failed(findings) -> set[str]:
    return {one.check for one in findings if not one.passed}


@pytest.fixture(scope="module")
def prices():
    return simulated()


@pytest.fixture(scope="module")
def subject(prices):
    return planted.clean(prices)


@pytest.mark.parametrize(("plant", "meant", "also"), planted.FAULTS.values(), ids=planted.FAULTS)
def test_each_planted_fault_is_caught_by_the_check_meant_for_it(plant, meant, also, subject):
    assert failed(audit(plant(subject), origins=4)) == {meant, *also}


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_found_on_random_walks(seed):
    found = audit(planted.clean(simulated(seed)), origins=3)
    assert failed(found) == set()
    assert sorted({one.check for one in found}) == CHECKS


def test_nothing_is_found_on_the_sample():
    prices = pd.concat([Sample().history(symbol) for symbol in Sample().symbols()], ignore_index=True)
    assert failed(audit(planted.clean(prices), origins=3)) == set()


@pytest.mark.parametrize("name", planted.FAULTS)
def test_every_fault_is_caught_in_the_prices_of_the_sample_too(name):
    prices = pd.concat([Sample().history(symbol) for symbol in Sample().symbols()], ignore_index=True)
    plant, meant, _ = planted.FAULTS[name]
    assert meant in failed(audit(plant(planted.clean(prices)), origins=2))


def test_nothing_is_found_on_real_stocks_as_dirty_as_they_are(price_data):
    file = Files(price_data / "us_daily.parquet")
    prices = file.table(file.symbols()[::40], start=np.datetime64("2010-01-01"))
    dirty = replace(planted.clean(prices), clean=lambda raw: sound(raw, inspect(raw)))
    assert failed(audit(dirty, origins=3)) == set()


def test_removing_the_future_alone_would_miss_the_whole_period_maximum(subject):
    """Why the future is also turned to noise: the largest move lies in the past."""
    mutant = planted.FAULTS["whole-period maximum as scale"][0](subject)
    truth = mutant.pipeline(mutant.prices)
    day = np.unique(truth.origin)[-100]
    seen = {
        change: auditing.scale_known(truth, world(mutant.prices, mutant.pipeline, truth, day, change)).passed
        for change in ("removed", "turned to noise")
    }
    assert seen == {"removed": True, "turned to noise": False}


@pytest.mark.parametrize("table", ["features", "outlook"])
def test_one_row_of_one_feature_off_in_its_last_bit_is_a_finding(subject, table):
    """The centred mean and the like differ in a single row at each origin; nothing is averaged away."""
    truth = subject.pipeline(subject.prices)
    day = np.unique(truth.origin)[-100]
    other = world(subject.prices, subject.pipeline, truth, day, "removed")
    assert auditing.features_known(truth, other).passed
    panel = other.windows.panel
    values = getattr(panel, table).copy()
    values[-1, 0] = np.nextafter(values[-1, 0], np.float32(np.inf))
    windows = replace(other.windows, panel=replace(panel, **{table: values}))
    found = auditing.features_known(truth, replace(other, windows=windows))
    assert not found.passed
    assert f"1 of {3 * (len(subject.prices) // 3 - 99):,} rows change" in found.detail
    assert f"first S2 {day}" in found.detail


def test_a_window_that_is_gone_without_the_future_is_a_finding(subject):
    """A row that needs the next one to exist cannot be forecast from on its own day."""

    def pipeline(prices):
        later = prices.groupby("symbol")["date"].transform("max")
        return subject.pipeline(prices[prices["date"] < later])

    assert "features" in failed(audit(replace(subject, pipeline=pipeline), origins=2))


def test_a_target_told_before_its_session_is_a_finding(subject):
    """Unknown targets filled with zeros look like sessions that happened."""

    def filled(panel, prices):
        return replace(panel, actual=np.nan_to_num(panel.actual))

    mutant = replace(subject, pipeline=partial(planted.changed, filled, subject.pipeline))
    assert "targets" in failed(audit(mutant, origins=2))


def test_targets_that_depend_on_the_whole_period_are_a_finding(subject):
    """Returns less their mean over all days: what was learnt from on a day was not known on it."""

    def centred(panel, prices):
        return replace(panel, actual=panel.actual - np.nanmean(panel.actual, axis=0))

    mutant = replace(subject, pipeline=partial(planted.changed, centred, subject.pipeline))
    assert "targets" in failed(audit(mutant, origins=2))


def test_cleaning_that_knows_the_next_session_is_a_finding(subject):
    """Rows before a fall are left out: known a session too late to be of use, and a bias for all before."""

    def clean(prices):
        after = prices.groupby("symbol")["close"].shift(-1) / prices["close"]
        return prices[~(after < 0.9999)].reset_index(drop=True)

    assert "cleaning" in failed(audit(replace(subject, clean=clean), origins=4))


def test_a_model_that_reads_the_answer_is_caught_twice(subject):
    told = planted.Told(planted.tomorrows_return, width=0.1)
    found = audit(planted.only(told, subject), origins=2)
    assert {"forecasts", "accuracy"} <= failed(found)
    (words,) = [one.detail for one in found if one.check == "accuracy"]
    assert "the direction is right in 100.0%" in words
    assert "the median explains 100% of the returns" in words
    assert "CRPS is 0.0" in words


def test_a_leak_inside_the_prices_is_seen_by_its_accuracy_alone(subject):
    """Volume that tells tomorrow's return is in the table itself; changing later rows changes nothing."""
    prices = subject.prices.copy()
    onward = np.log(prices["close"]).groupby(prices["symbol"]).diff().shift(-1).fillna(0)
    prices["volume"] = 1e6 * np.exp(2 * np.clip(onward / 0.01, -3, 3))
    told = planted.Told(planted.volume_tells, width=1.0)
    assert failed(audit(planted.only(told, replace(subject, prices=prices)), origins=2)) == {"accuracy"}


@pytest.mark.parametrize(
    ("median", "words"),
    [
        (planted.last_price, "a copy of the last price: without an interval, its path that of prices 1 late"),
        (planted.yesterdays_price, "a copy of an older price: its path fits that of prices best 2 sessions late"),
    ],
)
def test_a_copy_of_a_price_is_said_to_be_one(median, words, subject):
    found = audit(planted.only(planted.Told(median, width=0.001), subject), origins=2)
    (copy,) = [one for one in found if one.check == "copy"]
    assert not copy.passed
    assert words in copy.detail
    assert failed(found) <= {"copy", "accuracy"}


def test_an_older_price_is_a_copy_whatever_interval_is_drawn_around_it(subject):
    found = audit(planted.only(planted.Told(planted.yesterdays_price, width=1.0), subject), origins=2)
    assert "copy" in failed(found)


def test_a_median_close_to_the_last_price_with_honest_intervals_is_no_copy(subject):
    _, trials = observe(subject.pipeline(subject.prices), {"ewma": Ewma()}, subject.walk)
    found = no_copy("ewma", trials)
    assert found.passed
    assert "its skill is not significant (no: " in found.detail or "not significant (ewma's median" in found.detail


@pytest.mark.parametrize(("width", "words"), [(0.2, "80% intervals hold 18% at h = 1"), (6.0, "50% intervals hold 9")])
def test_intervals_far_from_their_promise_raise_an_alarm(width, words, subject):
    told = planted.Told(lambda windows: np.zeros(len(windows)), width)
    found = audit(planted.only(told, subject), origins=2)
    (alarm,) = [one for one in found if one.check == "accuracy"]
    assert not alarm.passed
    assert words in alarm.detail


def test_too_few_days_raise_no_alarm(subject):
    table, trials = observe(
        subject.pipeline(subject.prices), {"a": planted.Told(planted.tomorrows_return, width=0.1)}, subject.walk
    )
    few = table[table["origin"] >= table["origin"].sort_values().unique()[-200]]
    assert plausible("a", trials, few).passed
    assert "199 days are too few for an alarm, 250 are needed" in plausible("a", trials, few).detail
    assert not plausible("a", trials, table).passed


def test_the_noise_changes_every_later_price_and_no_earlier_one(prices):
    day = np.datetime64(prices["date"].unique()[500], "D")
    noisy = altered(prices, day, "turned to noise")
    later = (prices["date"] > pd.Timestamp(day)).to_numpy()
    pd.testing.assert_frame_equal(noisy[~later], prices[~later])
    assert (noisy.loc[later, ["close", "high", "volume"]] != prices.loc[later, ["close", "high", "volume"]]).all().all()
    assert (noisy["high"] >= noisy["low"]).all()
    assert np.abs(np.diff(np.log(noisy.loc[later, "close"]))).max() > 1
    assert altered(prices, day, "removed")["date"].max() == pd.Timestamp(day)


def test_a_symbol_too_young_at_an_origin_is_no_finding(subject):
    """It has too few sessions for a window then, so the pipeline leaves it out; nothing leaks."""
    table = subject.prices
    day = np.sort(table["date"].unique())[-170]
    young = table[(table["symbol"] != "S2") | (table["date"] >= day)]
    assert failed(audit(replace(subject, prices=young), origins=6)) == set()


def test_a_back_test_without_forecasts_is_refused(subject):
    with pytest.raises(DataError, match="fitted no model that made a forecast"):
        audit(replace(subject, walk=lambda windows, recipes: pd.DataFrame()), origins=1)
