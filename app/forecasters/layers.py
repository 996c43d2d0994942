"""Layers from a sequence to a sequence that Keras lacks: framing, truncation, dropout, attention, transformers.

Each gives, for a sequence of `length` rows, outputs of which the last `length - lookback + 1` are those
at the rows a forecast can be made from, and none of them depends on a later row.
"""

import keras
import numpy as np
from keras import ops

from app.errors import SettingsError

NEVER = -1e9
"""Added to a score that must not be attended to: its weight is 0 in float32."""


@keras.saving.register_keras_serializable(package="app")
class Hidden(keras.layers.Layer):
    """The first `units` columns: (batch, rows, columns) → (batch, rows, units)."""

    def __init__(self, units: int, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def call(self, inputs):
        return inputs[..., : self.units]

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="app")
class Framed(keras.layers.Wrapper):
    """A network that reads a whole window, applied to the window that ends at each row.

    (batch, length, features) → (batch, length - lookback + 1, units). Row r of the answer is
    `layer` of rows r to r + lookback - 1 and of nothing else, so that even a layer which reads
    backwards cannot see past the row it forecasts from.

    Args:
        layer: from (batch, lookback, features) to (batch, units).
        lookback: rows of a window.
    """

    def __init__(self, layer, lookback: int, **kwargs):
        super().__init__(layer, **kwargs)
        self.lookback = lookback

    def build(self, input_shape):
        super().build((None, self.lookback, input_shape[-1]))

    def call(self, inputs, training=None):
        count = inputs.shape[1] - self.lookback + 1
        rows = np.arange(count)[:, None] + np.arange(self.lookback)
        frames = ops.reshape(ops.take(inputs, rows, axis=1), (-1, self.lookback, inputs.shape[-1]))
        answer = self.layer(frames, training=training)
        return ops.reshape(answer, (-1, count, answer.shape[-1]))

    def compute_output_shape(self, input_shape):
        units = self.layer.compute_output_shape((None, self.lookback, input_shape[-1]))[-1]
        return (input_shape[0], input_shape[1] - self.lookback + 1, units)

    def get_config(self):
        return {**super().get_config(), "lookback": self.lookback}


@keras.saving.register_keras_serializable(package="app")
class Truncated(keras.layers.Wrapper):
    """A recurrent layer through which gradients flow back over one segment of rows only.

    The state is handed from segment to segment, so outputs are those of the layer itself; its
    gradient is not. Segments are counted from the newest row back, so that it learns over a whole one.

    Args:
        layer: a `keras.layers.RNN` that returns its sequence and its state.
        rows: of a segment.

    Source: Williams & Peng (1990), Neural Computation 2, 490-501.
    """

    def __init__(self, layer, rows: int, **kwargs):
        super().__init__(layer, **kwargs)
        self.rows = rows

    def call(self, inputs, training=None):
        length = inputs.shape[1]
        state, answers = None, []
        for stop in range(length % self.rows or self.rows, length + 1, self.rows):
            segment = inputs[:, max(0, stop - self.rows) : stop]
            answer, *state = self.layer(segment, initial_state=state, training=training)
            state = [ops.stop_gradient(part) for part in state]
            answers.append(answer)
        return ops.concatenate(answers, axis=1)

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)[0]

    def get_config(self):
        return {**super().get_config(), "rows": self.rows}


@keras.saving.register_keras_serializable(package="app")
class DropoutRNN(keras.layers.RNN):
    """A `keras.layers.RNN` over a cell of `app.forecasters.cells`, with recurrent dropout.

    In training each sequence has a mask m_g of its own for each matrix U_g from the state to a gate or a candidate,
    the same at every row and new in the next batch:

        h U_g becomes (m_g * h) U_g,    each number of m_g 0 with probability p, else 1 / (1 - p)

    and nothing else changes: neither c nor the h that is handed on. Masks are further states, which cells hand
    on as they are, so that the loop depends on nothing but what it is given. A forecast has none.

    Args:
        cell: one step.
        recurrent_dropout: p, from 0 to below 1.
        seed: of the masks.

    Source: Gal & Ghahramani (2016), "A theoretically grounded application of dropout in recurrent neural
    networks", NIPS, arXiv 1512.05287, with untied weights: what keras.layers.LSTM draws from the same seed.
    """

    def __init__(self, cell, recurrent_dropout: float = 0.0, seed: int = 0, **kwargs):
        if not 0 <= recurrent_dropout < 1:
            raise SettingsError(f"recurrent_dropout must be from 0 to below 1, got {recurrent_dropout!r}.")
        super().__init__(cell, **kwargs)
        self.recurrent_dropout, self.seed = recurrent_dropout, seed
        self.draws = keras.random.SeedGenerator(seed)

    def inner_loop(self, sequences, initial_state, mask, training=False):
        if not training or not self.recurrent_dropout:
            return super().inner_loop(sequences, initial_state, mask, training=training)
        h, (units, columns) = initial_state[0], self.cell.recurrent_kernel.shape
        masks = [
            keras.random.dropout(ops.ones_like(h), self.recurrent_dropout, seed=self.draws)
            for _ in range(columns // units)
        ]
        last, outputs, states = super().inner_loop(sequences, [*initial_state, *masks], mask, training=training)
        return last, outputs, states[: len(initial_state)]

    def get_config(self):
        return {**super().get_config(), "recurrent_dropout": self.recurrent_dropout, "seed": self.seed}


@keras.saving.register_keras_serializable(package="app")
class AttentionPooling(keras.layers.Layer):
    """The newest state, and beside it a weighted mean of the last `lookback` states.

    At row T, with s running over rows T - lookback + 1 to T:

        e_s = u' tanh(W h_s + b),  alpha = softmax(e),  answer = [h_T ; sum of alpha_s h_s]

    (batch, length, units) → (batch, length - lookback + 1, 2 units): one answer for each row that
    has `lookback` rows up to it.

    Source: Feng, Chen, He, Ding, Sun & Chua (2019), "Enhancing stock movement prediction with
    adversarial training", IJCAI, arXiv 1810.09936, section 3.1 (attentive LSTM).
    """

    def __init__(self, lookback: int, **kwargs):
        super().__init__(**kwargs)
        self.lookback = lookback

    def build(self, input_shape):
        units = input_shape[-1]
        self.kernel = self.add_weight(name="kernel", shape=(units, units), initializer="glorot_uniform")
        self.bias = self.add_weight(name="bias", shape=(units,), initializer="zeros")
        self.query = self.add_weight(name="query", shape=(units, 1), initializer="glorot_uniform")

    def call(self, inputs):
        weights = self.weights_of(inputs)
        return ops.concatenate([inputs[:, self.lookback - 1 :], ops.matmul(weights, inputs)], axis=-1)

    def weights_of(self, inputs):
        """alpha: (batch, length - lookback + 1, length), zero outside each row's own window."""
        length = inputs.shape[1]
        score = ops.matmul(ops.tanh(ops.matmul(inputs, self.kernel) + self.bias), self.query)
        seen = _band(length, self.lookback)[self.lookback - 1 :]
        return ops.softmax(ops.where(seen, ops.transpose(score, (0, 2, 1)), NEVER), axis=-1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[1] - self.lookback + 1, 2 * input_shape[2])

    def get_config(self):
        return {**super().get_config(), "lookback": self.lookback}


@keras.saving.register_keras_serializable(package="app")
class Positions(keras.layers.Layer):
    """Adds to row t, counted from 0, sines and cosines of t: sin(t w_j) in column 2j, cos(t w_j) in 2j + 1.

    w_j = 10000^(-2j / units). Without them attention cannot tell the order of rows.

    Source: Vaswani et al. (2017), "Attention is all you need", arXiv 1706.03762, section 3.5.
    """

    def call(self, inputs):
        length, units = inputs.shape[1:]
        column = np.arange(units)
        angle = np.arange(length)[:, None] / 10000.0 ** (column // 2 * 2 / units)
        return inputs + ops.cast(np.where(column % 2, np.cos(angle), np.sin(angle)), inputs.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable(package="app")
class CausalBlock(keras.layers.Layer):
    """One pre-norm block of a transformer; a row sees itself and the `lookback` - 1 rows before it.

        y = x + attention(norm(x)),  answer = y + W2 relu(W1 norm(y) + b1) + b2

    (batch, length, units) → the same, or with `newest` (batch, length - lookback + 1, units); W1 widens to four times
    the units.

    Args:
        heads: of the attention, each units / heads wide.
        lookback: rows a row may see.
        dropout: share of attention weights, and of outputs of both halves, dropped in training.
        seed: of the dropout.
        kernel_initializer: of all W.
        newest: answer only for the rows a forecast can be made from, which have `lookback` rows up to them: all that is
            needed of the last of several blocks. Over one window it then attends from one row, not from `length`.

    Source: Vaswani et al. (2017), arXiv 1706.03762; norm before each half: Xiong et al. (2020),
    "On layer normalization in the transformer architecture", arXiv 2002.04745.
    """

    def __init__(
        self,
        heads: int,
        lookback: int,
        dropout: float = 0.0,
        seed: int = 0,
        kernel_initializer: str = "glorot_uniform",
        newest: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.heads, self.lookback, self.dropout, self.seed = heads, lookback, dropout, seed
        self.kernel_initializer, self.newest = kernel_initializer, newest

    def build(self, input_shape):
        units, drawn = input_shape[-1], {"kernel_initializer": self.kernel_initializer}
        self.norms = [keras.layers.LayerNormalization(name=f"norm_{half}") for half in (1, 2)]
        self.attention = keras.layers.MultiHeadAttention(
            self.heads, units // self.heads, dropout=self.dropout, seed=self.seed, **drawn, name="attention"
        )
        self.widen = keras.layers.Dense(4 * units, activation="relu", **drawn, name="widen")
        self.narrow = keras.layers.Dense(units, **drawn, name="narrow")
        self.drops = [keras.layers.Dropout(self.dropout, seed=self.seed + half) for half in (1, 2)]
        self.attention.build(input_shape, input_shape)
        self.widen.build(input_shape)
        self.narrow.build((*input_shape[:-1], 4 * units))
        for layer in (*self.norms, *self.drops):
            layer.build(input_shape)

    def call(self, inputs, training=None):
        first = self.lookback - 1 if self.newest else 0
        seen = ops.convert_to_tensor(_band(inputs.shape[1], self.lookback)[None, first:])
        x = self.norms[0](inputs)
        x = self.attention(x[:, first:], x, attention_mask=seen, training=training)
        y = inputs[:, first:] + self.drops[0](x, training=training)
        x = self.narrow(self.widen(self.norms[1](y)))
        return y + self.drops[1](x, training=training)

    def compute_output_shape(self, input_shape):
        batch, length, units = input_shape
        return (batch, length - self.lookback + 1 if self.newest else length, units)

    def get_config(self):
        names = ("heads", "lookback", "dropout", "seed", "kernel_initializer", "newest")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _band(length: int, lookback: int) -> np.ndarray:
    """(length, length) true where the row of the first axis may see that of the second."""
    age = np.arange(length)[:, None] - np.arange(length)
    return (age >= 0) & (age < lookback)
