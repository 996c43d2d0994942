"""A memory whose length was planted is measured, and none is found where there is none."""

import numpy as np
import pytest

from app.insight import memory
from app.insight.anatomy import watch
from app.insight.gates import watched_members
from app.insight.memory import half_life
from app.insight.sample import reaching_back, sessions_held, whole_days
from tests.insight import planted

ROWS = 60


def norms_of(model, rows=ROWS):
    """(n, outputs, rows), of the medians first."""
    return memory.sensitivities([model], planted.few(6), rows)[0]


@pytest.mark.parametrize(
    ("norms", "expected"),
    [([1, 1, 1, 1], 2.0), ([0, 0, 0, 1], 3.5), ([4, 1, 1, 1, 1], 1.0), ([1, 0, 0, 0], 0.5), ([2, 1, 1], 1.0)],
)
def test_half_lives_by_hand(norms, expected):
    assert half_life(np.array(norms, float)) == pytest.approx(expected)


@pytest.mark.parametrize("sessions", [3, 10, 40])
def test_the_half_life_of_a_geometric_decay_is_its_half_life(sessions):
    assert half_life(0.5 ** (np.arange(1000) / sessions)) == pytest.approx(sessions, rel=0.01)


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_a_forecast_that_depends_on_one_lag_is_found_to(lag):
    norms = norms_of(planted.delayed(feature=2, lag=lag))
    expected = np.zeros(ROWS)
    expected[lag] = 1.0
    np.testing.assert_allclose(norms[:, 0], np.tile(expected, (len(norms), 1)), rtol=1e-4)
    assert half_life(norms[0, 0]) == pytest.approx(lag + 0.5)
    assert not norms[:, 2:].any()  # widths are fixed


def test_a_state_that_halves_in_ten_sessions_has_a_half_life_of_ten():
    """h' = tanh(x W + u h) with u = 0.5 ** 0.1 and so small an x that tanh is a straight line."""
    model = planted.network("simple-rnn", wild=0)
    planted.set_weights(model, "recurrent_1", kernel=1e-4, recurrent_kernel=0.5**0.1 * np.eye(planted.UNITS))
    planted.head_reads(model, unit=0)
    norms, outputs = memory.sensitivities([model], planted.few(6), 120)
    table = memory.half_lives(norms, outputs).set_index(["part", "horizon"])
    assert table.loc[("median", 1), "half_life"] == pytest.approx(10, rel=0.01)
    assert table.loc[("median", 1), "low"] == pytest.approx(10, rel=0.01)
    assert table.loc[("median", 3), "reach"] == pytest.approx(10 * np.log2(100), rel=0.03)
    assert np.isnan(table.loc[("width", 1), "half_life"])


def test_a_forget_gate_that_is_always_open_forgets_nothing():
    """Only the candidate sees the data, and so faintly that the memory is a plain sum of them."""
    model = planted.network("lstm", wild=0)
    kernel = np.zeros((planted.COLUMNS, 16))
    kernel[1, 8:12] = 1e-4
    planted.set_weights(model, "recurrent_1", kernel=kernel, bias=np.repeat([0.0, 50.0, 0.0, 0.0], 4))
    planted.head_reads(model, unit=0)
    norms = norms_of(model, rows=100)[:, 0]
    np.testing.assert_allclose(norms, norms[:, :1].repeat(100, axis=1), rtol=1e-3)
    assert half_life(norms[0]) == pytest.approx(50, rel=1e-3)


def test_a_network_that_hears_nothing_has_no_half_life():
    model = planted.network("lstm", wild=0)
    norms, outputs = memory.sensitivities([model], planted.few(6), 20)
    assert not norms.any()
    assert memory.half_lives(norms, outputs)["half_life"].isna().all()


@pytest.mark.parametrize(("cell", "rows"), [("lstm", 60), ("simple-rnn", 60), ("attention-lstm", 60), ("mlp", 8),
                                            ("transformer", 8), ("bidirectional-lstm", 8)])  # fmt: skip
def test_only_a_network_that_carries_a_state_is_asked_beyond_its_lookback(cell, rows):
    assert memory.rows_asked([planted.network(cell)], planted.windows(), 60) == rows


def test_windows_grow_by_whole_turns_of_the_clocks():
    model = planted.network("clockwork-rnn", periods=(1, 4))
    assert memory.rows_asked([model], planted.windows(), 62) == 60  # 8 and 13 turns of 4
    for rows in (8, 12, 60):
        inputs = reaching_back(planted.windows(), rows).gather()[:2]
        assert ((rows - 1 - watch(model, inputs).layers["1"].cell.start) % 4) == 0


def test_no_longer_a_window_is_asked_than_half_of_them_have():
    windows = planted.windows()
    rows = memory.rows_asked([planted.network("lstm")], windows, 1000)
    assert 60 < rows < 200
    assert len(reaching_back(windows, rows)) >= len(windows) / 2


def test_the_sessions_a_window_could_hold_are_those_without_a_gap():
    windows = planted.windows()
    held = sessions_held(windows)
    for rows in (8, 50, 120):
        assert set(reaching_back(windows, rows).ends) == set(windows.ends[held >= rows])


def test_an_older_window_ends_where_it_did():
    windows = planted.windows()
    long = reaching_back(windows, 30)
    assert set(long.ends) < set(windows.ends)
    np.testing.assert_array_equal(long.gather()[-1][-8:], windows.gather()[-1])


def test_whole_days_are_kept_and_symbols_are_left_out():
    windows = planted.windows()
    half = whole_days(windows, len(windows) // 2)
    assert set(half.symbol) == {"A"}
    assert set(half.origin) == set(windows.origin)
    assert len(whole_days(windows, 10_000)) == len(windows)
    assert set(whole_days(windows, 1).symbol) == {"A"}


def test_an_orthogonal_state_keeps_every_difference_and_half_of_it_half():
    model = planted.network("simple-rnn", wild=0)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(planted.UNITS, planted.UNITS)))[0]
    for factor in (1.0, 0.5):
        planted.set_weights(model, "recurrent_1", kernel=1e-4, recurrent_kernel=factor * turn)
        table = memory.state_spectrum(watched_members([model], planted.windows(), 5))
        assert table["mean"].to_numpy() == pytest.approx(factor, rel=1e-3)
        assert table["rank"].tolist() == [1, 2, 3, 4]


def test_the_spectrum_of_a_memory_that_is_only_kept_by_hand():
    """With gates and candidate that see nothing and f = 1: dc'/dc = 1, dh'/dc = o sech(c')^2, dh'/dh = dc'/dh = 0."""
    model = planted.network("lstm", wild=0)
    planted.set_weights(model, "recurrent_1", bias=np.repeat([0.0, 50.0, 0.0, 0.0], 4))
    table = memory.state_spectrum(watched_members([model], planted.windows(), 3))
    np.testing.assert_allclose(table["mean"], [np.sqrt(1 + 0.25)] * 4 + [0] * 4, atol=1e-6)


def test_units_whose_clock_does_not_strike_keep_their_state():
    model = planted.network("clockwork-rnn", periods=(1, 100), wild=0)
    planted.set_weights(model, "recurrent_1", recurrent_kernel=0.0)
    seen = watch(model, planted.windows().gather()[:2]).layers["1"]
    np.testing.assert_allclose(memory.state_jacobian(seen, np.array([3]))[0], np.diag([0, 0, 1, 1]))


def test_a_network_of_one_session_has_no_step_to_take_apart():
    model = planted.network("lstm", shape="one-to-one")
    assert memory.state_spectrum(watched_members([model], planted.windows(), 3)).empty
    assert memory.rows_asked([model], planted.windows(), 60) == planted.SPEC.lookback
    assert not norms_of(model, rows=8)[:, :, 1:].any()


def test_a_feed_forward_network_has_no_spectrum():
    assert memory.state_spectrum(watched_members([planted.network("mlp")], planted.windows(), 3)).empty
