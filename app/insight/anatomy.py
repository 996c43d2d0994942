"""A saved network taken apart, so that it can be watched, changed, and asked with windows of another length."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import keras
import numpy as np
from keras import ops

from app.errors import DataError
from app.forecasters.cells import ClockworkRNNCell
from app.forecasters.decoder import Decoder
from app.forecasters.layers import AttentionPooling, Framed, Truncated
from app.insight.replay import Replay, replay

Held = Mapping[tuple[str, str], object]
"""(layer, gate) → what the gate is held at: a number, or a (units,) array."""

OF_DECODER = "decoder {}"
"""What a layer of a decoder is called among those that can be held."""


@dataclass(frozen=True, eq=False)
class Watched:
    """What a network answered, and what went on inside.

    quantiles: (n, horizons, levels), scaled. layers: name → what happened there; "1" is nearest the data, and
    "1 backwards" the half of a bidirectional layer that reads the newest row first.
    attention: (n, lookback) weights by row, oldest first, where the network has them. decoder: name → what happened
    there, where a decoder unrolls over the horizons: its rows are the horizons, rising.
    """

    quantiles: np.ndarray
    layers: Mapping[str, Replay]
    attention: np.ndarray | None
    decoder: Mapping[str, Replay] = field(default_factory=dict)


def standardised(model: keras.Model, inputs: np.ndarray) -> np.ndarray:
    """(n, rows, features) in standard deviations from the mean row of the training data."""
    return ops.convert_to_numpy(model.get_layer("standardise")(inputs))


def responder(models: Sequence[keras.Model]) -> Callable:
    """The forecast of standardised rows, of any number of rows the network can read.

    Returns:
        A function from a tensor (n, rows, features) to one of (n, horizons, levels): the mean over members.
    """
    chains = [_chain(model) for model in models]

    def respond(x):
        answers = []
        for chain in chains:
            y = x
            for layer in chain:
                y = _sequence(_inside(layer)(y))
            answers.append(y)
        return sum(answers[1:], start=answers[0]) / len(answers)

    return respond


def watch(model: keras.Model, inputs: np.ndarray, held: Held | None = None) -> Watched:
    """Run a network with its recurrent layers replayed, gate by gate.

    Args:
        model: as saved by `app.forecasters.recurrent`.
        inputs: (n, rows, features), not standardised.
        held: gates to hold.
    """
    notes = _Notes(held or {})
    x = standardised(model, inputs)
    for layer in _chain(model):
        x = notes.through(layer, x)
    return Watched(x.astype("float64"), notes.layers, notes.attention, notes.decoder)


def carries_state(model: keras.Model) -> bool:
    """Whether rows older than the lookback can matter: a state is carried from row to row."""
    return any(isinstance(_inside(layer), keras.layers.RNN) for layer in _chain(model))


def phase(model: keras.Model) -> int:
    """Rows by which windows may grow without setting the clocks of the network out of step; 1 without clocks."""
    cells = [getattr(_inside(layer), "cell", None) for layer in _chain(model)]
    periods = [period for cell in cells if isinstance(cell, ClockworkRNNCell) for period in cell.periods]
    return int(np.lcm.reduce(periods)) if periods else 1


@dataclass(eq=False)
class _Notes:
    """What was seen on the way through a network."""

    held: Held
    layers: dict[str, Replay] = field(default_factory=dict)
    attention: np.ndarray | None = None
    decoder: dict[str, Replay] = field(default_factory=dict)

    def through(self, layer: keras.layers.Layer, x: np.ndarray) -> np.ndarray:
        """What the layer makes of (n, rows, columns)."""
        layer = _inside(layer)
        if isinstance(layer, Framed):
            x = x[:, -layer.lookback :]
            for inner in layer.layer.layers:
                x = self.through(inner, x)
            return x[:, None]
        if isinstance(layer, Decoder):
            return self._unrolled(layer, x)
        if isinstance(layer, keras.layers.Bidirectional):
            return self._both_ways(layer, x)
        if isinstance(layer, keras.layers.RNN):
            return self._replayed(layer, x, _number(layer)).outputs
        if isinstance(layer, AttentionPooling):
            self.attention = ops.convert_to_numpy(layer.weights_of(x.astype("float32")))[:, -1, -layer.lookback :]
        return ops.convert_to_numpy(layer(x.astype("float32")))

    def _unrolled(self, decoder: Decoder, x: np.ndarray) -> np.ndarray:
        """The horizons read one after the other, from the summary of the last row."""
        summary = x[:, -1].astype("float32")
        answer = ops.convert_to_numpy(decoder.told(summary))
        starts = iter(decoder.first_states(summary))
        for layer in decoder.layers:
            if isinstance(layer, keras.layers.RNN):
                start, number = [ops.convert_to_numpy(state) for state in next(starts)], _number(layer)
                self.decoder[number] = replay(layer, answer, self._held_in(OF_DECODER.format(number)), start)
                answer = self.decoder[number].outputs
            else:
                answer = ops.convert_to_numpy(layer(answer.astype("float32")))
        return answer[:, None]

    def _both_ways(self, layer: keras.layers.Bidirectional, x: np.ndarray) -> np.ndarray:
        number = _number(layer)
        ahead = self._replayed(layer.forward_layer, x, f"{number} forwards").outputs
        back = self._replayed(layer.backward_layer, x, f"{number} backwards").outputs
        if layer.return_sequences:
            return np.concatenate([ahead, back[:, ::-1]], axis=-1)
        return np.concatenate([ahead[:, -1], back[:, -1]], axis=-1)

    def _replayed(self, layer: keras.layers.RNN, x: np.ndarray, name: str) -> Replay:
        self.layers[name] = replay(layer, x, self._held_in(name))
        return self.layers[name]

    def _held_in(self, name: str) -> dict[str, object]:
        """Gate → what it is held at in one layer."""
        return {gate: value for (place, gate), value in self.held.items() if place == name}


def _chain(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers from the standardised rows to the quantiles, each applied to what the one before gives."""
    layers = list(model.layers)
    for before, layer in pairwise(layers):
        parents = [node.operation for node in layer._inbound_nodes[0].parent_nodes]
        if parents != [before]:
            raise DataError(f"{model.name}: layer {layer.name!r} takes more than the layer before it; not taken apart.")
    names = [layer.name for layer in layers]
    return layers[names.index("standardise") + 1 :]


def _inside(layer: keras.layers.Layer) -> keras.layers.Layer:
    """The layer itself where it is wrapped only for learning: it answers the same, and its gradient is whole."""
    return layer.layer if isinstance(layer, Truncated) else layer


def _sequence(answer):
    """The sequence alone of a layer that returns its states, too."""
    return answer[0] if isinstance(answer, (list, tuple)) else answer


def _number(layer: keras.layers.Layer) -> str:
    return layer.name.rpartition("_")[2]
