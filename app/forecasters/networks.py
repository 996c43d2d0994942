"""A name and a few numbers → a Keras network that forecasts quantiles at every horizon."""

import keras
import numpy as np
from keras import ops

from app.errors import SettingsError
from app.forecasters.bodies import around_last
from app.schema import LEVELS


@keras.saving.register_keras_serializable(package="app")
class QuantileHead(keras.layers.Layer):
    """Linear layer whose outputs are quantiles that cannot cross.

    With z = h W + b split per horizon into a median m and one number for each other level:

        upper quantiles = m + cumulative sum of softplus(z), from the median up
        lower quantiles = m - cumulative sum of softplus(z), from the median down

    W starts at zero and b so that the outputs are `start`: training begins with the unconditional
    quantiles, and what the network adds to them is what it has learnt. Where h is given for each horizon
    (a decoder's answer), all horizons share one W and keep their own b. Of m, only a share of h W is taken: a gain
    below 1 makes it learn so much slower (Adam's steps are of one size), and at 0 it is b alone.

    Args:
        start: (horizons, levels) rising quantiles, in the unit of the targets.
        median_gain: share of h W in the median.

    Call arguments:
        inputs: (batch, steps, units) or (batch, steps, horizons, units).

    Returns:
        (batch, steps, horizons, levels).
    """

    def __init__(self, start, median_gain: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        self.median_gain = float(median_gain)
        self.start = np.asarray(start, "float32")
        if self.start.ndim != 2 or self.start.shape[1] % 2 == 0 or (np.diff(self.start) <= 0).any():
            raise SettingsError(
                f"start must be (horizons, odd number of levels) and rise, got shape {self.start.shape}."
            )
        self.middle = self.start.shape[1] // 2

    def build(self, input_shape):
        outputs = self.start.size
        gaps = np.diff(self.start, axis=1)
        unsoftened = np.log(np.expm1(np.maximum(gaps, 1e-4)))
        bias = np.insert(unsoftened, self.middle, self.start[:, self.middle], axis=1)
        columns = outputs if len(input_shape) == 3 else self.start.shape[1]
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], columns), initializer="zeros")
        self.bias = self.add_weight(
            name="bias", shape=(outputs,), initializer=lambda shape, dtype=None: ops.cast(bias.reshape(shape), dtype)
        )

    def call(self, inputs):
        shape = (-1, inputs.shape[1] or ops.shape(inputs)[1], *self.start.shape)
        bias = ops.reshape(self.bias, self.start.shape)
        moved = ops.reshape(ops.matmul(inputs, self.kernel), shape)
        z, middle = moved + bias, slice(self.middle, self.middle + 1)
        median = self.median_gain * moved[..., middle] + bias[:, middle]
        up = ops.cumsum(ops.softplus(z[..., self.middle + 1 :]), axis=-1)
        down = ops.cumsum(ops.flip(ops.softplus(z[..., : self.middle]), axis=-1), axis=-1)
        return ops.concatenate([median - ops.flip(down, axis=-1), median, median + up], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:2], *self.start.shape)

    def get_config(self):
        return {**super().get_config(), "start": self.start.tolist(), "median_gain": self.median_gain}


@keras.saving.register_keras_serializable(package="app")
class LastSteps(keras.layers.Layer):
    """The last `steps` rows of a sequence: (batch, rows, units) → (batch, steps, units)."""

    def __init__(self, steps: int, **kwargs):
        super().__init__(**kwargs)
        self.steps = steps

    def call(self, inputs):
        return inputs[:, -self.steps :, :]

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.steps, input_shape[2])

    def get_config(self):
        return {**super().get_config(), "steps": self.steps}


@keras.saving.register_keras_serializable(package="app")
class PinballLoss(keras.losses.Loss):
    """Mean pinball loss over levels and over the targets that are known; NaN targets count for nothing.

    Targets: (batch, steps, horizons); forecasts: (batch, steps, horizons, levels).

    Source: Koenker & Bassett (1978), Econometrica 46, 33-50, eq. 2.1.
    """

    def __init__(self, name="pinball", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        known = ops.isfinite(y_true)
        target = ops.where(known, y_true, ops.zeros_like(y_true))
        error = ops.expand_dims(target, -1) - y_pred
        levels = ops.convert_to_tensor(LEVELS, dtype=y_pred.dtype)
        loss = ops.mean(ops.maximum(levels * error, (levels - 1.0) * error), axis=-1)
        weight = ops.cast(known, loss.dtype)
        return ops.sum(loss * weight) / ops.maximum(ops.sum(weight), 1.0)


@keras.saving.register_keras_serializable(package="app")
class Gather(keras.layers.Layer):
    """Rows of a panel by index, inside the graph: (batch, 1) last rows → (batch, length, features).

    Only the training model has one, so the panel is never saved with a network.
    """

    def __init__(self, length: int, panel=None, **kwargs):
        super().__init__(**kwargs)
        self.length = length
        self.panel = None if panel is None else ops.convert_to_tensor(panel)

    def call(self, inputs):
        rows = inputs + ops.arange(1 - self.length, 1, dtype=inputs.dtype)
        return ops.take(self.panel, rows, axis=0)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:1], self.length, *ops.shape(self.panel)[1:])

    def get_config(self):
        return {**super().get_config(), "length": self.length}


def forecaster(
    network, inputs: tuple[int, int], mean: np.ndarray, variance: np.ndarray, start: np.ndarray
) -> keras.Model:
    """The network that is saved and forecasts from one window.

    Args:
        network: an `app.forecasters.recipe.Network`.
        inputs: lookback and number of features.
        mean, variance: (features,) of the training rows, kept in the Normalization layer.
        start: (horizons, levels) quantiles that the untrained network gives.

    Returns:
        A model from (batch, lookback, features) to (batch, horizons, levels), scaled targets.
    """
    rows = keras.Input(inputs, name="features")
    state = keras.layers.Normalization(mean=mean, variance=variance, name="standardise")(rows)
    before, after = around_last(network, inputs[0], len(start))
    for layer in (*before, LastSteps(1, name="last"), *after):
        state = layer(state)
    quantiles = QuantileHead(start, network.median_gain, name="quantiles")(state)
    return keras.Model(
        rows, keras.layers.Reshape(np.shape(start), name="forecast")(quantiles), name=network.cell.replace("-", "_")
    )


def trainer(model: keras.Model, panel: np.ndarray, length: int, steps: int) -> keras.Model:
    """A model over the same layers that gathers chunks by index and forecasts at each of their last rows.

    Args:
        model: from `forecaster`.
        panel: (rows, features) float32.
        length: rows of a chunk; steps: how many of them, the last, are supervised.

    Returns:
        A model from (batch, 1) integer last rows to (batch, steps, horizons, levels).
    """
    ends = keras.Input((1,), dtype="int32", name="ends")
    state = Gather(length, panel, name="gather")(ends)
    for layer in model.layers[1:-1]:
        state = LastSteps(steps)(state) if layer.name == "last" else layer(state)
    return keras.Model(ends, state, name="trainer")
