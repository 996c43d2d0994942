"""Every cell and layer is what its equations say, and what Keras has where the two must agree."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from app.errors import SettingsError
from app.forecasters.bodies import body
from app.forecasters.cells import ClockworkRNNCell, DepthGatedLSTMCell, PeepholeLSTMCell
from app.forecasters.layers import AttentionPooling, CausalBlock, DropoutRNN, Framed, Hidden, Positions, Truncated
from app.forecasters.recipe import Network
from tests import reference

UNITS, FEATURES, LOOKBACK = 4, 3, 5
PERIODS = (1, 3)
X = np.random.default_rng(1).normal(size=(2, 9, FEATURES)).astype("float32")


def depth_gated(**options):
    """Two layers of it."""
    first, second = (
        layers.RNN(DepthGatedLSTMCell(UNITS, below=below), return_sequences=True) for below in (False, True)
    )
    return keras.Sequential([first, second, Hidden(UNITS)], **options)


LAYERS = {
    "simple-rnn": lambda: layers.SimpleRNN(UNITS, return_sequences=True),
    "lstm": lambda: layers.LSTM(UNITS, return_sequences=True),
    "gru": lambda: layers.GRU(UNITS, return_sequences=True),
    "peephole-lstm": lambda: layers.RNN(PeepholeLSTMCell(UNITS), return_sequences=True),
    "depth-gated-lstm": depth_gated,
    "clockwork-rnn": lambda: layers.RNN(ClockworkRNNCell(UNITS, PERIODS, start=4), return_sequences=True),
    "attention": lambda: AttentionPooling(LOOKBACK),
    "bidirectional": lambda: Framed(keras.Sequential([layers.Bidirectional(layers.LSTM(UNITS))]), LOOKBACK),
    "feed-forward": lambda: Framed(
        keras.Sequential([layers.Flatten(), layers.Dense(UNITS, activation="relu")]), LOOKBACK
    ),
    "positions": Positions,
    "block": lambda: CausalBlock(heads=1, lookback=LOOKBACK),
}
EQUATIONS = {
    "simple-rnn": reference.simple_rnn,
    "lstm": reference.lstm,
    "gru": reference.gru,
    "peephole-lstm": reference.peephole_lstm,
    "depth-gated-lstm": lambda x, *w: reference.depth_gated_lstm(x, w[:3], w[3:]),
    "clockwork-rnn": lambda x, *w: reference.clockwork_rnn(x, *w, periods=PERIODS, start=4),
    "attention": lambda x, *w: reference.attention_pooling(x, *w, LOOKBACK),
    "bidirectional": lambda x, *w: reference.bidirectional_lstm(x, w[:3], w[3:], LOOKBACK),
    "feed-forward": lambda x, *w: reference.feed_forward(x, *w, LOOKBACK),
    "positions": lambda x: x + reference.positions(*x.shape),
}


DROPPED = {
    "peephole-lstm": lambda **options: DropoutRNN(PeepholeLSTMCell(UNITS), return_sequences=True, **options),
    "depth-gated-lstm": lambda **options: keras.Sequential(
        [
            DropoutRNN(DepthGatedLSTMCell(UNITS, below=False), return_sequences=True, **options),
            DropoutRNN(DepthGatedLSTMCell(UNITS), return_sequences=True, **options),
            Hidden(UNITS),
        ]
    ),
    "clockwork-rnn": lambda **options: DropoutRNN(
        ClockworkRNNCell(UNITS, PERIODS, start=4), return_sequences=True, **options
    ),
}
WITH_MASK = {
    "peephole-lstm": lambda x, kept, *w: reference.peephole_lstm(x, *w, kept=kept),
    "depth-gated-lstm": lambda x, kept, *w: reference.depth_gated_lstm(x, w[:3], w[3:], kept=(kept, kept)),
    "clockwork-rnn": lambda x, kept, *w: reference.clockwork_rnn(x, *w, periods=PERIODS, start=4, kept=kept[0]),
}


def wild(layer, inputs=X, seed=0):
    """The layer, built, with every weight drawn at random, so that nothing is hidden by a zero."""
    layer(inputs)
    rng = np.random.default_rng(seed)
    for weight in layer.trainable_variables:
        weight.assign(rng.normal(scale=0.7, size=weight.shape))
    return layer


def numbers(layer):
    return [ops.convert_to_numpy(weight).astype("float64") for weight in layer.trainable_variables]


@pytest.mark.parametrize("name", EQUATIONS)
def test_agrees_with_the_equations_written_as_loops(name):
    layer = wild(LAYERS[name]())
    expected = [EQUATIONS[name](x, *numbers(layer)) for x in X.astype("float64")]
    np.testing.assert_allclose(ops.convert_to_numpy(layer(X)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("newest", "first"), [(False, 0), (True, LOOKBACK - 1)])
def test_the_transformer_block_agrees_with_loops(newest, first):
    x = np.random.default_rng(3).normal(size=(2, 9, 6)).astype("float32")
    block = wild(CausalBlock(heads=2, lookback=LOOKBACK, newest=newest), x)
    attention = block.attention
    parts = {"norm_1": block.norms[0], "norm_2": block.norms[1], "widen": block.widen, "narrow": block.narrow}
    parts |= {name: getattr(attention, f"{name}_dense") for name in ("query", "key", "value", "output")}
    weights = {name: numbers(part) for name, part in parts.items()}
    expected = [reference.causal_block(row, weights, LOOKBACK)[first:] for row in x.astype("float64")]
    assert block.compute_output_shape(x.shape) == np.shape(expected)
    np.testing.assert_allclose(ops.convert_to_numpy(block(x)), expected, rtol=1e-5, atol=1e-5)


def test_a_transformer_attends_only_from_the_rows_that_forecast_and_every_row_in_the_blocks_before():
    first, second = (
        layer for layer in body(Network(cell="transformer", layers=2), LOOKBACK) if isinstance(layer, CausalBlock)
    )
    assert (first.newest, second.newest) == (False, True)
    assert CausalBlock.from_config(second.get_config()).newest


def test_without_peepholes_it_is_keras_lstm():
    ours, keras_lstm = wild(LAYERS["peephole-lstm"]()), wild(LAYERS["lstm"]())
    kernel, recurrent, peephole, bias = numbers(ours)
    ours.set_weights([kernel, recurrent, 0 * peephole, bias])
    keras_lstm.set_weights([kernel, recurrent, bias])
    np.testing.assert_allclose(ours(X), keras_lstm(X), rtol=1e-6, atol=1e-6)


def test_with_its_depth_gate_shut_it_is_a_stacked_lstm():
    ours = wild(depth_gated())
    *weights, depth_kernel, depth_peephole, depth_bias = numbers(ours)
    ours.set_weights([*weights, 0 * depth_kernel, 0 * depth_peephole, depth_bias - 1e9])
    stacked = wild(keras.Sequential([LAYERS["lstm"](), LAYERS["lstm"]()]))
    stacked.set_weights(weights)
    np.testing.assert_allclose(ours(X), stacked(X), rtol=1e-6, atol=1e-6)


def test_with_all_periods_one_it_is_keras_simple_rnn():
    ours = wild(layers.RNN(ClockworkRNNCell(UNITS, [1, 1]), return_sequences=True))
    simple = wild(LAYERS["simple-rnn"]())
    simple.set_weights(numbers(ours))
    np.testing.assert_allclose(ours(X), simple(X), rtol=1e-6, atol=1e-6)


def test_a_module_moves_only_when_its_clock_strikes():
    states = np.asarray(wild(LAYERS["clockwork-rnn"]())(X))
    moved = np.any(np.diff(states, axis=1) != 0, axis=0)
    assert moved[:, :2].all()
    assert moved[:, 2:].any(axis=1).nonzero()[0].tolist() == [0, 3, 6]  # rows 1, 4 and 7: start 4, period 3


def test_slow_modules_do_not_hear_fast_ones():
    layer = wild(LAYERS["clockwork-rnn"]())
    kernel, recurrent, bias = numbers(layer)
    before = np.asarray(layer(X))
    kernel[:, :2] += 1.0
    layer.set_weights([kernel, recurrent, bias])
    after = np.asarray(layer(X))
    np.testing.assert_array_equal(before[..., 2:], after[..., 2:])
    assert (before[..., :2] != after[..., :2]).all()


@pytest.mark.parametrize("cell", [PeepholeLSTMCell, DepthGatedLSTMCell])
@pytest.mark.parametrize("open_", [True, False])
def test_forget_gates_start_open_when_asked_to(cell, open_):
    cell = cell(UNITS, forget_bias=open_)
    cell.build((None, 2 * UNITS))
    expected = np.repeat([0, float(open_), 0, 0], UNITS)
    np.testing.assert_array_equal(ops.convert_to_numpy(cell.bias), expected)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="gradients are taken with TensorFlow's tape")
@pytest.mark.parametrize("name", [name for name in LAYERS if name != "positions"])
def test_gradients_agree_with_finite_differences(name):
    """Along three random directions in the space of all weights and inputs, in float64."""
    import tensorflow as tf

    standard = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        x = X.astype("float64")
        layer = wild(LAYERS[name](), x)
    finally:
        keras.config.set_dtype_policy(standard)
    rng = np.random.default_rng(2)
    mix = rng.normal(size=layer(x).shape)
    inputs = tf.Variable(x)
    variables = [inputs, *(weight.value for weight in layer.trainable_variables)]

    def loss():
        return tf.reduce_sum(layer(inputs) * mix)

    with tf.GradientTape() as tape:
        value = loss()
    slopes = tape.gradient(value, variables)
    for _ in range(3):
        direction = [rng.normal(size=variable.shape) for variable in variables]
        expected = (_moved(loss, variables, direction, 1e-5) - _moved(loss, variables, direction, -1e-5)) / 2e-5
        along = sum(float(tf.reduce_sum(slope * step)) for slope, step in zip(slopes, direction, strict=True))
        assert along == pytest.approx(float(expected), rel=1e-6, abs=1e-7)


def _moved(loss, variables, direction, size):
    for variable, step in zip(variables, direction, strict=True):
        variable.assign_add(size * step)
    value = loss()
    for variable, step in zip(variables, direction, strict=True):
        variable.assign_sub(size * step)
    return value


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_made_from_its_configuration_is_the_same(name):
    layer = wild(LAYERS[name]())
    twin = wild(type(layer).from_config(layer.get_config()), seed=5)
    twin.set_weights(layer.get_weights())
    np.testing.assert_array_equal(twin(X), layer(X))


@pytest.mark.parametrize(
    "make",
    [
        lambda **options: PeepholeLSTMCell(UNITS, **options),
        lambda **options: DepthGatedLSTMCell(UNITS, **options),
        lambda **options: ClockworkRNNCell(UNITS, PERIODS, **options),
        lambda **options: CausalBlock(1, LOOKBACK, **options),
    ],
)
def test_how_weights_are_drawn_is_part_of_the_configuration(make):
    made = make(kernel_initializer="random_normal")
    assert type(made).from_config(made.get_config()).kernel_initializer == "random_normal"


@pytest.mark.parametrize("name", DROPPED)
def test_a_dropout_made_from_its_configuration_draws_the_same(name):
    layer = wild(DROPPED[name](recurrent_dropout=0.4, seed=7))
    twin = wild(type(layer).from_config(layer.get_config()))
    np.testing.assert_array_equal(twin(X, training=True), layer(X, training=True))


@pytest.mark.parametrize("name", DROPPED)
def test_recurrent_dropout_agrees_with_loops_that_are_told_the_mask(name):
    """Each gate of each sequence has a mask, the same at every row; the next batch has others."""
    layer, twin = wild(DROPPED[name](recurrent_dropout=0.4, seed=3)), keras.random.SeedGenerator(3)
    gates = 1 if name == "clockwork-rnn" else 4
    for _ in range(2):
        masks = np.stack(
            [keras.random.dropout(np.ones((len(X), UNITS), "float32"), 0.4, seed=twin) for _ in range(gates)], axis=1
        )
        assert set(np.unique(masks.round(3))) == set(np.float32([0, 1.667]))
        expected = [
            WITH_MASK[name](x, kept, *numbers(layer)) for x, kept in zip(X.astype("float64"), masks, strict=True)
        ]
        np.testing.assert_allclose(ops.convert_to_numpy(layer(X, training=True)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", DROPPED)
def test_recurrent_dropout_is_off_in_a_forecast_and_at_rate_0(name):
    plain = wild(LAYERS[name]())
    for rate, training in ((0.5, False), (0.0, True), (0.0, False)):
        layer = wild(DROPPED[name](recurrent_dropout=rate))
        np.testing.assert_array_equal(layer(X, training=training), plain(X, training=training))


@pytest.mark.parametrize(
    ("make", "twin"),
    [
        (lambda **options: PeepholeLSTMCell(UNITS), layers.LSTM),
        (lambda **options: DepthGatedLSTMCell(UNITS, below=False), layers.LSTM),
        (lambda **options: ClockworkRNNCell(UNITS, [1, 1]), layers.SimpleRNN),
    ],
)
def test_recurrent_dropout_is_that_of_keras(make, twin):
    """From the same seed Keras draws the same masks; the cells are made to be those of Keras."""
    options = {"recurrent_dropout": 0.4, "seed": 5, "return_sequences": True}
    ours, theirs = DropoutRNN(make(), **options), twin(UNITS, **options)
    wild(ours)
    weights = numbers(ours)
    if len(weights) == 4:
        ours.cell.peephole.assign(0 * weights.pop(2))
    theirs.build(X.shape)
    theirs.set_weights(weights)
    for _ in range(2):
        np.testing.assert_allclose(ours(X, training=True)[..., :UNITS], theirs(X, training=True), rtol=1e-5, atol=1e-6)


def test_a_state_is_returned_without_the_mask():
    layer = DropoutRNN(PeepholeLSTMCell(UNITS), recurrent_dropout=0.4, return_sequences=True, return_state=True)
    answer, h, c = layer(X, training=True)
    np.testing.assert_array_equal(answer[:, -1], h)
    assert c.shape == h.shape


@pytest.mark.parametrize("rows", [1, 4, 9, 20])
@pytest.mark.parametrize("name", ["gru", "depth-gated-lstm", "clockwork-rnn"])
def test_truncation_changes_no_output(name, rows):
    layer = _returning_state(LAYERS[name])
    truncated = Truncated(layer, rows)
    np.testing.assert_allclose(wild(truncated)(X), layer(X)[0], rtol=1e-6, atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="gradients are taken with TensorFlow's tape")
def test_truncation_stops_gradients_at_the_newest_segment():
    import tensorflow as tf

    inputs = tf.Variable(X)
    truncated = wild(Truncated(_returning_state(LAYERS["clockwork-rnn"]), 4))
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(truncated(inputs)[:, -1])
    reached = np.abs(tape.gradient(value, inputs).numpy()).sum(axis=(0, 2)) > 0
    assert reached.tolist() == [False] * 5 + [True] * 4


def _returning_state(make):
    layer = make()
    layer = layer.layers[0] if isinstance(layer, keras.Sequential) else layer
    layer.return_state = True
    return layer


@pytest.mark.parametrize("name", ["attention", "bidirectional", "feed-forward", "block"])
def test_a_row_sees_its_own_window_and_nothing_else(name):
    layer = wild(LAYERS[name]())
    before = np.asarray(layer(X))
    extra = X.shape[1] - before.shape[1]
    for row in range(X.shape[1]):
        altered = X.copy()
        altered[:, row] *= [2.0, -1.0, 3.0]
        changed = (np.asarray(layer(altered)) != before).any(axis=(0, 2))
        seen = [row <= end < row + LOOKBACK for end in range(extra, X.shape[1])]
        assert changed.tolist() == seen


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PeepholeLSTMCell(0), "units must be at least 1, got 0"),
        (lambda: DepthGatedLSTMCell(-2), "units must be at least 1, got -2"),
        (lambda: ClockworkRNNCell(0, [1]), "units must be at least 1, got 0"),
        (lambda: ClockworkRNNCell(4, [1, 2, 4]), r"divide 4 units into equal modules, got \[1, 2, 4\]"),
        (lambda: ClockworkRNNCell(4, [2, 1]), "periods must not fall"),
        (lambda: ClockworkRNNCell(4, []), "periods must not fall"),
        (lambda: ClockworkRNNCell(4, [0, 1]), "period must be at least 1, got 0"),
        (lambda: DropoutRNN(PeepholeLSTMCell(4), 1.0), "recurrent_dropout must be from 0 to below 1, got 1.0"),
    ],
)
def test_nonsense_is_refused(make, message):
    with pytest.raises(SettingsError, match=message):
        make()
