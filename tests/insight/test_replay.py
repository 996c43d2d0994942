"""A replayed layer is the layer: what its gates are shown to do is what they do."""

import keras
import numpy as np
import pytest
from keras import layers

from app.forecasters.cells import ClockworkRNNCell, DepthGatedLSTMCell, PeepholeLSTMCell
from app.forecasters.recipe import CELLS
from app.forecasters.shapes import shapes_of
from app.insight.anatomy import responder, standardised, watch
from app.insight.replay import logistic, replay
from tests import reference
from tests.insight import planted

X = np.random.default_rng(1).normal(size=(3, 9, 5)).astype("float32")
LAYERS = {
    "simple-rnn": lambda: layers.SimpleRNN(4, return_sequences=True),
    "lstm": lambda: layers.LSTM(4, return_sequences=True),
    "gru": lambda: layers.GRU(4, return_sequences=True),
    "backwards": lambda: layers.LSTM(4, return_sequences=True, go_backwards=True),
    "peephole-lstm": lambda: layers.RNN(PeepholeLSTMCell(4), return_sequences=True),
    "depth-gated-lstm, first": lambda: layers.RNN(DepthGatedLSTMCell(4, below=False), return_sequences=True),
    "depth-gated-lstm, second": lambda: layers.RNN(DepthGatedLSTMCell(4), return_sequences=True),
    "clockwork-rnn": lambda: layers.RNN(ClockworkRNNCell(4, (1, 3), start=4), return_sequences=True),
}


def wild(layer):
    """The layer, built, with every weight drawn at random."""
    layer(X)
    rng = np.random.default_rng(0)
    for weight in layer.trainable_variables:
        weight.assign(rng.normal(scale=0.7, size=weight.shape))
    return layer


@pytest.mark.parametrize("name", LAYERS)
def test_a_replay_gives_the_outputs_of_the_layer(name):
    layer = wild(LAYERS[name]())
    np.testing.assert_allclose(replay(layer, X).outputs, layer(X), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("truncation", [0, 3])
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_a_watched_network_forecasts_as_it_does_unwatched(cell, depth, truncation):
    if truncation and cell == "bidirectional-lstm":
        pytest.skip("its backward pass begins anew in every window: it cannot be truncated")
    model = planted.network(cell, layers=depth, truncation=truncation)
    inputs = planted.windows().gather()[:5]
    expected = model.predict_on_batch(inputs)
    np.testing.assert_allclose(watch(model, inputs).quantiles, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(responder([model])(standardised(model, inputs)), expected, rtol=1e-5, atol=1e-5)


DECODED = [(cell, shape) for shape in ("many-to-many", "one-to-many") for cell in CELLS if shape in shapes_of(cell)]


@pytest.mark.parametrize(("cell", "shape", "depth"), [*((*one, 1) for one in DECODED), ("gru", "many-to-many", 2)])
def test_a_watched_decoder_does_what_the_layer_does(cell, shape, depth):
    """Forecasts are those of the model, and what each layer gives at each horizon is what Keras's layer gives."""
    model = planted.network(cell, shape=shape, layers=depth)
    inputs = planted.windows().gather()[:5]
    seen, decoder = watch(model, inputs), model.get_layer("decoder")
    np.testing.assert_allclose(seen.quantiles, model.predict_on_batch(inputs), rtol=1e-5, atol=1e-5)
    before = keras.Model(model.inputs, model.get_layer("last").output)
    summary = before(inputs)[:, 0]
    answer, starts = decoder.told(summary), iter(decoder.first_states(summary))
    recurrent = [layer for layer in decoder.layers if isinstance(layer, layers.RNN)]
    assert list(seen.decoder) == [str(number + 1) for number in range(len(recurrent))]
    for layer, replayed in zip(recurrent, seen.decoder.values(), strict=True):
        answer = layer(answer, initial_state=next(starts))
        np.testing.assert_allclose(replayed.outputs, answer, rtol=1e-5, atol=1e-5)
        assert replayed.outputs.shape[:2] == (5, len(planted.SPEC.horizons))


@pytest.mark.parametrize(
    ("cell", "depth", "names"),
    [
        ("lstm", 2, ["1", "2"]),
        ("depth-gated-lstm", 1, ["1", "2"]),
        ("bidirectional-lstm", 1, ["1 forwards", "1 backwards"]),
        ("mlp", 1, []),
    ],
)
def test_every_recurrent_layer_has_its_name(cell, depth, names):
    seen = watch(planted.network(cell, layers=depth), planted.windows().gather()[:2])
    assert list(seen.layers) == names


@pytest.mark.parametrize(
    ("cell", "gates"),
    [
        ("lstm", {"forget", "input", "output"}),
        ("peephole-lstm", {"forget", "input", "output"}),
        ("gru", {"update", "reset"}),
        ("simple-rnn", set()),
        ("clockwork-rnn", set()),
    ],
)
def test_every_cell_has_its_gates(cell, gates):
    seen = watch(planted.network(cell), planted.windows().gather()[:2]).layers["1"]
    assert set(seen.gates) == gates
    for values in seen.gates.values():
        assert values.shape == (2, planted.SPEC.lookback, planted.UNITS)


def test_the_depth_gate_joins_two_layers():
    seen = watch(planted.network("depth-gated-lstm"), planted.windows().gather()[:2])
    assert "depth" not in seen.layers["1"].gates
    assert "depth" in seen.layers["2"].gates


@pytest.mark.parametrize(("cell", "place", "gate"), [("lstm", 0, "input"), ("lstm", 1, "forget"), ("lstm", 3, "output"),
                                                     ("gru", 0, "update"), ("gru", 1, "reset")])  # fmt: skip
def test_a_gate_that_is_held_is_a_gate_with_such_weights(cell, place, gate):
    """Held at s(0.4) by hand, or by a bias of 0.4 and weights of zero: the forecasts are equal."""
    inputs = planted.windows().gather()[:5]
    held = watch(planted.network(cell), inputs, {("1", gate): logistic(np.array(0.4))})
    by_weights = planted.gates_biased(cell, {place: 0.4})
    np.testing.assert_allclose(held.quantiles, by_weights.predict_on_batch(inputs), rtol=1e-5, atol=1e-5)
    assert not np.allclose(held.quantiles, planted.network(cell).predict_on_batch(inputs), atol=1e-3)


GATES = [("lstm", "forget"), ("lstm", "input"), ("lstm", "output"), ("gru", "update"), ("gru", "reset"),
         ("peephole-lstm", "forget")]  # fmt: skip


@pytest.mark.parametrize("shape", ["many-to-many", "one-to-many"])
@pytest.mark.parametrize(("cell", "gate"), GATES)
def test_a_held_gate_of_a_decoder_agrees_with_loops(cell, gate, shape):
    """Held in the decoder's layer 1 alone; the encoder's layer 1 reads the rows as it did."""
    model, inputs = planted.network(cell, shape=shape), planted.windows().gather()[:3]
    decoder = model.get_layer("decoder")
    bridge, weights, head = (
        [np.asarray(weight, "float64") for weight in layer.get_weights()]
        for layer in (decoder.bridges[0], decoder.layers[0], model.get_layer("quantiles"))
    )
    held = watch(model, inputs, {("decoder 1", gate): 0.4})
    assert (held.decoder["1"].gates[gate] == 0.4).all()
    summaries = np.asarray(keras.Model(model.inputs, model.get_layer("last").output)(inputs))[:, 0]
    for summary, answer in zip(summaries, held.quantiles, strict=True):
        states = reference.decoder(summary, len(planted.SPEC.horizons), cell, bridge, weights, held={gate: 0.4})
        z = states @ head[0] + head[1].reshape(len(states), -1)
        np.testing.assert_allclose(answer, [reference.rising(row) for row in z], rtol=1e-4, atol=1e-5)
    assert not np.allclose(held.quantiles, watch(model, inputs).quantiles, atol=1e-3)


def test_the_logistic_function_does_not_overflow():
    np.testing.assert_allclose(logistic(np.array([-1e4, 0.0, 1e4])), [0.0, 0.5, 1.0])


def test_members_are_averaged():
    one, other = planted.network("lstm"), planted.gates_biased("lstm", {1: 3.0})
    inputs = standardised(one, planted.windows().gather()[:3])
    apart = [keras.ops.convert_to_numpy(responder([model])(inputs)) for model in (one, other)]
    np.testing.assert_allclose(responder([one, other])(inputs), np.mean(apart, axis=0), rtol=1e-5, atol=1e-6)
