"""Recurrent layers replayed from their own weights, row by row, so that their gates can be seen, or held.

The equations are those of the cells' docstrings and of docs/methods.md, in NumPy and float64; tests show that
a replay gives the outputs of the layer itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import ops

from app.forecasters.cells import ClockworkRNNCell, DepthGatedLSTMCell, PeepholeLSTMCell

Step = Callable[..., tuple[np.ndarray, tuple[np.ndarray, ...]]]
"""(x, states, gate) → output, states; `gate(name, z)` is the logistic function of z, or what the gate is held at."""


@dataclass(frozen=True, eq=False)
class Replay:
    """One layer while it reads, arrays in the order in which it reads the rows.

    inputs: (n, rows, columns). outputs: (n, rows, columns). states: each (n, rows, units), after the row, in
    the order of the cell: h, and c where there is a memory. gates: name → (n, rows, units).
    backwards: it reads the newest row first.
    """

    inputs: np.ndarray
    outputs: np.ndarray
    states: tuple[np.ndarray, ...]
    gates: Mapping[str, np.ndarray]
    backwards: bool = False
    cell: Any = field(default=None, repr=False)

    @property
    def lags(self) -> np.ndarray:
        """(rows,) how many sessions before the origin each row lies."""
        rows = np.arange(self.inputs.shape[1])
        return rows if self.backwards else rows[::-1]


def replay(
    layer: keras.layers.RNN,
    inputs: np.ndarray,
    held: Mapping[str, object] | None = None,
    start: Sequence[np.ndarray] | None = None,
) -> Replay:
    """What happens inside a recurrent layer.

    Args:
        layer: of Keras or of `app.forecasters.cells`; what it returns of its sequence makes no difference.
        inputs: (n, rows, columns) in time order.
        held: gate → number or (units,) array at which it is held, instead of what the layer computes.
        start: the first states, each (n, units); zeros by default.
    """
    cell, held = layer.cell, held or {}
    step, sizes = EQUATIONS[type(cell)](cell), _sizes(cell)
    rows = inputs.astype("float64")[:, ::-1] if layer.go_backwards else inputs.astype("float64")
    empty = (np.zeros((len(rows), size)) for size in sizes)
    states = tuple(empty if start is None else (np.asarray(state, "float64") for state in start))
    outputs, passed, gates = [], [], []
    for row in range(rows.shape[1]):
        seen: dict[str, np.ndarray] = {}
        output, states = step(rows[:, row], states, _gate(seen, held))
        outputs.append(output)
        passed.append(states)
        gates.append(seen)
    return Replay(
        inputs=rows,
        outputs=np.stack(outputs, axis=1),
        states=tuple(np.stack(part, axis=1) for part in zip(*passed, strict=True)),
        gates={name: np.stack([seen[name] for seen in gates], axis=1) for name in gates[0]},
        backwards=layer.go_backwards,
        cell=cell,
    )


def _gate(seen: dict[str, np.ndarray], held: Mapping[str, object]) -> Callable[[str, np.ndarray], np.ndarray]:
    def gate(name: str, z: np.ndarray) -> np.ndarray:
        seen[name] = np.broadcast_to(held[name], z.shape) if name in held else logistic(z)
        return seen[name]

    return gate


def logistic(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)), written so that it cannot overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * z))


def _simple(cell) -> Step:
    kernel, recurrent, bias = _numbers(cell.kernel, cell.recurrent_kernel, cell.bias)

    def step(x, states, gate):
        h = np.tanh(x @ kernel + states[0] @ recurrent + bias)
        return h, (h,)

    return step


def _lstm(cell) -> Step:
    kernel, recurrent, bias = _numbers(cell.kernel, cell.recurrent_kernel, cell.bias)

    def step(x, states, gate):
        h, c = states
        z_i, z_f, z_c, z_o = np.split(x @ kernel + h @ recurrent + bias, 4, axis=-1)
        c = gate("forget", z_f) * c + gate("input", z_i) * np.tanh(z_c)
        h = gate("output", z_o) * np.tanh(c)
        return h, (h, c)

    return step


def _gru(cell) -> Step:
    kernel, recurrent, bias = _numbers(cell.kernel, cell.recurrent_kernel, cell.bias)

    def step(x, states, gate):
        (h,) = states
        x_z, x_r, x_h = np.split(x @ kernel + bias[0], 3, axis=-1)
        h_z, h_r, h_h = np.split(h @ recurrent + bias[1], 3, axis=-1)
        z, r = gate("update", x_z + h_z), gate("reset", x_r + h_r)
        h = z * h + (1 - z) * np.tanh(x_h + r * h_h)
        return h, (h,)

    return step


def _peephole(cell) -> Step:
    kernel, recurrent, peephole, bias = _numbers(cell.kernel, cell.recurrent_kernel, cell.peephole, cell.bias)

    def step(x, states, gate):
        h, c = states
        z_i, z_f, z_c, z_o = np.split(x @ kernel + h @ recurrent + bias, 4, axis=-1)
        p_i, p_f, p_o = peephole
        i, f = gate("input", z_i + p_i * c), gate("forget", z_f + p_f * c)
        c = f * c + i * np.tanh(z_c)
        h = gate("output", z_o + p_o * c) * np.tanh(c)
        return h, (h, c)

    return step


def _depth_gated(cell) -> Step:
    kernel, recurrent, bias = _numbers(cell.kernel, cell.recurrent_kernel, cell.bias)
    depth = _numbers(*((cell.depth_kernel, cell.depth_peephole, cell.depth_bias) if cell.below else ()))

    def step(x, states, gate):
        h, c = states
        x, m = (x[:, : -cell.units], x[:, -cell.units :]) if cell.below else (x, None)
        z_i, z_f, z_c, z_o = np.split(x @ kernel + h @ recurrent + bias, 4, axis=-1)
        new = gate("forget", z_f) * c + gate("input", z_i) * np.tanh(z_c)
        if cell.below:
            w_d, (w_c, w_m), b_d = depth
            new = new + gate("depth", x @ w_d + w_c * c + w_m * m + b_d) * m
        h = gate("output", z_o) * np.tanh(new)
        return np.concatenate([h, new], axis=-1), (h, new)

    return step


def _clockwork(cell) -> Step:
    kernel, recurrent, bias = _numbers(cell.kernel, cell.recurrent_kernel, cell.bias)
    period = np.repeat(cell.periods, cell.units // len(cell.periods))
    recurrent = recurrent * (period[:, None] >= period[None, :])

    def step(x, states, gate):
        h, t = states
        strikes = np.mod(t - cell.start, period) == 0
        h = np.where(strikes, np.tanh(x @ kernel + h @ recurrent + bias), h)
        return h, (h, t + 1)

    return step


EQUATIONS: dict[type, Callable[..., Step]] = {
    keras.layers.SimpleRNNCell: _simple,
    keras.layers.LSTMCell: _lstm,
    keras.layers.GRUCell: _gru,
    PeepholeLSTMCell: _peephole,
    DepthGatedLSTMCell: _depth_gated,
    ClockworkRNNCell: _clockwork,
}


def _numbers(*weights) -> list[np.ndarray]:
    return [ops.convert_to_numpy(weight).astype("float64") for weight in weights]


def _sizes(cell) -> list[int]:
    return list(cell.state_size) if isinstance(cell.state_size, (list, tuple)) else [cell.state_size]
