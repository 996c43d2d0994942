"""The memory benchmark: runs begin anew from their seed, stop where they should, and are told truthfully."""

from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest

from app.forecasters.recipe import CELLS
from benchmarks import gradients, learning, memory
from benchmarks.gradients import norms_by_lag
from benchmarks.learning import Trial, begin_again, learn, learner
from benchmarks.tasks import silent_recall

EASY = Trial("silent-recall", 2, "simple-rnn", "default", 0)


@pytest.fixture(scope="module")
def model():
    return learner(EASY.network, 3)


def test_a_run_stops_when_it_has_solved_the_task_and_a_run_that_has_not_stops_at_the_cap(model, monkeypatch):
    monkeypatch.setattr(learning, "BETWEEN_CHECKS", 20)
    solved = learn(EASY, 2000, model)
    assert solved["solved"]
    assert solved["error"] < 1 / 120
    assert 20 <= solved["steps"] < 2000
    monkeypatch.setattr(learning, "BETWEEN_CHECKS", 2)
    given_up = learn(EASY, 4, model)
    assert (given_up["solved"], given_up["steps"]) == (False, 4)


def test_the_same_seed_learns_the_same_whatever_the_network_learnt_before(model, monkeypatch):
    monkeypatch.setattr(learning, "BETWEEN_CHECKS", 20)
    first, other, again = (
        learn(Trial(*("silent-recall", 2, "simple-rnn", "default"), seed), 40, model) for seed in (3, 4, 3)
    )
    assert first["error"] == pytest.approx(again["error"], rel=1e-5)
    assert first["error"] != pytest.approx(other["error"], rel=1e-3)


def test_beginning_again_forgets_momentum_and_keeps_the_rate(model):
    learn(EASY, 100, model)
    begin_again(model, 0)
    rate = float(model.optimizer.learning_rate)
    left = sum(float(np.abs(keras.ops.convert_to_numpy(variable)).sum()) for variable in model.optimizer.variables)
    assert rate == pytest.approx(0.01)
    assert left == pytest.approx(rate)


def test_variants_change_what_they_say():
    plain, free, shut = (Trial("adding", 9, "lstm", variant, 0).network for variant in list(learning.VARIANTS)[:3])
    assert (plain.clipnorm, free.clipnorm, shut.clipnorm) == (1.0, 0.0, 1.0)
    assert (plain.forget_bias, free.forget_bias, shut.forget_bias) == (True, True, False)


def test_a_forget_bias_is_varied_only_where_there_is_one():
    options = memory._options(["--out", "x", "--tasks", "adding", "--lags", "50", "--seeds", "0"])
    varied = {trial.cell for trial in memory.trials(options) if trial.variant == "forget bias 0"}
    assert varied == {"lstm", "peephole-lstm", "depth-gated-lstm", "bidirectional-lstm", "attention-lstm"}
    assert {trial.cell for trial in memory.trials(options)} == set(CELLS)


def test_what_a_network_learnt_over_a_shorter_lag_is_where_it_begins(model, monkeypatch):
    monkeypatch.setattr(learning, "BETWEEN_CHECKS", 2)
    monkeypatch.setattr(learning, "SHORTER", EASY.lag)
    learn(EASY, 2, model)
    learnt = model.get_weights()
    found = learn(replace(EASY, variant=learning.AFTER_SHORTER), 2, model)
    begin_again(model, EASY.seed)
    model.set_weights(learnt)
    batch = EASY.network.batch
    rows, answers = silent_recall(2 * batch, EASY.lag, np.random.default_rng(EASY.seed))
    model.fit(rows, answers, batch_size=batch, shuffle=False, verbose=0)
    tested = silent_recall(learning.TESTED, EASY.lag, np.random.default_rng(learning.TEST_SEED))
    expected = model.evaluate(*tested, batch_size=learning.TESTED, verbose=0)
    assert found["error"] == pytest.approx(expected, rel=1e-5)
    assert found["error"] != pytest.approx(learn(EASY, 2, model)["error"], rel=1e-2)


def test_only_weights_that_serve_any_lag_are_taken_from_a_shorter_one():
    options = memory._options(["--out", "x", "--tasks", "adding", "--lags", "200", "1000", "--seeds", "0"])
    taken = [trial for trial in memory.trials(options) if trial.variant == learning.AFTER_SHORTER]
    assert {trial.lag for trial in taken} == {1000}
    assert {trial.cell for trial in taken} == set(CELLS) - {"mlp"}


def test_the_table_says_how_many_seeds_solved_it_and_where_the_others_were_given_up():
    rows = [("lstm", 50, True, 600), ("lstm", 50, True, 1000), ("lstm", 50, False, 4000), ("gru", 200, True, 500)]
    runs = pd.DataFrame(rows, columns=["cell", "lag", "solved", "steps"]).assign(task="adding", variant="default")
    assert memory.learnt_table(runs, "adding", "default").splitlines()[2:] == [
        "| lstm | 2 of 3: 800 (600 to 1,000); not within 4,000 | not run |",
        "| gru | not run | 1 of 1: 500 (500 to 500) |",
    ]


def test_a_finished_run_is_not_made_again_but_one_given_up_earlier_is(tmp_path, monkeypatch):
    made = []

    def instant(trial, cap, model):
        made.append((trial.cell, cap))
        return {**vars(trial), "solved": trial.cell == "gru", "steps": cap, "error": 0.1, "cpu_s": 0.0, "backend": "-"}

    monkeypatch.setattr(memory, "learn", instant)
    monkeypatch.setattr(memory, "learner", lambda network, length: None)
    asked = ["--out", str(tmp_path), "--tasks", "adding", "--variants", "default", "--lags", "50", "--seeds", "0"]
    asked += ["--cells", "gru", "lstm", "--parts", "learn", "--steps"]
    for steps in ("100", "100", "200"):
        memory.main([*asked, steps])
    assert made == [("gru", 100), ("lstm", 100), ("lstm", 200)]


def test_costs_are_multiples_of_lstm(monkeypatch):
    monkeypatch.setattr(memory, "ROUNDS", 1)
    found = memory.costs(["gru", "lstm"], learning.BASE, lag=4).set_index("cell")
    assert found.loc["lstm", ["parameters_ratio", "ms_ratio", "low", "high"]].tolist() == [1.0] * 4
    # 2 inputs, 16 units: four gates of 16 (2 + 16 + 1) and the answer's 17; GRU three gates with two biases.
    lstm, gru = 4 * 16 * 19 + 17, 3 * 16 * 20 + 17
    assert found["parameters"].to_dict() == {"lstm": lstm, "gru": gru, "lstm, recurrent dropout": lstm}


def test_gradients_by_lag_of_a_linear_network_are_known():
    rows = keras.Input((3, 2))
    weights = np.array([[1.0], [0.0], [0.0], [2.0], [3.0], [4.0]])
    answer = keras.layers.Dense(1, use_bias=False)
    model = keras.Model(rows, answer(keras.layers.Flatten()(rows)))
    answer.set_weights([weights])
    x = np.random.default_rng(0).normal(size=(4, 3, 2)).astype("float32")
    y = np.zeros((4, 1), "float32")
    error = x.reshape(4, 6) @ weights
    np.testing.assert_allclose(norms_by_lag(model, x, y), 2 * np.abs(error) * [5.0, 2.0, 1.0], rtol=1e-5)
    np.testing.assert_array_equal(answer.get_weights()[0], weights.astype("float32"))


def test_gradients_are_told_as_shares_of_the_newest_and_not_beyond_an_overflow():
    told = gradients._typical(np.array([[1.0, 8.0, np.inf, 5.0], [4.0, 2.0, 1.0, 5.0]]))
    np.testing.assert_allclose(told, [1.0, 2.0, np.nan, np.nan])


def test_gradients_that_were_measured_are_drawn_and_not_measured_again(tmp_path, monkeypatch):
    measured = []

    def instant(lag, learnt_lag, cap):
        measured.append((lag, learnt_lag, cap))
        return pd.DataFrame({"panel": "before", "network": "lstm", "lag": [0, 1], "norm": [1.0, 0.5]})

    monkeypatch.setattr(gradients, "measure", instant)
    for _ in range(2):
        assert gradients.draw(tmp_path, learnt_lag=20, cap=100, lag=2)["norm"].tolist() == [1.0, 0.5]
    assert measured == [(2, 20, 100)]
    assert (tmp_path / "memory.png").read_bytes().startswith(b"\x89PNG")
