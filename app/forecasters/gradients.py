"""Do gradients reach the oldest row a forecast is made from? Measured once an epoch, and said in words when not."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import keras
import numpy as np
from keras import ops

from app.dataset.windows import Chunks
from app.forecasters.recipe import Network
from app.forecasters.shapes import SINGLE_ROW, WITHOUT_RECURRENCE
from app.schema import LEVELS

log = logging.getLogger(__name__)

WINDOWS = 32
"""Windows of the one batch that is measured."""

VANISHED = float(np.finfo("float32").eps)
"""Oldest over newest: what is smaller than this is lost when it is added to the newest row's in single precision."""

EXPLODED = 1e3
"""Oldest over newest: clipping then leaves the newest row a thousandth of a step."""

HELD_COMPILED = 16
"""Networks of different settings whose compiled gradient is kept, the latest."""

HELD = 0.01
"""Share of the largest norm that counts as reached."""


@dataclass(frozen=True)
class Gradients:
    """Norms of the gradient of the loss at the origin by the standardised rows, the newest first.

    by_lag: (rows,) root mean square over windows of the norm over features.
    """

    by_lag: np.ndarray

    @property
    def norm(self) -> float:
        """At the newest row."""
        return float(self.by_lag[0])

    @property
    def ratio(self) -> float:
        """At the oldest row over the newest; NaN where the newest has none."""
        return float(self.by_lag[-1] / self.by_lag[0]) if self.by_lag[0] != 0 else float("nan")

    @property
    def reach(self) -> int:
        """The longest memory: sessions back to the oldest row with a hundredth of the largest norm."""
        held = np.flatnonzero((self.by_lag >= HELD * np.max(self.by_lag)) & (self.by_lag > 0))
        return int(held[-1]) if len(held) else 0

    @property
    def columns(self) -> dict[str, float]:
        """What the training curve shows of them."""
        return {"gradient_norm": self.norm, "gradient_ratio": self.ratio, "gradient_reach": self.reach}


class GradientWatch:
    """Measures the gradients of a network in training when asked, and raises the alarm once.

    d L / d x_(T-k), k = 0 to lookback - 1, with L the pinball loss of the forecast at row T and x the
    standardised rows: each is a product of k Jacobians of the state, whose norm falls or rises
    geometrically with k. With truncation, k ends where the gradient is cut; attention reaches beyond, straight to the
    states it weighs.

    Args:
        recipe: of the network.
        model: from `networks.forecaster`.
        learnt: what it is trained on; windows that end chunks, spread evenly, are the one batch.

    Source: Bengio, Simard & Frasconi (1994), IEEE Trans. Neural Networks 5, 157-166; Pascanu, Mikolov &
    Bengio (2013), ICML, arXiv 1211.5063, section 2.
    """

    def __init__(self, recipe: Network, model: keras.Model, learnt: Chunks):
        lookback = model.input_shape[1]
        chosen = np.unique(np.linspace(0, len(learnt.ends) - 1, WINDOWS).astype(int))
        self.inputs = learnt.panel.features[learnt.ends[chosen, None] + np.arange(1 - lookback, 1)]
        self.targets = np.nan_to_num(learnt.targets[chosen, -1])
        cut = 0 if recipe.cell == "attention-lstm" else recipe.segment
        self.rows = min(lookback, cut or lookback)
        self.gradient = _gradient(recipe, model, self.targets.shape)
        self.model, self.recipe, self.warned = model, recipe, False

    def measure(self) -> Gradients:
        """The gradients of the network as it stands."""
        rows = self.model.get_layer("standardise")(self.inputs)
        weights = [ops.convert_to_tensor(variable) for variable in self.model.variables]
        found = np.asarray(self.gradient(rows, ops.convert_to_tensor(self.targets), weights), "float64")
        by_lag = np.sqrt(np.square(found).sum(axis=2).mean(axis=0))[::-1]
        return Gradients(by_lag[: self.rows])

    def look(self, epoch: int) -> Gradients:
        """Measure after an epoch; the first time something is wrong, one line of the log says so."""
        found = self.measure()
        alarm = gradient_alarm(self.recipe, found)
        if alarm and not self.warned:
            log.warning("%s: epoch %d: %s.", self.recipe.cell, epoch, alarm)
            self.warned = True
        return found


def gradient_alarm(recipe: Network, found: Gradients) -> str | None:
    """What a person has to know about gradients that vanish, explode or are no numbers; None where all is well."""
    rows = len(found.by_lag)
    if not np.isfinite(found.by_lag).all():
        return "gradients are not finite: the weights have exploded. Lower network.learning_rate or network.clipnorm"
    if recipe.cell in WITHOUT_RECURRENCE or recipe.shape in SINGLE_ROW or rows == 1:
        return None
    if found.ratio > EXPLODED:
        return (
            f"gradients explode: {found.ratio:.0e} times as large {rows - 1} sessions back as at the newest row, which "
            "is hardly learnt from. Lower network.clipnorm, set network.truncation, or use a gated cell"
        )
    if found.ratio < VANISHED:
        return (
            f"gradients vanish: {rows - 1} sessions back they are {found.ratio:.0e} of those at the newest row, below "
            f"what float32 can add. The longest memory is about {found.reach} of {rows} sessions; what lies further "
            "back cannot be learnt. Shorten window.lookback, or use a gated cell, orthogonal weights and forget bias"
        )
    return None


def _loss(quantiles, targets):
    """Pinball loss of each window, summed, so that no window's gradient depends on how many there are."""
    error = ops.expand_dims(targets, -1) - quantiles
    levels = ops.convert_to_tensor(LEVELS, dtype=quantiles.dtype)
    return ops.sum(ops.mean(ops.maximum(levels * error, (levels - 1.0) * error), axis=(1, 2)))


def _gradient(recipe: Network, model: keras.Model, targets: tuple[int, ...]) -> Callable:
    """Derivative of the loss by the standardised rows, as a function of rows, targets and weights.

    Weights are given and not held, so that what is compiled for one training serves those of the other folds,
    members and seeds: compiling it costs more than all measurements of a training.
    """
    key = (replace(recipe, seed=0), model.input_shape, targets)
    if key not in _COMPILED:
        while len(_COMPILED) >= HELD_COMPILED:
            del _COMPILED[next(iter(_COMPILED))]
        _COMPILED[key] = _BACKENDS[keras.backend.backend()](_loss_of(model))
    return _COMPILED[key]


def _loss_of(model: keras.Model) -> Callable:
    """The loss of a network from its standardised rows on, with the weights it is given in place of its own."""
    variables = list(model.variables)
    layers = model.layers[model.layers.index(model.get_layer("standardise")) + 1 :]

    def loss(rows, targets, weights):
        with keras.StatelessScope(state_mapping=list(zip(variables, weights, strict=True))):
            for layer in layers:
                rows = layer(rows)
        return _loss(rows, targets)

    return loss


def _on_tensorflow(loss: Callable) -> Callable:
    import tensorflow as tf

    @tf.function(autograph=False)
    def gradient(rows, targets, weights):
        with tf.GradientTape() as tape:
            tape.watch(rows)
            value = loss(rows, targets, weights)
        return tape.gradient(value, rows)

    return gradient


def _on_jax(loss: Callable) -> Callable:
    import jax

    return jax.jit(jax.grad(loss))


_BACKENDS = {"tensorflow": _on_tensorflow, "jax": _on_jax}
_COMPILED: dict[tuple, Callable] = {}
