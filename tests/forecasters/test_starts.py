"""What the weights of a recurrent network are before it has learnt: open forget gates, and draws as set."""

import keras
import numpy as np
import pytest

from app.forecasters import networks
from app.forecasters.recipe import CELLS, Network
from app.forecasters.shapes import WITHOUT_RECURRENCE

LOOKBACK, FEATURES, UNITS = 3, 2, 4
RECURRENT = [cell for cell in CELLS if cell not in WITHOUT_RECURRENCE]
WITH_FORGET_GATES = [cell for cell in RECURRENT if "lstm" in cell]


def started(cell: str, **settings) -> list[keras.layers.Layer]:
    """The cells of an untrained network of two layers, those of its decoder included."""
    recipe = Network(cell=cell, shape="many-to-many", layers=2, units=UNITS, periods=(1, 2), **settings)
    quantiles = np.tile(np.linspace(-1, 1, 19), (2, 1))
    model = networks.forecaster(recipe, (LOOKBACK, FEATURES), np.zeros(FEATURES), np.ones(FEATURES), quantiles)
    return [layer for layer in model._flatten_layers() if hasattr(layer, "recurrent_kernel")]


@pytest.mark.parametrize("forget_bias", [True, False])
@pytest.mark.parametrize("cell", WITH_FORGET_GATES)
def test_forget_gates_start_open_or_half_open_as_set(cell, forget_bias):
    expected = np.repeat([0, float(forget_bias), 0, 0], UNITS).tolist()
    found = [np.asarray(one.bias).tolist() for one in started(cell, forget_bias=forget_bias)]
    assert found == [expected] * (6 if cell == "bidirectional-lstm" else 4)


@pytest.mark.parametrize(("initialiser", "orthogonal"), [("orthogonal", True), ("random_normal", False)])
@pytest.mark.parametrize("cell", RECURRENT)
def test_weights_from_state_to_state_are_drawn_as_set(cell, initialiser, orthogonal):
    """The matrices of all gates are drawn side by side, U U' = 1; a clockwork's before its connections are cut."""
    drawn = [np.asarray(one.recurrent_kernel) for one in started(cell, recurrent_initializer=initialiser)]
    assert {np.allclose(weight @ weight.T, np.eye(UNITS), atol=1e-4) for weight in drawn} == {orthogonal}
