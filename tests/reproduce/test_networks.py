"""The published networks: their equations, their loss, how their epoch is chosen, and that they can learn."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import ops

from app.errors import TrainingError
from app.reproduce import networks
from app.reproduce.acl18 import ACL18, Instances, Protocol
from app.reproduce.fischer_krauss import Ranking, Sequences, StudyPeriod
from app.reproduce.networks import direction_network, ranking_network, train_direction, train_ranking
from tests.reference import hinge_loss

LSTM, ALSTM = ACL18.networks


def planted(n, lookback, seed, signal=1.0):
    """Instances that rise when the first feature of the newest day does, times `signal`, or at random."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(n, lookback, 11)).astype("float32")
    up = signal * inputs[:, -1, 0] + (1 - abs(signal)) * rng.normal(size=n) > 0
    return Instances(inputs, up, np.arange(n), np.zeros(n, int))


def logistic(z):
    return 1 / (1 + np.exp(-z))


def by_hand(network, weights, window):
    """The score of one window, equation by equation."""
    w, b, kernel, recurrent, bias, *attention, out, c = weights
    units = network.units
    h, cell, states = np.zeros(units), np.zeros(units), []
    for row in window:
        z = np.tanh(row @ w + b) @ kernel + h @ recurrent + bias
        i, f, g, o = (z[part * units : (part + 1) * units] for part in range(4))
        cell = logistic(f) * cell + logistic(i) * np.tanh(g)
        h = logistic(o) * np.tanh(cell)
        states.append(h)
    if network.attention:
        inner, inner_bias, query = attention
        odds = np.exp([(np.tanh(state @ inner + inner_bias) @ query)[0] for state in states])
        h = np.concatenate([h, sum(weight * state for weight, state in zip(odds / odds.sum(), states, strict=True))])
    return h @ out + c


@pytest.mark.parametrize("network", [LSTM, ALSTM], ids=lambda network: network.name)
def test_scores_agree_with_the_equations_written_as_loops(network):
    keras.utils.set_random_seed(1)
    model = direction_network(network)
    weights = [ops.convert_to_numpy(weight) for weight in model.weights]
    inputs = planted(3, network.lookback, seed=2).inputs
    expected = [by_hand(network, weights, window) for window in inputs]
    np.testing.assert_allclose(ops.convert_to_numpy(model(inputs)), expected, rtol=1e-4, atol=1e-5)


def test_forget_gates_start_open():
    bias = ops.convert_to_numpy(direction_network(LSTM).get_layer("lstm").cell.bias)
    assert bias.reshape(4, LSTM.units).mean(axis=1).tolist() == [0, 1, 0, 0]


def test_the_penalty_is_half_the_squares_of_the_output_weights_and_bias_and_of_nothing_else():
    model = direction_network(ALSTM)
    for layer in model.layers:
        layer.set_weights([np.full(weight.shape, 2.0) for weight in layer.get_weights()])
    assert float(sum(model.losses)) == pytest.approx(ALSTM.penalty / 2 * 4.0 * (2 * ALSTM.units + 1))


def test_the_loss_is_the_hinge_loss():
    rng = np.random.default_rng(3)
    sign, score = np.sign(rng.normal(size=50)), 2 * rng.normal(size=50)
    loss = keras.losses.Hinge()(sign[:, None].astype("float32"), score[:, None].astype("float32"))
    assert float(loss) == pytest.approx(hinge_loss(sign, score), rel=1e-5)


@pytest.mark.parametrize(("rows", "last"), [(5, [2, 3, 4]), (6, [3, 4, 5]), (2, [0, 1])])
def test_every_batch_is_full_where_there_are_rows_enough(rows, last):
    filled = networks._filled(np.arange(rows), 3)
    assert set(filled) == set(range(rows))
    assert filled[-3:].tolist() == last
    assert len(filled) == (6 if rows > 2 else 2)


def test_two_epochs_give_scores_of_every_test_instance():
    parts = [planted(n, 5, seed) for seed, n in enumerate((64, 20, 30))]
    trained = train_direction(ALSTM, Protocol(batch=16), parts, seed=0, epochs=2)
    assert trained.score.shape == (30,)
    assert trained.curve.shape == (2,)
    again = train_direction(ALSTM, Protocol(batch=16), parts, seed=0, epochs=2)
    np.testing.assert_array_equal(again.score, trained.score)


@pytest.mark.parametrize("network", [replace(LSTM, lookback=3, units=8), replace(ALSTM, lookback=3)])
def test_it_learns_what_was_planted(network):
    parts = [planted(n, 3, seed) for seed, n in enumerate((512, 200, 300))]
    trained = train_direction(replace(network, penalty=0.01), Protocol(batch=64), parts, seed=0, epochs=15)
    assert np.mean((trained.score > 0) == parts[2].up) > 0.85


def test_the_scores_are_those_of_the_epoch_that_was_best_on_the_validation_part():
    """Validation contradicts training, so that more training makes it worse: an early epoch must be kept."""
    parts = [planted(512, 3, 0), planted(200, 3, 1, signal=-1.0), planted(300, 3, 2)]
    network = replace(ALSTM, lookback=3, penalty=0.01)
    trained = train_direction(network, Protocol(batch=32), parts, seed=0, epochs=10)
    assert trained.epoch == np.argmax(trained.curve) + 1
    assert trained.epoch < 10
    short = train_direction(network, Protocol(batch=32), parts, seed=0, epochs=trained.epoch)
    np.testing.assert_allclose(short.score, trained.score, rtol=1e-5, atol=1e-6)


def test_scores_that_are_not_finite_are_no_model():
    parts = [planted(n, 5, seed) for seed, n in enumerate((64, 20, 30))]
    parts[0].inputs[:] = np.nan
    with pytest.raises(TrainingError, match="alstm, seed 3: no epoch gave finite scores"):
        train_direction(ALSTM, Protocol(batch=16), parts, seed=3, epochs=2)


def test_the_ranking_network_has_the_weights_of_the_paper():
    panel = np.zeros((500, 1), "float32")
    assert ranking_network(panel, Ranking(), seed=0).count_params() == 2752


def test_the_ranking_network_sees_the_rows_up_to_its_end():
    panel = np.random.default_rng(0).normal(size=(40, 1)).astype("float32")
    protocol = Ranking(lookback=6, units=3)
    model = ranking_network(panel, protocol, seed=0)
    odds = ops.convert_to_numpy(model(np.array([[10], [30]], "int32")))
    window = keras.Sequential(model.layers[2:])
    direct = ops.convert_to_numpy(window(np.stack([panel[5:11], panel[25:31]])))
    np.testing.assert_allclose(odds, direct, rtol=1e-5)
    np.testing.assert_allclose(odds.sum(axis=1), 1.0, rtol=1e-5)


def test_ranking_learns_what_was_planted():
    rng = np.random.default_rng(1)
    panel = rng.normal(size=(900, 1)).astype("float32")
    ends = np.arange(10, 899, dtype="int32")
    above = (panel[ends, 0] < 0).astype("int32")
    day = np.datetime64("2020-01-01") + np.arange(len(ends))
    every = Sequences(ends, above, day, above * 0.02 - 0.01, np.zeros(len(ends), int))
    parts = [every.take(np.arange(*bounds)) for bounds in ((0, 500), (500, 650), (650, 889))]
    period = StudyPeriod(panel, ("A",), *parts)
    protocol = Ranking(lookback=4, units=6, batch=32, patience=20, learning_rate=0.01)
    trained = train_ranking(period, protocol, seed=0, epochs=10, updates=0)
    assert np.mean((trained.score > 0.5) == parts[2].above) > 0.9
    assert trained.epoch == np.argmin(trained.curve) + 1
