"""Networks whose every weight is known, and windows for them to read."""

import functools
from dataclasses import replace

import keras
import numpy as np
import pandas as pd

from app.dataset import make_windows
from app.dataset.features import FEATURES
from app.dataset.windows import Windows, WindowSpec
from app.forecasters import networks
from app.forecasters.recipe import Network
from app.forecasters.recurrent import FittedNetwork
from app.insight.sample import spread
from tests.forecasters.planted import price_table

SPEC = WindowSpec(lookback=8, horizons=(1, 3))
UNITS, COLUMNS = 4, len(FEATURES)
MIDDLE = 9
"""Place of the median among 19 levels."""


@functools.cache
def windows() -> Windows:
    """Two random walks of 200 sessions; the windows whose actuals are known."""
    rng = np.random.default_rng(0)
    prices = price_table({name: 0.01 * rng.normal(size=200) for name in ("A", "B")})
    every = make_windows(prices, SPEC, "24/5")
    return every.known_by(every.origin.max())


def few(count: int) -> Windows:
    """So many of the windows, far apart."""
    return spread(windows(), count)


def network(cell: str, wild: float = 0.5, **settings) -> keras.Model:
    """An untrained network, the same each time, its weights pushed at random by `wild` so that no effect is small."""
    keras.utils.set_random_seed(0)
    recipe = Network(**{"cell": cell, "units": UNITS, "periods": (1, 2), "median_gain": 1.0, **settings})
    start = np.tile(np.linspace(-1.5, 1.5, 19), (len(SPEC.horizons), 1))
    model = networks.forecaster(recipe, (SPEC.lookback, COLUMNS), np.full(COLUMNS, 0.1), np.full(COLUMNS, 2.0), start)
    rng = np.random.default_rng(1)
    for weight in model.trainable_variables:
        weight.assign(keras.ops.convert_to_numpy(weight) + rng.normal(scale=wild, size=weight.shape))
    return model


def fitted(*models: keras.Model, cell: str = "lstm") -> FittedNetwork:
    """The models as members of one network."""
    recipe = Network(cell=cell, frame="ewma", units=UNITS, periods=(1, 2), members=len(models))
    return FittedNetwork(recipe, models, pd.DataFrame())


def set_weights(model: keras.Model, layer: str, **weights: np.ndarray) -> None:
    """Set weights of a recurrent layer's cell, or of another layer, by name; those not named become zero."""
    place = model.get_layer(layer)
    owner = getattr(place, "cell", place)
    for weight in owner.weights:
        weight.assign(np.broadcast_to(weights.get(weight.name, 0.0), weight.shape))


def head_reads(model: keras.Model, unit: int, strength: float = 1.0) -> None:
    """The median at every horizon becomes a constant and `strength` times one unit of the state; widths are fixed."""
    kernel = np.zeros(model.get_layer("quantiles").kernel.shape, "float32")
    kernel[unit, MIDDLE::19] = strength
    model.get_layer("quantiles").kernel.assign(kernel)


def surely(model: keras.Model) -> keras.Model:
    """The same network with a head that is nearly sure of a median which all units move: any change of it costs."""
    head = model.get_layer("quantiles")
    kernel, bias = np.zeros(head.kernel.shape, "float32"), np.full(head.bias.shape, -6.0, "float32")
    kernel[:, MIDDLE::19] = np.random.default_rng(2).normal(size=kernel[:, MIDDLE::19].shape)
    bias[MIDDLE::19] = 0.0
    head.kernel.assign(kernel)
    head.bias.assign(bias)
    return model


def delayed(feature: int, lag: int) -> keras.Model:
    """A simple-rnn whose forecast is one feature of the session `lag` before the origin, and nothing else.

    Its units are a shift register: the first takes the feature, each other what the one before it held, so small
    that tanh is a straight line.
    """
    model = network("simple-rnn", wild=0)
    kernel, shift = np.zeros((COLUMNS, UNITS)), np.diag(np.ones(UNITS - 1), k=1)
    kernel[feature, 0] = 1e-3
    set_weights(model, "recurrent_1", kernel=kernel, recurrent_kernel=shift)
    head_reads(model, unit=lag, strength=1e3)
    return model


def gates_biased(cell: str, biases: dict[int, float], kernel: float = 0.0) -> keras.Model:
    """An lstm or gru whose gates see nothing: the gate at each place of its bias has the bias given, others 0."""
    model = network(cell)
    owner = model.get_layer("recurrent_1").cell
    for name in ("kernel", "recurrent_kernel", "bias"):
        value = keras.ops.convert_to_numpy(getattr(owner, name)).copy()
        for place, bias in biases.items():
            columns = slice(place * UNITS, (place + 1) * UNITS)
            value[..., columns] = kernel
            if name == "bias":
                value[..., columns] = 0.0
                value.reshape(-1, value.shape[-1])[0, columns] = bias
        getattr(owner, name).assign(value)
    return model


def with_actuals_of(model: keras.Model, noise: float = 0.0) -> Windows:
    """The windows, in a world in which the median of this network comes true but for some noise."""
    given = windows()
    median = fitted(model).predict(given)[:, :, MIDDLE]
    actual = np.array(given.panel.actual)
    actual[given.ends] = median + noise * np.random.default_rng(3).normal(size=median.shape) * given.scale
    return Windows(replace(given.panel, actual=actual), given.ends)
