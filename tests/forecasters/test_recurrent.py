"""Training a network: the future stays out, NaN is never better, saved is what was trained."""

import dataclasses

import keras
import numpy as np
import pandas as pd
import pytest

from app.dataset import make_windows
from app.dataset.windows import Windows, WindowSpec
from app.errors import SettingsError, TrainingError
from app.forecasters import networks, recurrent
from app.forecasters.harx import HarX
from app.forecasters.recipe import Network
from app.forecasters.recurrent import BestEpoch, FittedNetwork, train_network
from app.schema import LEVELS
from tests.reference import pinball as slow_pinball

SPEC = WindowSpec(lookback=12, horizons=(1, 5))
SMALL = Network(cell="gru", units=4, epochs=2, steps=8, batch=8, seed=3)


def parts(windows: Windows) -> tuple[Windows, Windows, Windows]:
    """Train, validation, test."""
    known = windows.known_by(np.datetime64("2025-01-15"))
    train = known.known_by(np.datetime64("2024-10-31"))
    validation = known.originating(np.datetime64("2024-11-01"), np.datetime64("2025-01-16"))
    return train, validation, windows.originating(np.datetime64("2025-01-16"), windows.origin.max() + 1)


@pytest.fixture(scope="module")
def prices():
    """Two random walks of 1 % a session over 300 sessions."""
    dates = pd.bdate_range("2023-12-29", "2025-03-31", freq="C", holidays=[]).to_numpy()
    rng = np.random.default_rng(0)
    tables = []
    for symbol in ("A", "B"):
        close = 50 * np.exp(0.01 * rng.normal(size=len(dates)).cumsum())
        columns = {"open": close, "high": close * 1.004, "low": close * 0.996, "close": close, "volume": 1e6}
        tables.append(pd.DataFrame({"symbol": symbol, "date": dates, **columns, "dividend": 0.0, "split": 1.0}))
    return pd.concat(tables, ignore_index=True)


@pytest.fixture(scope="module")
def windows(prices):
    return make_windows(prices, SPEC, "24/5")


@pytest.fixture(scope="module")
def fitted(windows):
    train, validation, _ = parts(windows)
    return SMALL.fit(train, validation)


def test_quantiles_rise_and_are_finite(fitted, windows):
    quantiles = fitted.predict(windows)
    assert quantiles.shape == (len(windows), 2, 19)
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=-1) > 0).all()


def test_saved_and_loaded_gives_identical_forecasts(fitted, windows, tmp_path):
    fitted.save(tmp_path)
    loaded = FittedNetwork.load(tmp_path)
    np.testing.assert_array_equal(loaded.predict(windows), fitted.predict(windows))
    assert loaded.recipe == fitted.recipe
    pd.testing.assert_frame_equal(loaded.curve, fitted.curve)


def test_the_saved_file_holds_no_panel(fitted, tmp_path, windows):
    fitted.save(tmp_path)
    assert windows.panel.features.size > 5000
    loaded = keras.models.load_model(tmp_path / "member-1.keras")
    assert loaded.input_shape == (None, 12, windows.panel.features.shape[1])
    assert loaded.count_params() < 1000


@pytest.mark.parametrize("change", ["removed", "noise"])
def test_a_forecast_knows_nothing_of_the_future(fitted, prices, windows, change):
    day = np.datetime64("2025-02-03")
    later = (prices["date"] > pd.Timestamp(day)).to_numpy()
    if change == "removed":
        altered = prices[~later]
    else:
        altered = prices.copy()
        altered.loc[later, ["open", "high", "low", "close"]] *= np.random.default_rng(5).uniform(
            0.5, 2, (later.sum(), 1)
        )
    then, now = (make_windows(table, SPEC, "24/5").originating(day, day + 1) for table in (prices, altered))
    np.testing.assert_allclose(fitted.predict(now), fitted.predict(then), rtol=1e-6)


def test_training_reads_only_rows_it_was_given(prices, windows, fitted):
    """Everything after the cutoff turned to noise: the trained weights are the same, bit for bit."""
    altered = prices.copy()
    later = (altered["date"] > pd.Timestamp("2025-01-15")).to_numpy()
    altered.loc[later, ["high", "low", "close"]] *= np.random.default_rng(5).uniform(0.5, 2, (later.sum(), 1))
    train, validation, _ = parts(make_windows(altered, SPEC, "24/5"))
    again = SMALL.fit(train, validation)
    for old, new in zip(fitted.models[0].get_weights(), again.models[0].get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_another_seed_is_another_network(windows, fitted):
    train, validation, test = parts(windows)
    other = dataclasses.replace(SMALL, seed=4).fit(train, validation)
    assert not np.allclose(other.predict(test), fitted.predict(test))


def test_members_are_averaged(windows, tmp_path):
    train, validation, test = parts(windows)
    both = dataclasses.replace(SMALL, members=2, epochs=1).fit(train, validation)
    alone = [FittedNetwork(both.recipe, (model,), both.curve, both.frame).predict(test) for model in both.models]
    np.testing.assert_allclose(both.predict(test), np.mean(alone, axis=0))
    both.save(tmp_path)
    np.testing.assert_array_equal(FittedNetwork.load(tmp_path).predict(test), both.predict(test))


def test_it_forecasts_in_units_of_the_volatility_that_har_x_expects(fitted, windows):
    """Taken apart: what the network says, times what HAR-X says; and without training it is HAR-X itself."""
    train, validation, test = parts(windows)
    line = HarX().fit(train, validation)
    np.testing.assert_array_equal(fitted.frame.slopes, line.slopes)
    said = np.asarray(fitted.models[0].predict_on_batch(test.gather()), float)
    unit = line.of(test).expected * np.sqrt(SPEC.horizons)
    np.testing.assert_allclose(fitted.predict(test), said * unit[..., None], rtol=1e-4, atol=1e-7)
    untaught = dataclasses.replace(SMALL, epochs=1, learning_rate=1e-7).fit(train, validation)
    np.testing.assert_allclose(untaught.predict(test), line.predict(test), atol=4e-3)


def test_in_the_frame_of_ewma_nothing_is_beneath_the_network(windows, tmp_path):
    train, validation, test = parts(windows)
    bare = dataclasses.replace(SMALL, frame="ewma", epochs=1).fit(train, validation)
    assert bare.frame is None
    said = np.asarray(bare.models[0].predict_on_batch(test.gather()), float)
    np.testing.assert_allclose(bare.predict(test), said * test.scale[..., None], rtol=1e-4, atol=1e-7)
    bare.save(tmp_path)
    assert not (tmp_path / "har-x.json").exists()
    np.testing.assert_array_equal(FittedNetwork.load(tmp_path).predict(test), bare.predict(test))


@pytest.fixture
def given(monkeypatch) -> list[Windows]:
    """The training windows of every network that would have been trained."""
    seen: list[Windows] = []

    def train(recipe, windows, validation, start):
        seen.append(windows)
        return None, pd.DataFrame({"epoch": [1]})

    monkeypatch.setattr(recurrent, "_train", train)
    return seen


def test_trained_on_it_keeps_the_frame_its_weights_were_learnt_in(fitted, windows, given):
    train, validation, _ = parts(windows)
    later = train.originating(train.origin[len(train) // 3], train.origin.max() + 1)
    start = FittedNetwork(SMALL, (None,), fitted.curve, fitted.frame)
    assert train_network(SMALL, later, validation, start=start).frame is fitted.frame
    np.testing.assert_array_equal(given[0].expected, fitted.frame.of(later).expected)
    assert not np.array_equal(SMALL.fit(later, validation).frame.slopes, fitted.frame.slopes)


def test_only_the_newest_years_are_learnt_from(given):
    close = 50 * np.exp(np.cumsum(0.01 * np.random.default_rng(7).normal(size=900)))
    bars = {"open": close, "high": close * 1.01, "low": close / 1.01, "close": close, "volume": 1e6}
    dates = pd.bdate_range("2020-01-01", periods=900)
    table = pd.DataFrame({"symbol": "A", "date": dates, **bars, "dividend": 0.0, "split": 1.0})
    windows = make_windows(table, WindowSpec(lookback=3, horizons=(1,)), "24/5")
    train = windows.known_by(np.datetime64("2022-06-30"))
    validation = windows.originating(np.datetime64("2022-07-01"), np.datetime64("2022-10-01"))
    for years in (1, 0):
        dataclasses.replace(SMALL, years=years).fit(train, validation)
    year = train.originating(np.datetime64("2021-06-30"), np.datetime64("2022-06-30"))
    np.testing.assert_array_equal(given[0].ends, year.ends)
    np.testing.assert_array_equal(given[1].ends, train.ends)


@pytest.mark.parametrize("gain", [0.0, 0.1, 1.0])
def test_the_median_takes_a_share_of_what_the_state_says_and_the_gaps_take_all(gain):
    start = np.sort(np.random.default_rng(0).normal(size=(2, 19)), axis=1)
    states = np.random.default_rng(1).normal(size=(5, 1, 3)).astype("float32")
    heads = [networks.QuantileHead(start, share) for share in (1.0, gain)]
    kernel = np.random.default_rng(2).normal(size=(3, 38)).astype("float32")
    for head in heads:
        head.build(states.shape)
        head.kernel.assign(kernel)
    free, held = (np.asarray(head(states)) for head in heads)
    moved = free[..., 9] - start[:, 9]
    np.testing.assert_allclose(held[..., 9], start[:, 9] + gain * moved, atol=1e-5)
    np.testing.assert_allclose(np.diff(held, axis=-1), np.diff(free, axis=-1), atol=1e-5)
    assert networks.QuantileHead.from_config(heads[1].get_config()).median_gain == gain


def test_before_training_the_forecast_is_the_unconditional_quantiles(windows):
    start = np.sort(np.random.default_rng(0).normal(size=(2, 19)), axis=1)
    model = networks.forecaster(SMALL, (12, windows.panel.features.shape[1]), np.zeros(10), np.ones(10), start)
    answer = model.predict_on_batch(windows.gather()[:5])
    np.testing.assert_allclose(answer, np.broadcast_to(start, (5, 2, 19)), atol=1e-3)


def test_every_step_supervision_and_many_to_one_are_one_network(windows, fitted):
    """The trainer's forecast at the last row of a lookback-long chunk is the forecaster's."""
    model = fitted.models[0]
    trainer = networks.trainer(model, windows.panel.features, length=12, steps=1)
    ends = windows.ends[:40]
    np.testing.assert_allclose(
        trainer.predict_on_batch(ends[:, None])[:, 0],
        model.predict_on_batch(windows.gather()[:40]),
        rtol=1e-5,
        atol=1e-6,
    )


def test_every_step_forecasts_of_a_chunk_know_nothing_of_its_later_rows(windows, fitted):
    altered = windows.panel.features.copy()
    end = windows.ends[100]
    altered[end] = 5.0
    before, after = (
        networks.trainer(fitted.models[0], features, length=20, steps=9).predict_on_batch(np.array([[end]]))
        for features in (np.array(windows.panel.features), altered)
    )
    np.testing.assert_array_equal(before[0, :-1], after[0, :-1])
    assert not np.allclose(before[0, -1], after[0, -1])


def test_the_loss_agrees_with_a_loop_and_leaves_unknown_targets_out():
    rng = np.random.default_rng(2)
    target = rng.normal(size=(3, 4, 2)).astype("float32")
    target[0, 1, 1] = target[2, 3, 0] = np.nan
    forecast = np.sort(rng.normal(size=(3, 4, 2, 19)), axis=-1).astype("float32")
    loss = float(networks.PinballLoss()(target, forecast))
    assert loss == pytest.approx(slow_pinball(target, forecast, LEVELS), rel=1e-5)


def test_it_learns_a_planted_rule():
    """Every return has the sign opposite to the one before it: the median must say so."""
    rng = np.random.default_rng(1)
    dates = pd.bdate_range("2015-01-01", periods=1500).to_numpy()
    sign = np.where(np.arange(1500) % 2, 1, -1)
    close = 50 * np.exp(np.cumsum(0.01 * sign * np.abs(rng.normal(size=1500))))
    columns = {"open": close, "high": close, "low": close, "close": close, "volume": 1e6, "dividend": 0.0, "split": 1.0}
    spec = WindowSpec(lookback=6, horizons=(1,))
    planted = make_windows(pd.DataFrame({"symbol": "A", "date": dates, **columns}), spec, "24/5")
    known = planted.known_by(dates[1200])
    recipe = Network(cell="lstm", units=8, epochs=15, updates=500, batch=4, learning_rate=0.03, patience=15)
    network = recipe.fit(known.known_by(dates[1000]), known.originating(dates[1001], dates[1201]))
    test = planted.originating(dates[1205], dates[1495])
    median = network.predict(test)[:, 0, 9]
    assert (np.sign(median) == np.sign(test.actual[:, 0])).mean() > 0.9


@pytest.mark.parametrize("losses", [[np.nan, 0.5, 0.3, 0.4], [0.5, np.nan, 0.3, np.inf]])
def test_nan_is_never_better(losses):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    best = BestEpoch(patience=10)
    for epoch, loss in enumerate(losses):
        model.set_weights([np.full((1, 1), epoch), np.zeros(1)])
        best.is_over(model, loss)
    best.restore(model)
    assert best.loss == 0.3
    assert model.get_weights()[0] == 2


def test_of_epochs_that_cannot_be_told_apart_the_later_is_kept_and_a_worse_one_is_not():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    best = BestEpoch(patience=2, slack=0.01)
    over = []
    for epoch, loss in enumerate([0.500, 0.504, 0.506, 0.508]):
        model.set_weights([np.full((1, 1), epoch), np.zeros(1)])
        over.append(best.is_over(model, loss))
    best.restore(model)
    assert model.get_weights()[0] == 1
    assert over == [False, False, False, True]


def test_weights_that_are_not_finite_are_never_best():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    best = BestEpoch(patience=2)
    model.set_weights([np.full((1, 1), np.nan), np.zeros(1)])
    assert not best.is_over(model, 0.1)
    assert best.is_over(model, 0.1)
    with pytest.raises(TrainingError, match="no epoch gave a finite validation loss"):
        best.restore(model)


def test_training_that_explodes_is_refused(windows):
    train, validation, _ = parts(windows)
    poisoned = dataclasses.replace(
        train.panel, features=np.where(np.arange(10) == 3, np.float32(3e38), train.panel.features)
    )
    with np.errstate(all="ignore"), pytest.raises(TrainingError, match="no epoch gave a finite"):
        SMALL.fit(Windows(poisoned, train.ends), Windows(poisoned, validation.ends))


def test_nothing_to_learn_from_is_refused(windows):
    train, validation, _ = parts(windows)
    with pytest.raises(TrainingError, match="0 windows, none with a known target"):
        SMALL.fit(Windows(train.panel, train.ends[:0]), validation)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cell": "ltsm"}, "network.cell must be one of .*got 'ltsm'"),
        ({"units": 0}, "network.units must be 1 to 4096, got 0"),
        ({"dropout": 1.0}, "network.dropout must be 0.0 to 0.95, got 1.0"),
        ({"learning_rate": -1}, "network.learning_rate must be"),
        ({"learning_rate": float("nan")}, "network.learning_rate must be"),
    ],
)
def test_nonsense_is_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        Network(**values)


def test_the_curve_says_which_epoch_was_kept(fitted):
    assert fitted.curve["kept"].sum() == 1
    lowest = fitted.curve["validation_loss"].min()
    assert fitted.curve.loc[fitted.curve["kept"], "validation_loss"].item() <= lowest * (1 + SMALL.slack)
