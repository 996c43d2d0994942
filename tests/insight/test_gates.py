"""Gates whose openness was planted are found where they are."""

import numpy as np
import pytest

from app.dataset.windows import Windows
from app.forecasters.recipe import CELLS
from app.insight import gates
from app.insight.anatomy import watch
from tests.insight import planted

SHUT, OPEN = -50.0, 50.0


def seen_by(model, rows=None):
    inputs = planted.windows().gather()[:20] if rows is None else rows
    return [watch(model, inputs)]


def test_a_gate_that_is_always_open_or_shut_is_called_so():
    model = planted.gates_biased("lstm", {0: SHUT, 1: OPEN})
    shares = gates.gate_shares(seen_by(model)).set_index("gate")
    assert shares.loc["forget", ["mean", "open", "shut"]].tolist() == [1, 1, 0]
    assert shares.loc["input", ["open", "shut"]].tolist() == [0, 1]
    assert 0 < shares.loc["output", "mean"] < 1
    histogram = gates.gate_histograms(seen_by(model)).set_index("gate")
    assert histogram.loc["forget", "share"].tolist() == [0] * 19 + [1]
    assert histogram.loc["input", "share"].tolist() == [1] + [0] * 19


def test_a_gate_is_shut_below_one_tenth_and_open_above_nine():
    """Its four units stand at 0.05, 0.15, 0.85 and 0.95."""
    z = np.array([0.05, 0.15, 0.85, 0.95])
    seen = seen_by(planted.gates_biased("lstm", {1: np.log(z / (1 - z))}))
    for table in (gates.gate_shares(seen), gates.gate_lags(seen)):
        forget = table[table["gate"] == "forget"]
        assert set(forget["shut"]) == set(forget["open"]) == {0.25}


@pytest.mark.parametrize("cell", CELLS)
def test_histograms_hold_every_value_once(cell):
    table = gates.gate_histograms(seen_by(planted.network(cell)))
    assert table.groupby(["layer", "gate"])["share"].sum().to_numpy() == pytest.approx(1)
    assert (len(table) == 0) == (cell in ("simple-rnn", "clockwork-rnn", "transformer", "mlp"))


@pytest.mark.parametrize("cell", ["lstm", "bidirectional-lstm"])
def test_a_gate_is_shown_at_the_lag_at_which_it_opens(cell):
    """The input gate sees one feature, which is large three sessions before the origin, and else far below zero."""
    model = planted.network(cell, wild=0)
    cells = (
        [model.get_layer("recurrent_1").cell]
        if cell == "lstm"
        else [
            getattr(model.get_layer("framed").layer.layers[0], f"{way}_layer").cell for way in ("forward", "backward")
        ]
    )
    for one in cells:
        kernel = np.zeros(one.kernel.shape)
        kernel[0, : planted.UNITS] = 1.0
        one.kernel.assign(kernel)
        one.recurrent_kernel.assign(np.zeros(one.recurrent_kernel.shape))
    rows = np.full((2, planted.SPEC.lookback, planted.COLUMNS), -50.0, "float32")
    rows[:, -4] = 50.0
    table = gates.gate_lags(seen_by(model, rows))
    opened = table[(table["gate"] == "input") & (table["open"] == 1)]
    assert opened["lag"].tolist() == [3] * len(cells)
    assert opened["layer"].tolist() == list(dict.fromkeys(table["layer"]))


@pytest.mark.parametrize("shape", ["many-to-many", "one-to-many"])
def test_a_gate_of_a_decoder_is_shown_at_the_horizon_at_which_it_opens(shape):
    """The input gate sees which horizon it is, and opens at the second; at the first it is shut."""
    model = planted.network("lstm", shape=shape)
    cell = model.get_layer("decoder").layers[0].cell
    kernel, recurrent, bias = (np.array(weight) for weight in cell.get_weights())
    kernel[:, : planted.UNITS], recurrent[:, : planted.UNITS], bias[: planted.UNITS] = 0.0, 0.0, SHUT
    kernel[-1, : planted.UNITS] = OPEN - SHUT
    cell.set_weights([kernel, recurrent, bias])
    table = gates.gate_horizons(seen_by(model), planted.SPEC.horizons)
    found = table[table["gate"] == "input"]
    assert found["horizon"].tolist() == [1, 3]
    assert found[["mean", "shut", "open"]].to_numpy().tolist() == [[pytest.approx(0), 1, 0], [pytest.approx(1), 0, 1]]
    assert set(table["gate"]) == {"forget", "input", "output"}
    others = table[table["gate"] != "input"]
    assert ((others["low"] <= others["mean"]) & (others["mean"] <= others["high"])).all()
    assert gates.gate_horizons(seen_by(planted.network("lstm")), planted.SPEC.horizons).empty


def test_attention_is_shown_at_the_lag_that_gets_it():
    """Scores are 50 times tanh of the first unit of a state that carries the row's first feature."""
    model = planted.network("attention-lstm", wild=0)
    set_to = {name: np.zeros((planted.COLUMNS, 16)) for name in ("kernel",)}
    set_to["kernel"][0, 8] = 5.0  # the candidate of unit 0; gates are half open
    planted.set_weights(model, "recurrent_1", bias=np.repeat([0.0, SHUT, 0.0, 0.0], 4), **set_to)
    first = np.zeros((4, 4))
    first[0, 0] = 5.0
    planted.set_weights(model, "attention", kernel=first, query=np.array([[50.0], [0], [0], [0]]))
    rows = np.zeros((2, planted.SPEC.lookback, planted.COLUMNS), "float32")
    rows[:, -6, 0] = 5.0
    table = gates.attention_lags(seen_by(model, rows))
    assert table["mean"].sum() == pytest.approx(1)
    assert table["mean"].idxmax() == 5
    assert table["mean"].max() > 0.99
    assert gates.attention_lags(seen_by(planted.network("lstm"))).empty


@pytest.mark.parametrize(("cell", "state"), [("lstm", "memory"), ("gru", "hidden"), ("clockwork-rnn", "hidden"),
                                             ("depth-gated-lstm", "memory")])  # fmt: skip
def test_a_trace_is_the_state_of_the_newest_window(cell, state):
    windows = planted.windows()
    table = gates.state_traces(planted.network(cell), windows)
    seen = watch(planted.network(cell), windows.gather()[-1:]).layers["1"]
    first = table[table["layer"] == "1"]
    assert set(first["state"]) == {state}
    assert set(first["origin"]) == {windows.origin[-1]}
    found = first.pivot(index="unit", columns="lag", values="value").to_numpy()
    place = 1 if state == "memory" else 0
    np.testing.assert_allclose(found, seen.states[place][0].T[:, ::-1])


def test_what_is_watched_is_spread_over_all_windows():
    one = gates.watched_members([planted.network("lstm")], planted.windows(), 3)[0]
    ends = planted.windows().ends[[0, round((len(planted.windows()) - 1) / 2), -1]]
    expected = Windows(planted.windows().panel, ends).gather()
    direct = watch(planted.network("lstm"), expected)
    np.testing.assert_array_equal(one.layers["1"].inputs, direct.layers["1"].inputs)
