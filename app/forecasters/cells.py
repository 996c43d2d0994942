"""Recurrent cells that Keras lacks, each one step of a `keras.layers.RNN`: the equations, and nothing else."""

import keras
import numpy as np
from keras import ops

from app.errors import SettingsError


@keras.saving.register_keras_serializable(package="app")
class PeepholeLSTMCell(keras.layers.Layer):
    """LSTM cell whose gates also see the cell state.

    With s(.) the logistic function and * the elementwise product:

        i = s(x Wi + h Ui + pi * c + bi)         input gate, sees the old state
        f = s(x Wf + h Uf + pf * c + bf)         forget gate, sees the old state
        c' = f * c + i * tanh(x Wc + h Uc + bc)
        o = s(x Wo + h Uo + po * c' + bo)        output gate, sees the new state
        h' = o * tanh(c')

    Args:
        units: size of h and of c.
        forget_bias: the forget gate starts open (bf = 1), as in keras.layers.LSTMCell; else bf = 0.
        kernel_initializer, recurrent_initializer: of W, of U.

    Call arguments:
        inputs: (batch, features), one time step.
        states: [h, c], each (batch, units), and from `DropoutRNN` its masks.

    Returns:
        (h', [h', c']), each (batch, units).

    Source: Gers, Schraudolph & Schmidhuber (2002), "Learning precise timing with LSTM recurrent
    networks", JMLR 3, 115-143.
    """

    def __init__(
        self,
        units: int,
        forget_bias: bool = True,
        kernel_initializer: str = "glorot_uniform",
        recurrent_initializer: str = "orthogonal",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = _positive("units", units)
        self.forget_bias = forget_bias
        self.kernel_initializer, self.recurrent_initializer = kernel_initializer, recurrent_initializer
        self.state_size = [units, units]
        self.output_size = units

    def build(self, input_shape):
        gates = 4 * self.units
        self.kernel = self.add_weight(
            name="kernel", shape=(input_shape[-1], gates), initializer=self.kernel_initializer
        )
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel", shape=(self.units, gates), initializer=self.recurrent_initializer
        )
        self.peephole = self.add_weight(name="peephole", shape=(3, self.units), initializer="zeros")
        self.bias = self.add_weight(name="bias", shape=(gates,), initializer=_gate_bias(self.units, self.forget_bias))

    def call(self, inputs, states):
        h, c, *masks = states
        z = ops.matmul(inputs, self.kernel) + _heard(h, self.recurrent_kernel, masks) + self.bias
        z_i, z_f, z_c, z_o = ops.split(z, 4, axis=-1)
        p_i, p_f, p_o = self.peephole[0], self.peephole[1], self.peephole[2]
        i = ops.sigmoid(z_i + p_i * c)
        f = ops.sigmoid(z_f + p_f * c)
        c = f * c + i * ops.tanh(z_c)
        o = ops.sigmoid(z_o + p_o * c)
        h = o * ops.tanh(c)
        return h, [h, c, *masks]

    def get_config(self):
        own = {
            "units": self.units,
            "forget_bias": self.forget_bias,
            "kernel_initializer": self.kernel_initializer,
            "recurrent_initializer": self.recurrent_initializer,
        }
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="app")
class DepthGatedLSTMCell(keras.layers.Layer):
    """LSTM cell whose memory is also fed by the memory of the layer below, through a gate.

    With m the memory of the layer below at the same row, s(.) the logistic function and * the
    elementwise product:

        i = s(x Wi + h Ui + bi),  f = s(x Wf + h Uf + bf),  o = s(x Wo + h Uo + bo)
        d = s(x Wd + wc * c + wm * m + bd)       depth gate: the old memory here, the new one below
        c' = d * m + f * c + i * tanh(x Wc + h Uc + bc)
        h' = o * tanh(c')

    It passes [h', c'] on side by side, so that layers stack as plain `keras.layers.RNN`s: each but
    the first reads x = h' and m = c' of the one below, and `Hidden` keeps h' of the last. With d = 0
    a stack is a stacked LSTM. The paper's other gates have peepholes; these do not, so that the depth
    gate is all that differs from LSTM.

    Args:
        units: size of h and of c, the same in all layers.
        below: False for the first layer, which has no memory below it and is an LSTM.
        forget_bias: the forget gate starts open (bf = 1); else bf = 0.
        kernel_initializer, recurrent_initializer: of W, also that of the depth gate; of U.

    Call arguments:
        inputs: (batch, features), one time step; with `below`, the last `units` columns are m.
        states: [h, c], each (batch, units), and from `DropoutRNN` its masks.

    Returns:
        ([h' c'] of (batch, 2 units), [h', c']).

    Source: Yao, Cohn, Vylomova, Duh & Dyer (2015), "Depth-gated recurrent neural networks",
    arXiv 1508.03790.
    """

    def __init__(
        self,
        units: int,
        below: bool = True,
        forget_bias: bool = True,
        kernel_initializer: str = "glorot_uniform",
        recurrent_initializer: str = "orthogonal",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = _positive("units", units)
        self.below = below
        self.forget_bias = forget_bias
        self.kernel_initializer, self.recurrent_initializer = kernel_initializer, recurrent_initializer
        self.state_size = [units, units]
        self.output_size = 2 * units

    def build(self, input_shape):
        gates, features = 4 * self.units, input_shape[-1] - (self.units if self.below else 0)
        self.kernel = self.add_weight(name="kernel", shape=(features, gates), initializer=self.kernel_initializer)
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel", shape=(self.units, gates), initializer=self.recurrent_initializer
        )
        self.bias = self.add_weight(name="bias", shape=(gates,), initializer=_gate_bias(self.units, self.forget_bias))
        if self.below:
            self.depth_kernel = self.add_weight(
                name="depth_kernel", shape=(features, self.units), initializer=self.kernel_initializer
            )
            self.depth_peephole = self.add_weight(name="depth_peephole", shape=(2, self.units), initializer="zeros")
            self.depth_bias = self.add_weight(name="depth_bias", shape=(self.units,), initializer="zeros")

    def call(self, inputs, states):
        h, c, *masks = states
        x = inputs[:, : -self.units] if self.below else inputs
        z = ops.matmul(x, self.kernel) + _heard(h, self.recurrent_kernel, masks) + self.bias
        z_i, z_f, z_c, z_o = ops.split(z, 4, axis=-1)
        new = ops.sigmoid(z_f) * c + ops.sigmoid(z_i) * ops.tanh(z_c)
        if self.below:
            m = inputs[:, -self.units :]
            w_c, w_m = self.depth_peephole[0], self.depth_peephole[1]
            new = new + ops.sigmoid(ops.matmul(x, self.depth_kernel) + w_c * c + w_m * m + self.depth_bias) * m
        h = ops.sigmoid(z_o) * ops.tanh(new)
        return ops.concatenate([h, new], axis=-1), [h, new, *masks]

    def get_config(self):
        own = {
            "units": self.units,
            "below": self.below,
            "forget_bias": self.forget_bias,
            "kernel_initializer": self.kernel_initializer,
            "recurrent_initializer": self.recurrent_initializer,
        }
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="app")
class ClockworkRNNCell(keras.layers.Layer):
    """Simple RNN whose units form modules, each updated only when its clock strikes.

    Module g has period T_g, and t counts the rows of the sequence from 0:

        h'_g = tanh(x W_g + sum of h_k U_kg over modules k with T_k >= T_g + b_g)   if (t - start) mod T_g = 0
        h'_g = h_g                                                                  otherwise

    so slow modules are read by fast ones and never the reverse: the paper's block-triangular U.
    With all periods 1 it is keras.layers.SimpleRNNCell.

    The paper has start = 0. Any row may be `start`: clocks tick by t, which is known in advance, so
    nothing of the future enters. A network here sets start = lookback - 1, the origin of a window:
    all modules are fresh in every forecast, and a chunk, whose first supervised row has the same t,
    agrees with the window that ends there. At the later supervised rows of a chunk the slow modules
    are as old as their periods make them; the rows a multiple of all periods later are in phase again.

    Args:
        units: size of h, divided equally among the modules.
        periods: of each module, in rows, not falling.
        start: row at which every module is updated.
        kernel_initializer, recurrent_initializer: of W; of U, before the connections that do not exist are cut.

    Call arguments:
        inputs: (batch, features), one time step.
        states: [h, t], (batch, units) and (batch, 1), and from `DropoutRNN` its masks.

    Returns:
        (h', [h', t + 1]).

    Source: Koutník, Greff, Gomez & Schmidhuber (2014), "A clockwork RNN", ICML, arXiv 1402.3511.
    """

    def __init__(
        self,
        units: int,
        periods,
        start: int = 0,
        kernel_initializer: str = "glorot_uniform",
        recurrent_initializer: str = "orthogonal",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = _positive("units", units)
        self.periods = [_positive("period", period) for period in periods]
        if not self.periods or units % len(self.periods) or self.periods != sorted(self.periods):
            raise SettingsError(
                f"periods must not fall and must divide {units} units into equal modules, got {self.periods}."
            )
        self.start = start
        self.kernel_initializer, self.recurrent_initializer = kernel_initializer, recurrent_initializer
        self.state_size = [units, 1]
        self.output_size = units

    def build(self, input_shape):
        self.kernel = self.add_weight(
            name="kernel", shape=(input_shape[-1], self.units), initializer=self.kernel_initializer
        )
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel", shape=(self.units, self.units), initializer=self.recurrent_initializer
        )
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")

    def call(self, inputs, states):
        h, t, *masks = states
        period = np.repeat(self.periods, self.units // len(self.periods)).astype("float32")
        connected = ops.cast(period[:, None] >= period[None, :], h.dtype)
        z = ops.matmul(inputs, self.kernel) + _heard(h, self.recurrent_kernel * connected, masks) + self.bias
        strikes = ops.equal(ops.mod(t - self.start, ops.cast(period, t.dtype)), 0)
        h = ops.where(strikes, ops.tanh(z), h)
        return h, [h, t + 1, *masks]

    def get_config(self):
        own = {
            "units": self.units,
            "periods": self.periods,
            "start": self.start,
            "kernel_initializer": self.kernel_initializer,
            "recurrent_initializer": self.recurrent_initializer,
        }
        return {**super().get_config(), **own}


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise SettingsError(f"{name} must be at least 1, got {value!r}.")
    return int(value)


def _heard(h, kernel, masks):
    """h U; with a mask for each of the matrices side by side in U, that of h times its mask."""
    if not masks:
        return ops.matmul(h, kernel)
    parts = zip(masks, ops.split(kernel, len(masks), axis=-1), strict=True)
    return ops.concatenate([ops.matmul(h * mask, part) for mask, part in parts], axis=-1)


def _gate_bias(units: int, forget_bias: bool):
    """Zeros for the gates i, f, c, o, with ones for f when it starts open."""
    start = np.repeat([0.0, float(forget_bias), 0.0, 0.0], units)
    return lambda shape, dtype=None: ops.cast(start, dtype)
