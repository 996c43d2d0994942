"""The gradient alarm: norms known by hand, words where they vanish or explode, and a training left as it was."""

import logging
import re
from dataclasses import replace

import keras
import numpy as np
import pytest

from app.dataset.windows import Chunks
from app.forecasters import gradients, networks
from app.forecasters.gradients import Gradients, GradientWatch, gradient_alarm
from app.forecasters.recipe import Network
from app.schema import LEVELS
from tests.forecasters.test_shapes import planted

LOOKBACK, FEATURES = 6, 3
FLAT = np.sort(np.random.default_rng(0).normal(size=(2, len(LEVELS))), axis=1)


def watched(recipe: Network, factor: float = 0.5, spread: float = 4.0) -> tuple[GradientWatch, keras.Model, Chunks]:
    """A network whose head is drawn at random, with recurrent weights that are `factor` times the unit matrix."""
    windows = planted(lag=0)
    learnt = windows.known_by(windows.origin[300]).chunks(4)
    model = networks.forecaster(recipe, (LOOKBACK, FEATURES), np.zeros(FEATURES), np.full(FEATURES, spread), FLAT)
    head = model.get_layer("quantiles").kernel
    head.assign(np.random.default_rng(1).normal(size=head.shape))
    if recipe.cell == "simple-rnn":
        model.get_layer("recurrent_1").cell.recurrent_kernel.assign(factor * np.eye(recipe.units))
    return GradientWatch(recipe, model, learnt), model, learnt


@pytest.mark.parametrize("factor", [0.5, 1.5])
def test_at_the_state_zero_each_row_back_multiplies_by_the_recurrent_weights(factor):
    """tanh'(0) = 1, so with U = factor * I the norm k rows back is factor ** k of that at the newest."""
    watch, _, _ = watched(Network(cell="simple-rnn", units=4), factor)
    watch.inputs = np.zeros_like(watch.inputs)
    found = watch.measure()
    np.testing.assert_allclose(found.by_lag / found.by_lag[0], factor ** np.arange(LOOKBACK), rtol=1e-5)
    assert found.ratio == pytest.approx(factor**5)


def test_it_agrees_with_finite_differences():
    watch, model, learnt = watched(Network(units=4))
    found = watch.measure().by_lag
    chosen = np.unique(np.linspace(0, len(learnt.ends) - 1, 32).astype(int))
    target = learnt.targets[chosen, -1]

    def loss(inputs):
        error = target[..., None] - np.asarray(model(inputs), "float64")
        return np.maximum(np.array(LEVELS) * error, (np.array(LEVELS) - 1) * error).mean(axis=(1, 2))

    for lag in (0, 3, 5):
        slopes = []
        for feature in range(FEATURES):
            step = np.zeros((1, LOOKBACK, FEATURES), "float32")
            step[0, -1 - lag, feature] = 0.02  # a hundredth of a standard deviation of 2
            slopes.append((loss(watch.inputs + step) - loss(watch.inputs - step)) / 0.02)
        assert found[lag] == pytest.approx(np.sqrt((np.array(slopes) ** 2).sum(axis=0).mean()), rel=0.05)


def test_what_was_compiled_for_one_training_tells_of_the_weights_and_scales_of_the_next():
    recipe = Network(cell="simple-rnn", units=4)
    first, _, _ = watched(recipe, factor=0.5, spread=4.0)
    second, _, _ = watched(replace(recipe, seed=1), factor=1.5, spread=9.0)
    assert first.gradient is second.gradient
    before, found = first.measure().by_lag, second.measure().by_lag
    gradients._COMPILED.clear()
    alone = watched(recipe, factor=1.5, spread=9.0)[0]
    alone.model.set_weights(second.model.get_weights())
    assert alone.gradient is not second.gradient
    np.testing.assert_allclose(found, alone.measure().by_lag, rtol=1e-6)
    assert not np.allclose(found, before, rtol=0.01)


@pytest.mark.parametrize(("cell", "rows"), [("lstm", 2), ("attention-lstm", LOOKBACK), ("mlp", LOOKBACK)])
def test_gradients_are_measured_as_far_back_as_truncation_lets_them_reach(cell, rows):
    watch, model, _ = watched(Network(cell=cell, units=4, truncation=2))
    watch.rows = LOOKBACK
    by_lag = watch.measure().by_lag
    assert np.flatnonzero(by_lag).max() + 1 == rows
    assert len(GradientWatch(watch.recipe, model, planted(lag=0).chunks(4)).measure().by_lag) == rows


def test_truncation_is_no_fault_of_the_network():
    watch, _, _ = watched(Network(units=4, truncation=2))
    assert len(watch.measure().by_lag) == 2


@pytest.mark.parametrize(
    ("by_lag", "settings", "words"),
    [
        (0.5 ** np.arange(60), {}, "gradients vanish: 59 sessions back they are 2e-18 of those at the newest row"),
        (0.5 ** np.arange(60), {}, "The longest memory is about 6 of 60 sessions"),
        (0.9 ** np.arange(60), {}, None),
        (1.3 ** np.arange(60), {}, "gradients explode: 5e.06 times as large 59 sessions back"),
        (np.r_[np.ones(59), np.nan], {}, "gradients are not finite"),
        (np.r_[1.0, np.zeros(59)], {"shape": "one-to-one"}, None),
        (np.r_[1.0, np.zeros(59)], {"cell": "mlp"}, None),
        (np.ones(1), {"truncation": 1}, None),
        (np.zeros(60), {}, None),
    ],
)
def test_the_alarm_says_in_words_what_is_wrong(by_lag, settings, words):
    said = gradient_alarm(Network(**settings), Gradients(by_lag))
    if words is None:
        assert said is None
    else:
        assert re.search(words, said)


def test_the_reach_is_the_oldest_row_with_a_hundredth_of_the_largest_norm():
    assert Gradients(np.array([1.0, 0.5, 0.011, 0.009])).reach == 2
    assert Gradients(np.zeros(4)).reach == 0
    assert np.isnan(Gradients(np.zeros(4)).ratio)


def test_training_shows_the_gradients_in_its_curve_and_warns_once(monkeypatch, caplog):
    windows = planted(lag=0)
    known = windows.known_by(windows.origin[400])
    sets = known.known_by(windows.origin[300]), known.originating(windows.origin[301], windows.origin[401])
    recipe = Network(units=4, epochs=3, steps=8, batch=8, patience=3)
    quiet = recipe.fit(*sets)
    assert list(quiet.curve) == [
        *("epoch", "loss", "validation_loss", "gradient_norm", "gradient_ratio", "gradient_reach", "kept", "member")
    ]
    assert (quiet.curve["gradient_norm"] > 0).all()
    monkeypatch.setattr("app.forecasters.gradients.VANISHED", 1e9)
    with caplog.at_level(logging.WARNING):
        loud = recipe.fit(*sets)
    (warned,) = [record.message for record in caplog.records if "gradients vanish" in record.message]
    assert warned.startswith("lstm: epoch 1: gradients vanish")
    monkeypatch.setattr(GradientWatch, "measure", lambda self: Gradients(np.ones(6)))
    unwatched = recipe.fit(*sets)
    for one, other in zip(loud.models[0].get_weights(), unwatched.models[0].get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
