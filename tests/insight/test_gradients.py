"""Derivatives are those of finite differences, and the same on JAX."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from app.forecasters.recipe import CELLS
from app.insight.anatomy import standardised, watch
from app.insight.gradients import jacobian
from app.insight.memory import parts_of, singular_values, state_jacobian
from app.insight.replay import EQUATIONS
from tests.insight import planted

HORIZONS = planted.SPEC.horizons
RECURRENT = [cell for cell in CELLS if cell not in ("transformer", "mlp")]


def rows_of(model: keras.Model, count: int = 2) -> np.ndarray:
    return standardised(model, planted.windows().gather()[:count])


def test_a_jacobian_by_hand():
    """f(x) = (x1 x2, x1 squared) at (2, 3) and (4, 5)."""
    found = jacobian(
        lambda x: keras.ops.stack([x[:, 0] * x[:, 1], x[:, 0] ** 2], axis=-1), np.array([[2, 3], [4, 5]]), 2
    )
    assert found.tolist() == [[[3, 2], [4, 0]], [[5, 4], [8, 0]]]


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_of_a_forecast_are_those_of_finite_differences(cell):
    model = planted.network(cell)
    answer, outputs = parts_of([model], HORIZONS)
    z, step = rows_of(model), 3e-3
    found = jacobian(answer, z, len(outputs))
    for place in [(7, 0), (6, 3), (3, 9), (0, 5)]:
        moved = np.zeros_like(z)
        moved[:, *place] = step
        above, below = (keras.ops.convert_to_numpy(answer(given)).astype("float64") for given in (z + moved, z - moved))
        np.testing.assert_allclose(found[:, :, *place], (above - below) / (2 * step), rtol=0.02, atol=3e-3)


def test_truncated_learning_truncates_no_memory():
    """The gradient of what is forecast reaches back beyond the rows that learning reached back."""
    whole, truncated = planted.network("lstm"), planted.network("lstm", truncation=2)
    truncated.set_weights(whole.get_weights())
    answers = [parts_of([model], HORIZONS) for model in (whole, truncated)]
    one, other = (jacobian(answer, rows_of(whole), len(outputs)) for answer, outputs in answers)
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert np.abs(other[:, :, 0]).max() > 0


@pytest.mark.parametrize("cell", RECURRENT)
def test_the_jacobian_of_the_state_is_that_of_finite_differences(cell):
    """Differences of the equations, which are replayed in float64."""
    model = planted.network(cell)
    for seen in watch(model, planted.windows().gather()[:2]).layers.values():
        row, width = 5, planted.UNITS
        parts = [part for part in seen.states if part.shape[-1] == width]
        step = EQUATIONS[type(seen.cell)](seen.cell)
        before = [part[:, row - 1] for part in seen.states]
        found = state_jacobian(seen, np.array([row]))
        for unit in range(width * len(parts)):
            sides = []
            for nudge in (1e-6, -1e-6):
                given = [part.copy() for part in before]
                given[unit // width][:, unit % width] += nudge
                after = step(seen.inputs[:, row], given, lambda name, z: 1 / (1 + np.exp(-z)))[1]
                sides.append(np.concatenate(after[: len(parts)], axis=-1))
            np.testing.assert_allclose(found[:, :, unit], (sides[0] - sides[1]) / 2e-6, rtol=1e-3, atol=1e-5)


ON_JAX = """
import sys
from pathlib import Path
import keras, numpy as np
from app.forecasters import networks
from app.insight.anatomy import watch
from app.insight.gradients import jacobian
from app.insight.memory import parts_of, singular_values
folder = Path(sys.argv[1])
assert keras.backend.backend() == "jax"
given = np.load(folder / "given.npz")
answers = {}
for path in sorted(folder.glob("*.keras")):
    model = keras.models.load_model(path, compile=False)
    answer, outputs = parts_of([model], (1, 3))
    answers[path.stem] = jacobian(answer, given["z"], len(outputs))
    layers = watch(model, given["inputs"]).layers
    answers[path.stem + " spectrum"] = singular_values(layers["1"]) if layers else np.zeros(1)
np.savez(folder / "answers.npz", **answers)
"""


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")
def test_gradients_are_the_same_on_jax(tmp_path):
    inputs = planted.windows().gather()[:2]
    models = {cell: planted.network(cell) for cell in ("lstm", "gru", "clockwork-rnn")}
    for cell, model in models.items():
        model.save(tmp_path / f"{cell}.keras")
    np.savez(tmp_path / "given.npz", inputs=inputs, z=rows_of(models["lstm"]))
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", ON_JAX, str(tmp_path)], env=environment, check=True)
    there = np.load(tmp_path / "answers.npz")
    for cell, model in models.items():
        answer, outputs = parts_of([model], HORIZONS)
        here = jacobian(answer, rows_of(model), len(outputs))
        np.testing.assert_allclose(there[cell], here, rtol=1e-3, atol=1e-5)
        values = singular_values(watch(model, inputs).layers["1"])
        np.testing.assert_allclose(there[f"{cell} spectrum"], values, rtol=1e-3, atol=1e-5)
